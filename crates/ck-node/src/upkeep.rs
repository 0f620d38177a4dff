//! What the leader does beside deciding who owns what: genesis, who receives the log and who
//! votes, creating the partitions, and planning anew when weights, domains or the configuration
//! change.
//!
//! Level-triggered: each step looks at the state as it is, and does the first thing that is not
//! as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_control::{Command, Config, Founder, Genesis, Incarnation, MemberNumber, State, Trigger};
use ck_core::Domain;

use crate::consensus::{MemberChange, ProposeError, Substrate, SubstrateStatus};
use crate::control::CONTROLLER;
use crate::execute::propose;
use crate::incarnation::drawn;
use crate::operation::OperationError;
use crate::planning;
use crate::published::now_ms;
use crate::shared::Shared;

/// Membership changes made in one step at most.
const CHANGES_MAX: usize = 64;

/// Time the first voters have to catch up before the partitions are created without them.
const VOTERS_WITHIN: Duration = Duration::from_secs(2);

/// Time a removed member has to receive the entry that says so.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Between two attempts at something that failed.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What a leader remembers. Belongs to one term of one process, and is dropped with it.
#[derive(Default)]
pub(crate) struct Upkeep {
    term: u64,
    /// What a plan depends on, and since when it has been as it is.
    settled: Option<(Shape, Instant)>,
    planned: Option<Shape>,
    not_before: Option<Instant>,
    /// When a removed member was first seen among those who receive the log.
    removed_since: BTreeMap<MemberNumber, Instant>,
    /// Since when as many nodes as the replication factor have been up, before there are
    /// partitions.
    enough_since: Option<Instant>,
}

/// What a plan depends on besides who is there, which the control loop watches.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    members: BTreeMap<MemberNumber, (u32, Option<Domain>)>,
    replication_factor: u8,
    spread: u8,
}

impl Shape {
    fn of(state: &State) -> Self {
        let members = state.members().filter(|member| !member.closing);
        Self {
            members: members
                .map(|member| (member.number, (member.weight, member.domain.clone())))
                .collect(),
            replication_factor: state.config().replication_factor,
            spread: state.config().spread,
        }
    }

    /// Of no cluster: every other differs from it.
    const fn none() -> Self {
        Self {
            members: BTreeMap::new(),
            replication_factor: 0,
            spread: 0,
        }
    }

    /// Whether anything differs but who is there.
    fn differs(&self, other: &Self) -> bool {
        let known = |(number, shape): (&MemberNumber, &(u32, Option<Domain>))| {
            other
                .members
                .get(number)
                .is_some_and(|other| other != shape)
        };
        self.members.iter().any(known)
            || (self.replication_factor, self.spread) != (other.replication_factor, other.spread)
    }
}

