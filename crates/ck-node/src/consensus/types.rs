use std::io::Cursor;

use ck_control::{Proposal, Rejection};
use ck_core::Version;
use serde::{Deserialize, Serialize};

/// What the log remembers of a peer, so that it can be reached before any state is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerNode {
    pub(crate) address: String,
}

/// What came of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) position: u64,
    /// The version after it, or why it was refused.
    pub(crate) result: Result<Version, Rejection>,
}

openraft::declare_raft_types!(
    /// The types consensus is run with here.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = PeerNode,
        SnapshotData = Cursor<Vec<u8>>,
);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type LogEntry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, PeerNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, PeerNode>;
pub(crate) type Snapshot = openraft::Snapshot<TypeConfig>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type StorageIOError = openraft::StorageIOError<u64>;
pub(crate) type RaftError<E = openraft::error::Infallible> = openraft::error::RaftError<u64, E>;
pub(crate) type RpcError<E = openraft::error::Infallible> =
    openraft::error::RPCError<u64, PeerNode, RaftError<E>>;
pub(crate) type Metrics = openraft::RaftMetrics<u64, PeerNode>;
