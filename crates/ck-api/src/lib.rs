//! What travels over HTTP: bodies, problem codes, roles.
//!
//! Plain data with `serde`, no I/O. Names that clients of the Go library read are kept for good;
//! fields of our own stand beside them. Requests refuse unknown fields, so that a misspelt one is
//! never silently ignored; answers tolerate them, so that an older client reads a newer server.
//!
//! What it does *not* do: serve (`ck-http` does), call (`ck-client` does), or decide anything.
//!
#![deny(missing_docs)]

pub mod cluster;
pub mod custom;
pub mod health;
pub mod join;
mod once;
pub mod operate;
pub mod ownership;
pub mod partition;
pub mod plan;
pub mod problem;
pub mod question;
pub mod role;
pub mod table;
pub mod token;
pub mod tokens;

pub use cluster::{
    Cluster, ClusterAnswer, ClusterConfig, HashConfig, Node, NodeAnswer, NodePage, NodePartitions,
    PartitionMap, Peer,
};
pub use custom::{CustomDeleted, CustomEntry, CustomList, CustomStored};
pub use health::{
    ConsensusLeader, ConsensusStats, HandlerCall, Health, HealthDetailed, Metrics, NotReady, Ready,
};
pub use join::{JoinAnswer, JoinData, JoinNode, JoinRequest, Redirect};
pub use operate::{
    ConfigAnswer, ConfigPatch, CreateRequest, GivenTable, Move, NodePatch, NodeState,
    RebalanceAnswer, RebalanceRequest, Removed,
};
pub use ownership::{
    Changed, LeaseLost, Order, OrderAck, OrderAcked, OrdersState, Owned, OwnedPartition, Progress,
    PromoteRequest, Superseded,
};
pub use partition::{
    Balance, DomainStats, Partition, PartitionAnswer, PartitionList, PartitionStats, Replica,
    Share, Transfer,
};
pub use plan::{Plan, PlanMove, PlanProgress, PlanUnderWay, TransferList};
pub use problem::{Code, Newest, Problem};
pub use question::{CopyExplained, Explanation, History, HistoryEntry, MayStop, PlanWants, WhyNot};
pub use role::Role;
pub use table::{
    DeltaError, DeltaRow, Heartbeat, Lifecycle, TableAnswer, TableBinary, TableDelta, TableMember,
    TableRow,
};
pub use token::{Token, TokenError};
pub use tokens::{Tokens, TokensError};

/// Media type of every error body (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Response header of `GET /custom/{key}`: the value's version, for compare-and-set.
pub const CK_VALUE_VERSION: &str = "ck-value-version";

/// Request header of a data plane: the fencing token of the grant the caller knows,
/// `incarnation.partition.epoch`.
pub const CK_FENCE: &str = "ck-fence";

/// Response header that carries `incarnation.version` of the table an answer was made from.
pub const CK_VERSION: &str = "ck-version";
