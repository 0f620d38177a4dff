//! Plans that were previewed on this node, kept until others take their place.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ck_api as api;
use ck_control::{Rebalance, State};
use ck_core::explain::Explainer;
use ck_core::schedule::{Bound, Limits, Migration, Schedule};
use ck_core::{NodeId, NodeState, PartitionId, RowChange, Table, Topology, Version};
use ck_node::PlanOutcome;

use crate::moving;

/// Plans that are kept; the oldest makes room.
const KEPT_MAX: usize = 16;

/// Cells of the tables of all kept plans, of four bytes each; the newest is kept in any case.
const KEPT_CELLS_MAX: usize = 32 << 20;

/// Most changed partitions that are listed.
const MOVES_MAX: usize = 1000;

/// Cells of tables looked at to find reasons, at most: a reason looks at a whole table.
const REASON_CELLS_MAX: usize = 50_000_000;

/// Commands that end a plan: carried out, given up.
const ENDS: [&str; 2] = ["rebalance-finish", "rebalance-abort"];

/// The id of the plan under way, whoever made it.
pub(crate) const CURRENT: &str = "current";

/// Plans previewed here.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    kept: Mutex<VecDeque<Arc<Kept>>>,
    made: AtomicU64,
}

/// One plan.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) base: Version,
    pub(crate) table: Table,
    /// All that does not change any more.
    shown: api::Plan,
    /// Version in which it was begun; 0 before.
    begun: AtomicU64,
    done: AtomicBool,
}

impl Plans {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a plan under an id of its own.
    pub(crate) fn keep(&self, mut plan: Kept) -> Arc<Kept> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_millis());
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        plan.shown.id = format!("plan-{now:x}-{number}");
        let plan = Arc::new(plan);
        let mut kept = self.kept();
        kept.push_back(Arc::clone(&plan));
        let cells = |one: &Arc<Kept>| one.table.cells().len();
        while kept.len() > KEPT_MAX
            || (kept.len() > 1 && kept.iter().map(cells).sum::<usize>() > KEPT_CELLS_MAX)
        {
            kept.pop_front();
        }
        plan
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Kept>> {
        self.kept().iter().find(|one| one.shown.id == id).cloned()
    }

    /// The kept plan that is being carried out.
    pub(crate) fn under_way(&self, plan: &Rebalance) -> Option<Arc<Kept>> {
        self.kept().iter().find(|one| one.is(plan)).cloned()
    }
}

impl Kept {
    /// A plan made over `state`, looked at from all sides. Takes a while on large tables.
    pub(crate) fn new(state: &State, outcome: PlanOutcome, trigger: &str, node: &NodeId) -> Self {
        let gap = if outcome.optimal {
            0
        } else {
            outcome.copies_moved.saturating_sub(outcome.lower_bound)
        };
        let max = state.config().max_transfers_per_node;
        let mut shown = api::Plan {
            node: node.to_string(),
            incarnation: state.incarnation().0,
            base: outcome.base.0,
            trigger: trigger.to_owned(),
            partitions_changed: outcome.partitions_changed,
            copies_moved: outcome.copies_moved,
            primaries_changed: outcome.primaries_changed,
            lower_bound: outcome.lower_bound,
            optimal: outcome.optimal,
            gap,
            degraded: outcome.degraded,
            transfers_per_node: max.into(),
            ..api::Plan::default()
        };
        if let Some(table) = state.table() {
            look_at(state, table, &outcome.table, &mut shown);
        }
        Self {
            base: outcome.base,
            table: outcome.table,
            shown,
            begun: AtomicU64::new(0),
            done: AtomicBool::new(false),
        }
    }

