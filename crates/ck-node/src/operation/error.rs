use ck_control::Rejection;
use ck_core::{NodeId, PartitionId};
use serde::{Deserialize, Serialize};

/// Why an operation was not carried out, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OperationError {
    /// This node is not the leader, and was asked not to pass the operation on.
    #[error("{node} does not lead the cluster{}; ask the leader", leader.as_ref().map(|l| format!(", {l} does")).unwrap_or_default())]
    NotLeader {
        /// The node that was asked.
        node: NodeId,
        /// The leader, when it is known.
        leader: Option<NodeId>,
    },
    /// Nobody leads at present.
    #[error(
        "the cluster has no leader at present: {reason}; a majority of the {voters} voters must be up and connected"
    )]
    NoLeader {
        /// What was tried.
        reason: String,
        /// Number of voters.
        voters: u64,
    },
    /// This node is still forming or joining a cluster.
    #[error("{node} belongs to no cluster yet: {waiting_for}")]
    NotFormed {
        /// The node.
        node: NodeId,
        /// What it waits for.
        waiting_for: String,
    },
    /// No answer in time. The operation may or may not have been carried out.
    #[error(
        "no answer within {after_ms} ms; the operation may or may not have been carried out, look before repeating it"
    )]
    Unknown {
        /// The time it was given.
        after_ms: u64,
    },
    /// The replicated state refused the command. Nothing changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The node to be admitted did not answer at its address.
    #[error(
        "{node} does not answer at {address}: {reason}; start it, or name the address its peers reach it at"
    )]
    Unreachable {
        /// The node.
        node: NodeId,
        /// The address tried.
        address: String,
        /// Why it failed.
        reason: String,
    },
    /// Another node answered at that address.
    #[error("{address} is {got}, not {node}; name the address of {node}")]
    WrongNode {
        /// The node wanted.
        node: NodeId,
        /// The address tried.
        address: String,
        /// Who answered.
        got: NodeId,
    },
    /// A node means to join a cluster of another name.
    #[error(
        "{node} means to join cluster {wanted:?}, but this is {actual:?}; start it with --cluster {actual}"
    )]
    OtherCluster {
        /// The node.
        node: NodeId,
        /// The name it gave.
        wanted: String,
        /// The name of this cluster.
        actual: String,
    },
    /// A joining node names a configuration value other than the cluster's.
    #[error(
        "{node} names {field} {wanted}, but the cluster has {actual}; leave the flag out to adopt it"
    )]
    Conflict {
        /// The node.
        node: NodeId,
        /// The field.
        field: String,
        /// The value it named.
        wanted: String,
        /// The cluster's.
        actual: String,
    },
    /// No placement could be computed.
    #[error("no placement: {reason}")]
    Placement {
        /// Why.
        reason: String,
    },
    /// A plan would leave fewer copies than planned work may.
    #[error(
        "the plan would leave {partition} with {have} copies, below min_in_sync {least}; add a node, or lower min_in_sync"
    )]
    TooFewCopies {
        /// The first such partition.
        partition: PartitionId,
        /// Copies it would have.
        have: u64,
        /// The least there must be.
        least: u64,
    },
    /// The node to be removed still has copies that are being moved away.
    #[error(
        "{node} still holds {copies} copies, which are being moved away; ask again when it is empty"
    )]
    Draining {
        /// The node.
        node: NodeId,
        /// Copies it has.
        copies: u64,
    },
    /// There is no table to plan from.
    #[error("the partitions do not exist yet; create them first")]
    NoPartitions,
    /// The cluster is guarded by a token, and the node showed none, or another.
    #[error(
        "{node} does not show the token that this cluster asks for; start it with --token-file and the cluster's token"
    )]
    Unauthorized {
        /// The node.
        node: NodeId,
    },
    /// Nobody else could vote without it.
    #[error(
        "{node} is the only voter, and no other member has caught up; start another one and let it catch up first"
    )]
    LastVoter {
        /// The node that was to be removed.
        node: NodeId,
    },
    /// It has the only copy in sync of some partitions.
    #[error(
        "{node} has the only copy in sync of {partitions} partitions; start the nodes with the other copies, and remove it again"
    )]
    LastCopy {
        /// The node that was to be removed.
        node: NodeId,
        /// How many.
        partitions: u64,
    },
    /// The entry would be larger than what one node can send another.
    #[error(
        "an entry of {bytes} bytes is too large; at most {limit} are allowed: use fewer partitions, or raise payload_bytes_max"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many operations wait already.
    #[error("{limit} operations wait already; try again in a moment")]
    Busy {
        /// Most operations that may wait.
        limit: u64,
    },
    /// The node's own store cannot be written.
    #[error("the node's store cannot be written: {reason}")]
    Store {
        /// Why.
        reason: String,
    },
    /// The node stops.
    #[error("{node} is stopping")]
    Stopping {
        /// The node.
        node: NodeId,
    },
}

impl OperationError {
    /// A stable name for programs: kebab-case, never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLeader { .. } => "not-leader",
            Self::NoLeader { .. } => "no-leader",
            Self::NotFormed { .. } => "not-formed",
            Self::Unknown { .. } => "outcome-unknown",
            Self::Rejected(rejection) => rejection.code(),
            Self::Unreachable { .. } => "node-unreachable",
            Self::WrongNode { .. } => "wrong-node",
            Self::OtherCluster { .. } => "other-cluster",
            Self::Conflict { .. } => "configuration-conflict",
            Self::Placement { .. } => "no-placement",
            Self::TooFewCopies { .. } => "too-few-copies",
            Self::Draining { .. } => "draining",
            Self::NoPartitions => "no-partitions",
            Self::Unauthorized { .. } => "unauthorized",
            Self::LastVoter { .. } => "last-voter",
            Self::LastCopy { .. } => "last-copy",
            Self::TooLarge { .. } => "entry-too-large",
            Self::Busy { .. } => "busy",
            Self::Store { .. } => "store-failed",
            Self::Stopping { .. } => "stopping",
        }
    }

    /// Whether the same operation may succeed later without anything else being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::NoLeader { .. }
            | Self::NotFormed { .. }
            | Self::Unreachable { .. }
            | Self::Stopping { .. }
            | Self::Draining { .. }
            | Self::Busy { .. } => true,
            Self::Rejected(rejection) => rejection.is_retryable(),
            _ => false,
        }
    }
}
