//! The replicated state: the same on every node that applied the same entries.

mod apply;
mod command;
mod event;
mod halt;
mod history;
mod invariants;
mod member;
mod moving;
mod octets;
mod partition;
mod pending;
mod proposal;
mod questions;
mod rejection;
mod row;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod transfer;

pub use apply::NewIncarnation;
pub use command::{
    Command, Entry, Founder, Genesis, HOMES_MAX, MemberChange, Registration, StopMark, Trigger,
};
pub use event::{ChangeReason, EndReason, Event, EventKind};
pub use halt::Halt;
pub use history::HistoryEntry;
pub use invariants::InvariantError;
pub use member::{Member, Office, Session};
pub use moving::{InSyncChange, Move, RebalanceCommand, TransferCommand};
pub use partition::{Holder, PartitionControl, PartitionState};
pub use pending::{Brake, PastLease, Raise, Rebalance};
pub use proposal::{COMMAND_VERSION, Proposal};
pub use questions::{
    CopyView, Explained, Finding, MayStop, MoveView, Obstacle, PlanView, StopHazard, WaitsFor,
};
pub use rejection::{MoveRejection, Rejection};
pub use snapshot::{SNAPSHOT_FORMAT, Snapshot, SnapshotError};
pub use transfer::{Party, Stage, Transfer};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{Node, PartitionId, Spec, Table, Topology, Version};
use serde::{Deserialize, Serialize};

use crate::bugs::{Bug, Bugs};
use crate::{Config, Incarnation, MemberNumber, Position, SessionId, TransferId};
use member::Members;

/// What an entry did: events to tell, or a reason for which nothing changed.
pub type Applied = Result<Vec<Event>, Rejection>;

/// A small value kept for the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// The value.
    #[serde(with = "octets")]
    pub value: Arc<[u8]>,
    /// Version of the state that first had it.
    pub version: Version,
    /// When it was written, by the proposer's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Everything the cluster has agreed on.
///
/// Changed by [`State::apply`] alone. A clone is cheap: large parts are shared, and copied when one
/// of the clones changes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    genesis: Option<Arc<Genesis>>,
    incarnation: Incarnation,
    applied: Position,
    version: Version,
    /// Version at which something last changed that a plan depends on.
    planned_on: Version,
    /// Version at which the weight or domain of a member, the replication factor or the spread last
    /// changed, while no plan has begun since.
    reshaped: Option<Version>,
    /// Highest command version in the log so far.
    commands_seen: u16,
    office: Option<Office>,
    config: Config,
    members: Arc<Members>,
    /// The newest number given; 1 is kept for the founder from the start.
    newest_member: MemberNumber,
    founder_joined: bool,
    sessions: Arc<BTreeMap<SessionId, Session>>,
    table: Option<Arc<Table>>,
    strategy: Option<String>,
    partitions: Arc<Vec<PartitionControl>>,
    transfers: Arc<BTreeMap<TransferId, Transfer>>,
    rebalance: Option<Arc<Rebalance>>,
    brake: Option<Brake>,
    raise: Option<Arc<Raise>>,
    past_lease: Option<PastLease>,
    customs: Arc<BTreeMap<Arc<str>, Custom>>,
    custom_bytes: u64,
    history: Arc<VecDeque<Arc<HistoryEntry>>>,
    #[serde(skip)]
    bugs: Bugs,
}