impl Upkeep {
    /// Does what is to be done now. Returns when to look again at the latest.
    pub(crate) async fn step(&mut self, node: &Arc<Shared>, status: &SubstrateStatus) -> Duration {
        if !status.leads() {
            *self = Self::default();
            return RETRY_EVERY;
        }
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return RETRY_EVERY;
        }
        if self.term != status.term {
            *self = Self {
                term: status.term,
                ..Self::default()
            };
        }
        if node.state().formed().is_none()
            && let Err(source) = form(node).await
        {
            tracing::warn!(%source, term = status.term, "the cluster is not formed yet");
            // A refusal is an entry as well, and would wake us at once.
            self.not_before = Some(Instant::now() + RETRY_EVERY);
            return RETRY_EVERY;
        }
        if node.standing.borrow().office.is_none() {
            return RETRY_EVERY;
        }
        self.not_before = None;
        if let Err(source) = reconcile(node, &mut self.removed_since).await {
            tracing::debug!(%source, "the members are not as they should be yet");
            self.not_before = Some(Instant::now() + RETRY_EVERY);
        }
        self.create_partitions(node).await;
        self.rebalance(node).await
    }

    async fn create_partitions(&mut self, node: &Arc<Shared>) {
        let state = node.state();
        if state.table().is_some() || !state.config().auto_create {
            return;
        }
        let up = state
            .members()
            .filter(|member| member.session.is_some() && !member.closing)
            .count();
        if up < usize::from(state.config().replication_factor) {
            return;
        }
        // A cluster that says it is ready survives the loss of a node: the voters come first, but
        // one that never catches up does not hold the others up for long.
        let since = *self.enough_since.get_or_insert_with(Instant::now);
        let status = node.status();
        let enough = odd(up).min(usize::from(state.config().voters));
        let voting = status.voters.len() >= enough && !status.joint;
        if !voting && since.elapsed() < VOTERS_WITHIN {
            return;
        }
        if let Err(source) = planning::create(node, CONTROLLER).await {
            tracing::warn!(%source, "the partitions are not created yet");
            self.not_before = Some(Instant::now() + RETRY_EVERY);
        }
    }

    /// A plan for the weights, domains and configuration of now, once they have been the same for
    /// a while.
    async fn rebalance(&mut self, node: &Arc<Shared>) -> Duration {
        let state = node.state();
        if state.table().is_none() || !state.config().auto_rebalance {
            return RETRY_EVERY;
        }
        let now = Shape::of(&state);
        // What changed under an earlier leader, which may not have come to plan for it, counts.
        let unplanned = state.reshaped().is_some();
        let planned = self.planned.get_or_insert_with(|| match unplanned {
            true => Shape::none(),
            false => now.clone(),
        });
        if !now.differs(planned) {
            *planned = now;
            return RETRY_EVERY;
        }
        let settle = Duration::from_millis(state.config().settle_ms);
        match &self.settled {
            Some((seen, since)) if !now.differs(seen) => {
                let left = settle.saturating_sub(since.elapsed());
                if !left.is_zero() {
                    return left;
                }
            }
            _ => {
                self.settled = Some((now, Instant::now()));
                return settle;
            }
        }
        match planning::rebalance(node, Trigger::Manual, false, CONTROLLER).await {
            Ok(_) => self.planned = Some(now),
            Err(source) => {
                tracing::debug!(%source, "no rebalance yet");
                self.not_before = Some(Instant::now() + RETRY_EVERY);
            }
        }
        RETRY_EVERY
    }
}

/// Commits genesis.
async fn form(node: &Arc<Shared>) -> Result<(), OperationError> {
    let Some(membership) = node.membership() else {
        return Err(OperationError::NotFormed {
            node: node.config.node.clone(),
            waiting_for: "a place in a cluster".to_owned(),
        });
    };
    let config = Config::from_choices(&node.config.choices)
        .map_err(|source| OperationError::Rejected(source.into()))?;
    let store = node.identity.lock().store;
    let genesis = Genesis {
        cluster: membership.cluster,
        name: membership.cluster_name.clone(),
        incarnation: drawn(now_ms(), membership.member, Incarnation(0)),
        config,
        founder: Founder {
            node: node.config.node.clone(),
            store,
        },
    };
    match propose(node, Command::Genesis(genesis), CONTROLLER).await {
        // An earlier leader's was in the log, and is applied now.
        Ok(_) | Err(OperationError::Rejected(ck_control::Rejection::AlreadyFormed { .. })) => {
            Ok(())
        }
        Err(source) => Err(source),
    }
}

/// Makes the members of the log what the state says they are, one change after the other.
///
/// A removed member that does not vote is still sent the log for a while, so that it hears of it.
pub(crate) async fn reconcile(
    node: &Arc<Shared>,
    removed_since: &mut BTreeMap<MemberNumber, Instant>,
) -> Result<(), ProposeError> {
    let Some(consensus) = node.consensus.get() else {
        return Ok(());
    };
    for _ in 0..CHANGES_MAX {
        let status = consensus.watch().borrow().clone();
        let told = |member: MemberNumber| {
            removed_since
                .entry(member)
                .or_insert_with(Instant::now)
                .elapsed()
                >= TOLD_WITHIN
        };
        let lost = node.standing.borrow().lost.clone();
        let Some(change) = next_change(&node.state(), &status, &lost, told) else {
            return Ok(());
        };
        tracing::info!(?change, "changing the members of the log");
        consensus.change_members(change).await?;
    }
    Ok(())
}

