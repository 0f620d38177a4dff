//! The leader's plans: computed here, logged as tables, so that strategies may change without
//! the replicas diverging.

use std::sync::Arc;

use ck_control::{Command, MemberNumber, RebalanceCommand, Rejection, State, Trigger};
use ck_core::placement::{Balanced, Placement, Plan};
use ck_core::{NodeId, NodeState, Row, Spec, Table, Topology};

use crate::execute::{propose, settled};
use crate::operation::{OperationError, Outcome, PlanOutcome};
use crate::published::now_ms;
use crate::shared::Shared;
use crate::wire::Forwarded;

/// Plans that became stale while they were made, before it is given up.
const ATTEMPTS_MAX: usize = 5;

/// Recorded with the table, for people.
const STRATEGY: &str = "balanced";

/// As [`STRATEGY`], of a table that was made elsewhere.
const STRATEGY_ELSEWHERE: &str = "taken-over";

/// Creates the partitions over the nodes that are up.
pub(crate) async fn create(node: &Arc<Shared>, actor: &str) -> Forwarded {
    let state = settled(node).await?;
    if state.table().is_some() {
        return Ok(Outcome::Partitions {
            created: false,
            version: state.version(),
        });
    }
    let topology = with_open_sessions(&state)?;
    let (have, need) = (topology.nodes().len(), state.config().replication_factor);
    if have < usize::from(need) {
        let have = u32::try_from(have).unwrap_or(u32::MAX);
        return Err(Rejection::TooFewNodes {
            have,
            need: need.into(),
        }
        .into());
    }
    let plan = place(topology, state.spec(), None).await?;
    let command = Command::CreatePartitions {
        table: plan.table,
        strategy: Some(STRATEGY.to_owned()),
    };
    match propose(node, command, actor).await {
        Ok((_, version)) => Ok(Outcome::Partitions {
            created: true,
            version,
        }),
        Err(OperationError::Rejected(Rejection::PartitionsExist { .. })) => {
            Ok(Outcome::Partitions {
                created: false,
                version: node.state().version(),
            })
        }
        Err(source) => Err(source),
    }
}

/// Creates the partitions where they are elsewhere already.
pub(crate) async fn adopt(node: &Arc<Shared>, table: Table, actor: &str) -> Forwarded {
    let state = settled(node).await?;
    let same = |present: &Table| {
        let mut rows = present.rows().zip(table.rows());
        present.partitions() == table.partitions()
            && rows.all(|(one, other)| one.nodes().eq(other.nodes()))
    };
    if let Some(present) = state.table() {
        if same(present) {
            return Ok(Outcome::Partitions {
                created: false,
                version: state.version(),
            });
        }
        let partitions = present.partitions();
        return Err(Rejection::PartitionsExist { partitions }.into());
    }
    let command = Command::CreatePartitions {
        table,
        strategy: Some(STRATEGY_ELSEWHERE.to_owned()),
    };
    let (_, version) = propose(node, command, actor).await?;
    Ok(Outcome::Partitions {
        created: true,
        version,
    })
}

/// Plans from the present table over the present nodes, and begins to carry the plan out unless
/// `dry_run`.
pub(crate) async fn rebalance(
    node: &Arc<Shared>,
    trigger: Trigger,
    dry_run: bool,
    actor: &str,
) -> Forwarded {
    let mut stale = None;
    for _ in 0..ATTEMPTS_MAX {
        let started_at_ms = now_ms();
        let state = settled(node).await?;
        let Some(table) = state.table().cloned() else {
            return Err(OperationError::NoPartitions);
        };
        let topology = topology(&state, &node.standing.borrow().lost)?;
        let plan = place(topology, state.spec(), Some(Arc::clone(&table))).await?;
        let plan = led_by_the_living(&state, &table, plan);
        let outcome = figures(&state, &table, plan);
        if dry_run || outcome.partitions_changed == 0 {
            return Ok(Outcome::Plan(outcome));
        }
        // Without another node to copy to, a lost one's copies are worth more than none: it may
        // yet come back.
        if trigger == Trigger::Loss && outcome.copies_moved == 0 {
            return Ok(Outcome::Plan(outcome));
        }
        keeps_enough(&state, &table, &outcome.table)?;
        match begin(node, outcome, trigger, started_at_ms, actor).await {
            Err(source @ OperationError::Rejected(Rejection::PlanStale { .. })) => {
                stale = Some(source);
            }
            other => return other,
        }
    }
    Err(stale.unwrap_or(OperationError::NoPartitions))
}

async fn begin(
    node: &Arc<Shared>,
    mut outcome: PlanOutcome,
    trigger: Trigger,
    started_at_ms: u64,
    actor: &str,
) -> Forwarded {
    let step = RebalanceCommand::Begin {
        base: outcome.base,
        table: outcome.table.clone(),
        trigger,
        started_at_ms,
    };
    outcome.version = propose(node, Command::Rebalance { step }, actor).await?.1;
    outcome.applied = true;
    Ok(Outcome::Plan(outcome))
}