impl State {
    /// Breaks a rule of [`State::apply`] from here on; never written into a snapshot's bytes.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub const fn with_bugs(mut self, bugs: Bugs) -> Self {
        self.bugs = bugs;
        self
    }

    /// What the cluster was formed with; `None` before genesis.
    #[must_use]
    pub fn formed(&self) -> Option<&Genesis> {
        self.genesis.as_deref()
    }

    /// The cluster's incarnation; 0 before genesis.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Changes of what is published, so far.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The version at which something last changed that a plan depends on: rows, members, their
    /// weight, domain and state, replication factor and spread.
    ///
    /// A plan made for this version or a later one can be begun; sessions, custom values and the
    /// like change meanwhile without making it stale.
    #[must_use]
    pub const fn placement_version(&self) -> Version {
        self.planned_on
    }

    /// When the weight or domain of a member, the replication factor or the spread last changed,
    /// while no plan has begun since: somebody should look whether one is needed.
    #[must_use]
    pub const fn reshaped(&self) -> Option<Version> {
        self.reshaped
    }

    /// The newest entry applied, refused ones included.
    #[must_use]
    pub const fn applied(&self) -> Position {
        self.applied
    }

    /// The last office in the log.
    #[must_use]
    pub const fn office(&self) -> Option<&Office> {
        self.office.as_ref()
    }

    /// The configuration; the default one before genesis.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What a placement has to satisfy.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.config.spec()
    }

    /// The table; `None` before the partitions exist.
    #[must_use]
    pub const fn table(&self) -> Option<&Arc<Table>> {
        self.table.as_ref()
    }

    /// Name of the strategy that made the first table, when it was given.
    #[must_use]
    pub fn strategy(&self) -> Option<&str> {
        self.strategy.as_deref()
    }

    /// What is decided about a partition; `None` when there is no such partition.
    #[must_use]
    pub fn partition(&self, partition: PartitionId) -> Option<&PartitionControl> {
        self.partitions.get(partition.index())
    }

    /// All partitions in order of number.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a table has at most 2^24 partitions"
    )]
    pub fn partitions(
        &self,
    ) -> impl ExactSizeIterator<Item = (PartitionId, &PartitionControl)> + DoubleEndedIterator {
        self.partitions
            .iter()
            .enumerate()
            .map(|(at, one)| (PartitionId(at as u32), one))
    }

    /// How a partition is doing; unavailable when there is no such partition.
    #[must_use]
    pub fn partition_state(&self, partition: PartitionId) -> PartitionState {
        let Some((control, row)) = self
            .partition(partition)
            .zip(self.table.as_ref().and_then(|table| table.row(partition)))
        else {
            return PartitionState::Unavailable;
        };
        if !control
            .holder
            .is_some_and(|holder| self.sessions.contains_key(&holder.session))
        {
            return PartitionState::Unavailable;
        }
        if control.transfer.is_some() {
            return PartitionState::Moving;
        }
        let live = |node: &&ck_core::NodeId| {
            self.members
                .by_node(node.as_str())
                .is_some_and(|m| m.session.is_some() && control.is_in_sync(m.number))
        };
        if row.nodes().filter(live).count() < usize::from(self.config.replication_factor) {
            return PartitionState::Degraded;
        }
        PartitionState::Stable
    }

    /// The members in order of number.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> + DoubleEndedIterator {
        self.members.iter()
    }

    /// The member with that number.
    #[must_use]
    pub fn member(&self, number: MemberNumber) -> Option<&Member> {
        self.members.member(number)
    }

    /// The member with that name.
    #[must_use]
    pub fn member_by_node(&self, node: &str) -> Option<&Member> {
        self.members.by_node(node)
    }

    /// Whether a number was a member's once and is no more.
    #[must_use]
    pub fn is_removed(&self, number: MemberNumber) -> bool {
        let given = match number {
            MemberNumber(0) => false,
            MemberNumber(1) => self.founder_joined,
            _ => number <= self.newest_member,
        };
        given && self.member(number).is_none()
    }

    /// A session that is open.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<&Session> {
        self.sessions.get(&session)
    }

    /// The open sessions, oldest first.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = &Session> + DoubleEndedIterator {
        self.sessions.values()
    }

    /// The open session of a node.
    #[must_use]
    pub fn open_session_of(&self, node: &str) -> Option<&Session> {
        self.session(self.member_by_node(node)?.session?)
    }

    /// The planned moves under way, oldest first.
    pub fn transfers(&self) -> impl ExactSizeIterator<Item = &Transfer> + DoubleEndedIterator {
        self.transfers.values()
    }

    /// A planned move under way.
    #[must_use]
    pub fn transfer(&self, transfer: TransferId) -> Option<&Transfer> {
        self.transfers.get(&transfer)
    }

    /// The plan being carried out by transfers.
    #[must_use]
    pub fn rebalance(&self) -> Option<&Rebalance> {
        self.rebalance.as_deref()
    }

    /// Set while too much is lost to move anything.
    #[must_use]
    pub const fn brake(&self) -> Option<&Brake> {
        self.brake.as_ref()
    }

    /// The mode on its way up.
    #[must_use]
    pub fn raise(&self) -> Option<&Raise> {
        self.raise.as_deref()
    }

    /// The longer lease terms before the present ones, while they may still bind the leader.
    #[must_use]
    pub const fn past_lease(&self) -> Option<&PastLease> {
        self.past_lease.as_ref()
    }

    /// The state as it comes out of a snapshot.
    fn restored(self) -> Self {
        if !self.bugs.has(Bug::SnapshotWithoutEpochs) {
            return self;
        }
        let mut state = self;
        for control in Arc::make_mut(&mut state.partitions) {
            control.epoch = ck_core::Epoch(control.epoch.0.min(1));
        }
        state
    }

    /// A custom value.
    #[must_use]
    pub fn custom(&self, key: &str) -> Option<&Custom> {
        self.customs.get(key)
    }

    /// The custom values in order of key.
    pub fn customs(&self) -> impl ExactSizeIterator<Item = (&str, &Custom)> + DoubleEndedIterator {
        self.customs.iter().map(|(key, custom)| (&**key, custom))
    }

    /// Bytes of all custom keys and values.
    #[must_use]
    pub const fn custom_bytes(&self) -> u64 {
        self.custom_bytes
    }

    /// The newest accepted commands, oldest first, as many as the configuration keeps.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &HistoryEntry> + DoubleEndedIterator {
        self.history.iter().map(|entry| &**entry)
    }

    /// What a placement may use: members whose removal has not begun, whether or not their session
    /// is open.
    ///
    /// # Panics
    /// Never: names, weights and the number of members are checked when they register.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let nodes = self
            .members()
            .filter(|member| !member.closing)
            .map(|member| Node {
                id: member.node.clone(),
                weight: member.weight,
                domain: member.domain.clone(),
                state: member.state,
                max_copies: None,
            });
        Topology::new(nodes).expect("members are checked when they register")
    }

    /// The highest command version that every member understands, [`COMMAND_VERSION`] when there
    /// is none. A leader proposes no higher one.
    #[must_use]
    pub fn command_version_min(&self) -> u16 {
        let least = self.members().map(|member| member.command_version).min();
        least.map_or(COMMAND_VERSION, |least| least.min(COMMAND_VERSION))
    }
}
