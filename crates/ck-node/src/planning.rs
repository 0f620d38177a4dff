//! The leader's plans: computed here, logged as tables, so that strategies may change without
//! the replicas diverging.

use std::sync::Arc;

use ck_control::{Command, Rejection, State, Trigger};
use ck_core::placement::{Balanced, Placement, Plan};
use ck_core::{Spec, Table, Topology};

use crate::execute::{propose, settled};
use crate::operation::{OperationError, Outcome, PlanOutcome};
use crate::published::now_ms;
use crate::shared::Shared;
use crate::wire::Forwarded;

/// Plans that became stale while they were made, before it is given up.
const ATTEMPTS_MAX: usize = 5;

/// Recorded with the table, for people.
const STRATEGY: &str = "balanced";

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

/// Plans from the present table over the present nodes, and applies the plan unless `dry_run`.
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
        let plan = place(state.topology(), state.spec(), Some(Arc::clone(&table))).await?;
        let mut outcome = figures(&state, &table, plan);
        if dry_run || outcome.partitions_changed == 0 {
            return Ok(Outcome::Plan(outcome));
        }
        let command = Command::ApplyPlan {
            base: outcome.base,
            table: outcome.table.clone(),
            trigger,
            started_at_ms,
        };
        match propose(node, command, actor).await {
            Ok((_, version)) => {
                outcome.applied = true;
                outcome.version = version;
                return Ok(Outcome::Plan(outcome));
            }
            Err(source @ OperationError::Rejected(Rejection::PlanStale { .. })) => {
                stale = Some(source);
            }
            Err(source) => return Err(source),
        }
    }
    Err(stale.unwrap_or(OperationError::NoPartitions))
}

fn figures(state: &State, before: &Table, plan: Plan) -> PlanOutcome {
    let changed = plan
        .table
        .rows()
        .zip(before.rows())
        .filter(|(new, old)| !new.nodes().eq(old.nodes()));
    PlanOutcome {
        applied: false,
        base: state.version(),
        version: state.version(),
        partitions_changed: changed.count() as u64,
        copies_moved: plan.copies_moved,
        primaries_changed: plan.primaries_changed,
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