/// What a plan is made for. A node that is away keeps what it has and gets nothing, until it counts
/// as lost.
fn topology(state: &State, lost: &[MemberNumber]) -> Result<Topology, OperationError> {
    let lost = |name: &NodeId| {
        state
            .member_by_node(name.as_str())
            .is_none_or(|member| lost.contains(&member.number))
    };
    let nodes = state.topology().nodes().to_vec().into_iter();
    let nodes = nodes.filter(|node| !lost(&node.id)).map(|mut node| {
        if node.state == NodeState::Active && state.open_session_of(node.id.as_str()).is_none() {
            node.state = NodeState::Cordoned;
        }
        node
    });
    Topology::new(nodes).map_err(|source| OperationError::Placement {
        reason: source.to_string(),
    })
}

/// A plan never waits for a node that is away to take a role: the present primary stays where it
/// keeps its copy, else one that lives.
fn led_by_the_living(state: &State, before: &Table, mut plan: Plan) -> Plan {
    let lives = |node: &NodeId| state.open_session_of(node.as_str()).is_some();
    let mut rows = Vec::new();
    let mut changed = false;
    for (row, old) in plan.table.rows().zip(before.rows()) {
        let mut nodes: Vec<&NodeId> = row.nodes().collect();
        if nodes.first().is_some_and(|first| !lives(first)) {
            let present = old.primary().filter(|primary| lives(primary));
            let next = nodes
                .iter()
                .position(|node| Some(*node) == present)
                .or_else(|| nodes.iter().position(|node| lives(node)));
            if let Some(next) = next {
                nodes[..=next].rotate_right(1);
                changed = true;
            }
        }
        rows.push(nodes.into_iter().cloned().collect::<Vec<_>>());
    }
    if changed && let Ok(table) = Table::from_named_rows(plan.table.width(), &rows) {
        plan.table = table;
    }
    plan
}

/// Planned work never goes below `min_in_sync`, so such a plan could not be carried out.
fn keeps_enough(state: &State, before: &Table, after: &Table) -> Result<(), OperationError> {
    let least = usize::from(state.config().min_in_sync);
    let short = before
        .rows()
        .zip(after.rows())
        .find(|(old, new)| new.nodes().len() < least && differs(*old, *new));
    match short {
        None => Ok(()),
        Some((_, row)) => Err(OperationError::TooFewCopies {
            partition: row.partition(),
            have: row.nodes().len() as u64,
            least: least as u64,
        }),
    }
}

/// Whether there is something to carry out: another primary, or other copies. The order of the
/// others is nothing.
fn differs(old: Row<'_>, new: Row<'_>) -> bool {
    let held = |node: &NodeId| old.contains(node.as_str());
    old.primary() != new.primary()
        || old.nodes().len() != new.nodes().len()
        || !new.nodes().all(held)
}

fn figures(state: &State, before: &Table, plan: Plan) -> PlanOutcome {
    let changed = plan
        .table
        .rows()
        .zip(before.rows())
        .filter(|(new, old)| differs(*old, *new));
    // Counted anew: roles that the plan gave to a node that is away have stayed where they were.
    let rows = plan.table.rows().zip(before.rows());
    let led_by_others = rows
        .filter(|(new, old)| new.primary() != old.primary())
        .count();
    PlanOutcome {
        applied: false,
        base: state.version(),
        version: state.version(),
        partitions_changed: changed.count() as u64,
        copies_moved: plan.copies_moved,
        primaries_changed: led_by_others as u64,
        lower_bound: plan.lower_bound,
        optimal: plan.optimal,
        degraded: plan.degraded,
        table: plan.table,
    }
}

fn with_open_sessions(state: &State) -> Result<Topology, OperationError> {
    let up = state
        .topology()
        .nodes()
        .to_vec()
        .into_iter()
        .filter(|node| {
            state
                .open_session_of(node.id.as_str())
                .is_some_and(|session| !session.closing)
        });
    Topology::new(up).map_err(|source| OperationError::Placement {
        reason: source.to_string(),
    })
}

/// Computed off the runtime's threads: a million partitions take a while.
async fn place(
    topology: Topology,
    spec: Spec,
    previous: Option<Arc<Table>>,
) -> Result<Plan, OperationError> {
    let computed = tokio::task::spawn_blocking(move || {
        Balanced::default().place(&topology, &spec, previous.as_deref())
    });
    match computed.await {
        Ok(Ok(plan)) => Ok(plan),
        Ok(Err(source)) => Err(OperationError::Placement {
            reason: source.to_string(),
        }),
        Err(source) => Err(OperationError::Placement {
            reason: source.to_string(),
        }),
    }
}
