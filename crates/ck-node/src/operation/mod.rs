//! What can be asked of the cluster through any of its nodes.
//!
//! An operation is carried out by the leader: it computes what is needed (a placement, say), and
//! proposes the resulting commands. Any other node passes the operation on, so callers need not
//! know who leads.

mod error;

pub use error::OperationError;

use std::collections::BTreeMap;

use ck_control::{
    ClusterId, ConfigChange, Generation, Home, InSyncChange, Incarnation, LeaseTerms, MemberChange,
    MemberNumber, Mode, Nonce, SessionId, StopMark, StoreId, Trigger,
};
use ck_core::{Domain, Epoch, NodeId, PartitionId, Table, Version};
use serde::{Deserialize, Serialize};

/// Something to be done by the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Create the partitions, once. Idempotent: the second time nothing changes.
    CreatePartitions,
    /// Plan over the nodes of now, and begin the plan unless `dry_run`.
    Rebalance {
        /// Only plan; change nothing.
        dry_run: bool,
    },
    /// Begin to carry out a plan that was looked at before, if nothing it depends on has changed.
    BeginPlan {
        /// The version it was made for.
        base: Version,
        /// The table to reach.
        table: Table,
        /// Why.
        trigger: Trigger,
    },
    /// Hold the plan under way back, or let it go on. Moves that have begun go on.
    PausePlan {
        /// Whether it is held back.
        paused: bool,
    },
    /// Give the plan under way up. Moves that have begun go on.
    AbortPlan,
    /// Let moves go on although many nodes were lost at once.
    ReleaseBrake,
    /// Make a node the primary of a partition that nobody may act on.
    Promote {
        /// The partition.
        partition: PartitionId,
        /// The node; it needs an open session and a copy.
        node: NodeId,
        /// Whether writes that the node does not have may be lost.
        accept_loss: bool,
    },
    /// A primary changes the in-sync set of its partition. Taking out the target of a move under way
    /// ends that move.
    InSync {
        /// The partition.
        partition: PartitionId,
        /// The primary's session.
        session: SessionId,
        /// Its grant.
        epoch: Epoch,
        /// What changes.
        change: InSyncChange,
    },
    /// Change what is promised. A higher mode holds once every open session has applied it.
    SetMode {
        /// The mode.
        mode: Mode,
    },
    /// Change the lease. A shorter one binds the leader only when the longer has run out.
    SetLease {
        /// The new terms.
        terms: LeaseTerms,
    },
    /// Admit a node, which is reached first.
    Join(JoinRequest),
    /// A member opens a new session, at each of its starts.
    Register(JoinRequest),
    /// A member ends its session.
    Stop {
        /// The member.
        member: MemberNumber,
        /// The session it ends.
        session: SessionId,
    },
    /// Take a node out of the cluster for good. One that is up is drained first; while it still has
    /// copies the answer is [`OperationError::Draining`], and the operation is worth repeating.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// Change what is known of a node.
    Update {
        /// The node.
        node: NodeId,
        /// What to change; absent fields stay.
        change: MemberChange,
    },
    /// Change the cluster's configuration.
    Configure {
        /// What to change; absent fields stay.
        change: ConfigChange,
    },
    /// Write a replicated value.
    SetCustom {
        /// Its key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// Write only if this is the present version; 0 for "does not exist yet".
        expected: Option<Version>,
    },
    /// Delete a replicated value.
    DeleteCustom {
        /// Its key.
        key: String,
        /// Delete only if this is the present version.
        expected: Option<Version>,
    },
    /// Create the partitions where they are elsewhere already. Idempotent: with the table there is,
    /// nothing changes.
    AdoptTable {
        /// The first table.
        table: Table,
    },
}

/// What a node says of itself when it joins or opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its id.
    pub node: NodeId,
    /// A name for people.
    pub display_name: String,
    /// The name of the cluster it means to join.
    pub cluster_name: Option<String>,
    /// Where its peers reach it, `host:port`.
    pub peer_address: String,
    /// Where its HTTP surface is, `host:port`; empty when it has none.
    pub http_address: String,
    /// Its share of the partitions, relative to the others'; absent keeps what is known, else 1.
    pub weight: Option<u32>,
    /// Its failure domain; absent keeps what is known.
    pub domain: Option<Domain>,
    /// Addresses of the application's own services, by name; none keeps what is known.
    pub services: BTreeMap<String, String>,
    /// Labels for people and filters; none keeps what is known.
    pub labels: BTreeMap<String, String>,
    /// What only the node itself can say; absent when an operator announces a node.
    pub itself: Option<Itself>,
}

/// What a node knows of its own store and start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Itself {
    /// Id of its store.
    pub store: StoreId,
    /// Its starts so far.
    pub generation: Generation,
    /// The homes of its store, oldest first, each with the last start there; empty where the system
    /// does not tell.
    pub homes: Vec<(Home, Generation)>,
    /// Drawn by its process at this start.
    pub process: Nonce,
    /// Its member number, when it has one.
    pub member: Option<MemberNumber>,
    /// The session it knows to be its last.
    pub previous: Option<SessionId>,
    /// Whether acknowledgements of its application are durable.
    pub durable: bool,
    /// The session that its store was stopped cleanly in, by the mark in it.
    pub stopped: Option<StopMark>,
    /// Its newest earlier start that told an outside process what it may act on.
    pub served: Option<Generation>,
    /// Configuration values it names; absent ones are adopted.
    pub choices: ck_control::ConfigChoices,
    /// Highest command version it understands.
    pub command_version: u16,
    /// What it was given to show.
    pub secret: Option<crate::Secret>,
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The partitions exist; `created` is false when they did before.
    Partitions {
        /// Whether this operation created them.
        created: bool,
        /// The table's version.
        version: Version,
    },
    /// A plan, begun or not.
    Plan(PlanOutcome),
    /// The node is a member.
    Joined(Joined),
    /// The session is over.
    Stopped,
    /// The node is no member any more.
    Removed,
    /// The node or the configuration is changed.
    Changed {
        /// The version after the change.
        version: Version,
    },
    /// The value is written or deleted.
    Custom {
        /// The version of the value: that of the change that wrote it.
        version: Version,
    },
}

/// A plan's figures, and the table it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOutcome {
    /// Whether it was begun; a dry run is not, nor is a plan that changes nothing.
    pub applied: bool,
    /// The version it was made for.
    pub base: Version,
    /// The version with which it began, else `base`.
    pub version: Version,
    /// Rows that differ.
    pub partitions_changed: u64,
    /// Copies that are new.
    pub copies_moved: u64,
    /// Primaries that differ.
    pub primaries_changed: u64,
    /// Fewest copies any plan for these counts has to move.
    pub lower_bound: u64,
    /// Whether `copies_moved` is proved to be the least.
    pub optimal: bool,
    /// Whether nodes or domains are too few for the replication factor or the spread.
    pub degraded: bool,
    /// The rows.
    pub table: Table,
}

/// What a node learns when it is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The node.
    pub node: NodeId,
    /// Its member number.
    pub member: MemberNumber,
    /// Its open session; absent when an operator announced a node that has yet to start.
    pub session: Option<SessionId>,
    /// Members there are.
    pub members: u64,
}