    /// What is left of a plan under way that was not previewed here.
    pub(crate) fn of_rebalance(state: &State, plan: &Rebalance, node: &NodeId) -> Self {
        let changed = state.table().and_then(|now| now.diff(&plan.target).ok());
        let rows = changed.map_or_else(Vec::new, |changed| changed.rows);
        let primaries = rows
            .iter()
            .filter(|row| row.primary_before != row.primary_after);
        let outcome = PlanOutcome {
            applied: true,
            base: plan.base,
            version: state.version(),
            partitions_changed: rows.len() as u64,
            copies_moved: rows.iter().map(|row| row.added.len() as u64).sum(),
            primaries_changed: primaries.count() as u64,
            lower_bound: 0,
            optimal: false,
            degraded: false,
            table: Table::clone(&plan.target),
        };
        let kept = Self::new(state, outcome, &plan.trigger.to_string(), node);
        Self {
            shown: api::Plan {
                id: CURRENT.to_owned(),
                ..kept.shown
            },
            begun: AtomicU64::new(plan.base.0.max(1)),
            ..kept
        }
    }

    /// Whether it is the plan under way.
    pub(crate) fn is(&self, plan: &Rebalance) -> bool {
        plan.base == self.base && *plan.target == self.table
    }

    pub(crate) fn id(&self) -> &str {
        &self.shown.id
    }

    /// `incarnation.version` it was made for.
    pub(crate) fn condition(&self) -> String {
        format!("{}.{}", self.shown.incarnation, self.base)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shown.partitions_changed == 0
    }

    /// Notes in which version it was begun.
    pub(crate) fn begin(&self, version: Version) {
        self.begun.store(version.0, Ordering::Relaxed);
    }

    /// The plan as it stands in a state.
    pub(crate) fn show(&self, state: &State) -> api::Plan {
        let mut shown = self.shown.clone();
        let current = state.rebalance().filter(|plan| self.is(plan));
        shown.status = self.status(state, current).to_owned();
        shown.progress = current.map(|plan| api::PlanProgress {
            total: plan.total.into(),
            done: plan.done.into(),
            paused: plan.paused,
            actor: plan.actor.clone(),
            started_at_ms: plan.started_at_ms,
            transfers: moving::transfers(state),
        });
        shown
    }

    /// Whether it was carried out to its end: by the history, while that goes back so far, else by
    /// what became of it.
    fn was_finished(&self, state: &State, begun: u64) -> bool {
        let since = state.history().skip_while(|entry| entry.version.0 <= begun);
        let mut ends = since.filter(|entry| ENDS.contains(&entry.kind.as_str()));
        if let Some(end) = ends.next() {
            let kept = state.history().next();
            if kept.is_some_and(|oldest| oldest.version.0 <= begun) {
                return end.kind == ENDS[0];
            }
        }
        let same = |now: &Table| now.diff(&self.table).is_ok_and(|left| left.rows.is_empty());
        state.table().is_some_and(|now| same(now))
    }

    fn status(&self, state: &State, current: Option<&Rebalance>) -> &'static str {
        match current {
            Some(plan) if plan.paused => return "paused",
            Some(_) => return "under-way",
            None => {}
        }
        let begun = self.begun.load(Ordering::Relaxed);
        if begun > 0 {
            if self.was_finished(state, begun) {
                self.done.store(true, Ordering::Relaxed);
            }
            return if self.done.load(Ordering::Relaxed) {
                "done"
            } else {
                "ended"
            };
        }
        let is_other = state.incarnation().0 != self.shown.incarnation;
        match (self.is_empty(), state.placement_version() > self.base) {
            _ if is_other => "stale",
            (true, _) => "empty",
            (false, true) => "stale",
            (false, false) => "preview",
        }
    }
}