/// The first thing about the members of the log that is not as the state wants it.
fn next_change(
    state: &State,
    status: &SubstrateStatus,
    lost: &[MemberNumber],
    mut told: impl FnMut(MemberNumber) -> bool,
) -> Option<MemberChange> {
    if !status.leads() || state.members().len() == 0 {
        return None;
    }
    if let Some(missing) = state
        .members()
        .find(|member| !status.members.contains(&member.number))
    {
        let address = missing.peer_address.clone();
        return Some(MemberChange::AddLearner {
            member: missing.number,
            address,
        });
    }
    let voters = wanted_voters(state, status, lost);
    if !voters.is_empty() && (voters != *status.voters || status.joint) {
        return Some(MemberChange::Voters(voters));
    }
    let gone =
        |member: &&MemberNumber| state.is_removed(**member) && !status.voters.contains(*member);
    status
        .members
        .iter()
        .filter(gone)
        .find(|member| told(**member))
        .map(|member| MemberChange::Remove(*member))
}

/// Who should vote: those who do, as long as they are members, and caught-up members of other
/// failure domains first, up to the largest of 1, 3, 5 that the configuration and the nodes allow.
/// The number never shrinks by itself; when a voter was removed it is made odd again. A voter that
/// is `lost` gives its place to a caught-up member, and keeps it while there is none.
fn wanted_voters(
    state: &State,
    status: &SubstrateStatus,
    lost: &[MemberNumber],
) -> BTreeSet<MemberNumber> {
    let stays = |number: &MemberNumber| !state.is_removed(*number);
    let mut voters: BTreeSet<MemberNumber> = status.voters.iter().copied().filter(stays).collect();
    let removed = voters.len() < status.voters.len();
    let mut candidates: Vec<_> = state
        .members()
        .filter(|member| !voters.contains(&member.number) && !member.closing)
        .filter(|member| member.session.is_some() && status.is_caught_up(member.number))
        .collect();
    let mut places = lost
        .iter()
        .filter(|member| voters.contains(*member))
        .copied();
    let mut replaced = BTreeSet::new();
    for _ in 0..candidates.len() {
        replaced.extend(places.next());
    }
    let size = voters.len();
    voters.retain(|voter| !replaced.contains(voter));
    let all = odd(size + candidates.len()).min(usize::from(state.config().voters));
    let possible = all.max(size);
    while voters.len() < possible && !candidates.is_empty() {
        let taken: BTreeSet<Option<&Domain>> = voters
            .iter()
            .filter_map(|voter| state.member(*voter))
            .map(|member| member.domain.as_ref())
            .collect();
        // A node without a domain is one of its own, so it always brings a new one.
        let fresh = candidates
            .iter()
            .position(|c| c.domain.is_none() || !taken.contains(&c.domain.as_ref()));
        voters.insert(candidates.remove(fresh.unwrap_or(0)).number);
    }
    if removed && voters.len().is_multiple_of(2) {
        // Of two voters, either stops the cluster when it stops; the newest that does not lead goes
        // back to receiving only.
        let newest = voters
            .iter()
            .rev()
            .find(|voter| Some(**voter) != status.leader)
            .copied();
        voters.retain(|voter| Some(*voter) != newest);
    }
    voters
}

/// The largest odd number up to `count`.
fn odd(count: usize) -> usize {
    if count.is_multiple_of(2) {
        count.saturating_sub(1)
    } else {
        count
    }
}