/// Adds rounds, moves and reasons.
fn look_at(state: &State, before: &Table, after: &Table, shown: &mut api::Plan) {
    let (topology, spec) = (state.topology(), state.spec());
    let (live, stale) = (with_those_away_down(state, &topology), stale(state));
    let most = NonZeroU32::new(state.config().max_transfers_per_node.into());
    let most = most.unwrap_or(NonZeroU32::MIN);
    let migration = Migration {
        topology: &live,
        spec: &spec,
        previous: before,
        target: after,
        limits: Limits {
            incoming: most,
            outgoing: most,
        },
        stale: &stale,
    };
    let mut rounds: BTreeMap<PartitionId, u32> = BTreeMap::new();
    if let Ok(schedule) = migration.schedule() {
        shown.rounds = schedule.rounds.into();
        shown.rounds_bound = bound(&schedule);
        shown.partitions_lost = schedule.lost.iter().map(ToString::to_string).collect();
        for transfer in &schedule.transfers {
            let last = rounds.entry(transfer.partition).or_default();
            *last = (*last).max(transfer.round);
        }
    }
    let changed = before.diff(after).unwrap_or_default();
    let explainer = Explainer::new(&topology, &spec, Some(before), after);
    let explained_max = REASON_CELLS_MAX / before.cells().len().max(1);
    let listed = changed.rows.iter().take(MOVES_MAX).enumerate();
    shown.moves = listed
        .map(|(at, row)| api::PlanMove {
            change: change(row),
            round: rounds.get(&row.partition).copied().unwrap_or(0).into(),
            why: if at < explained_max.max(16) {
                reasons(&explainer, row.partition)
            } else {
                Vec::new()
            },
        })
        .collect();
    shown.moves_left_out = (changed.rows.len() - shown.moves.len()) as u64;
}

/// One changed row with names.
pub(crate) fn change(row: &RowChange) -> api::Move {
    let names = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect();
    let name = |node: &Option<NodeId>| node.as_ref().map(ToString::to_string).unwrap_or_default();
    api::Move {
        partition: row.partition.to_string(),
        copy_to: names(&row.added),
        drop_from: names(&row.removed),
        old_primary: name(&row.primary_before),
        new_primary: name(&row.primary_after),
    }
}

fn reasons(explainer: &Explainer<'_>, partition: PartitionId) -> Vec<String> {
    let Some(explained) = explainer.explain(partition) else {
        return Vec::new();
    };
    let kept = |reason: &ck_core::explain::Reason| *reason == ck_core::explain::Reason::Kept;
    let came = explained.copies.iter().filter(|(_, reason)| !kept(reason));
    let came = came.map(|(node, reason)| format!("{node}: {reason}"));
    let left = explained.departed.iter();
    came.chain(left.map(|(node, departure)| format!("{node}: {departure}")))
        .collect()
}

/// Nodes that are not up can be read by nobody.
fn with_those_away_down(state: &State, topology: &Topology) -> Topology {
    let nodes = topology.nodes().iter().cloned().map(|mut node| {
        if state.open_session_of(node.id.as_str()).is_none() {
            node.state = NodeState::Down;
        }
        node
    });
    Topology::new(nodes).unwrap_or_else(|_| topology.clone())
}

/// Copies that are not in sync, sorted.
fn stale(state: &State) -> Vec<(PartitionId, NodeId)> {
    let mut stale = Vec::new();
    for (id, control) in state.partitions() {
        let row = state.table().and_then(|table| table.row(id));
        for node in row.into_iter().flat_map(|row| row.nodes()) {
            let member = state.member_by_node(node.as_str());
            if member.is_some_and(|member| !control.is_in_sync(member.number)) {
                stale.push((id, node.clone()));
            }
        }
    }
    stale.sort_unstable();
    stale
}

fn bound(schedule: &Schedule) -> String {
    let name = |at: &u32| {
        let node = usize::try_from(*at).ok();
        let node = node.and_then(|at| schedule.nodes.get(at));
        node.map(ToString::to_string).unwrap_or_default()
    };
    let of = |at: &u32, side: fn(&ck_core::schedule::Transfer) -> u32| {
        let theirs = schedule.transfers.iter().filter(|one| side(one) == *at);
        theirs.count()
    };
    match &schedule.bound {
        _ if schedule.rounds == 0 => "nothing is copied".to_owned(),
        Bound::Incoming(node) => {
            let count = of(node, |one| one.target);
            format!("{} receives {count} copies", name(node))
        }
        Bound::Outgoing(nodes) => {
            let names: Vec<_> = nodes.iter().map(name).collect();
            format!("only {} can give what is copied", names.join(", "))
        }
        _ => String::new(),
    }
}
