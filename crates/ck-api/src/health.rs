//! Liveness, readiness, figures.

use serde::{Deserialize, Serialize};

/// Answer to `GET /health`: 200 as long as the process serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Always true.
    pub success: bool,
    /// Always `healthy`.
    pub message: String,
}

/// Answer to `GET /ready` with 200.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ready {
    /// Nodes in the cluster.
    pub nodes: u64,
    /// Partitions; 0 before they are created.
    pub partitions: u64,
    /// Always true.
    pub ready: bool,
    /// Partitions that have a primary which may act.
    pub valid_partitions: u64,
}

/// Answer to `GET /ready` with 503.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotReady {
    /// Always `cluster not ready`.
    pub message: String,
    /// Nodes in the cluster.
    pub nodes: u64,
    /// Partitions; 0 before they are created.
    pub partitions: u64,
    /// Always false.
    pub ready: bool,
    /// Partitions that have a primary which may act.
    pub valid_partitions: u64,
    /// Why not, each a sentence.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// Answer to `GET /health/detailed`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthDetailed {
    /// Whether the node is ready.
    pub healthy: bool,
    /// This node.
    pub node_id: String,
    /// Its name for people.
    pub node_name: String,
    /// Whether it is the consensus leader.
    pub is_leader: bool,
    /// Nodes in the cluster.
    pub node_count: u64,
    /// Partitions; 0 before they are created.
    pub partition_count: u64,
    /// `Leader`, `Follower`, `Candidate` or `Learner`.
    pub raft_state: String,
    /// When the newest log entry was applied here, RFC 3339; the year 1 before there is one.
    pub last_sync: String,
    /// Time since the start, such as `16.129s`.
    pub uptime: String,
    /// Why the node is not ready; empty when it is.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Version of the software.
    #[serde(default)]
    pub software: String,
    /// What the node's application is doing, or failed at, the most failures first; at most 100.
    #[serde(default)]
    pub handler: Vec<HandlerCall>,
}

/// What a node's application is doing for one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HandlerCall {
    /// `partition-3`.
    pub partition: String,
    /// `prepare`, `catch-up`, `become-primary`, `become-replica`, `release` or `clean-up`.
    pub call: String,
    /// Whether it is being done now; else it is tried again later.
    pub running: bool,
    /// Time since it began, in milliseconds.
    pub for_ms: u64,
    /// How far a copy has come, in the application's units.
    pub done: u64,
    /// How far it goes; 0 while unknown.
    pub total: u64,
    /// Failures in a row.
    pub failures: u32,
    /// What went wrong last; empty when nothing did.
    pub error: String,
}

/// Answer to `GET /metrics` as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metrics {
    /// Nodes in the cluster.
    pub node_count: u64,
    /// Partitions; 0 before they are created.
    pub partition_count: u64,
    /// Requests answered since the start, this one not included.
    pub request_count: u64,
    /// Of these, those answered with a status of 400 or above.
    pub error_count: u64,
    /// When the newest log entry was applied here, RFC 3339; the year 1 before there is one.
    pub last_sync: String,
    /// Whether this node is the consensus leader.
    pub is_leader: bool,
    /// `Leader`, `Follower`, `Candidate` or `Learner`.
    pub raft_state: String,
    /// Whole seconds since the start.
    pub uptime_seconds: u64,
}

/// Answer to `GET /consensus/leader`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConsensusLeader {
    /// The leader's id; empty while there is none.
    pub leader_id: String,
    /// Its name for people.
    pub leader_name: String,
    /// Its HTTP address.
    pub leader_ip: String,
    /// Its term.
    pub term: u64,
    /// When this node learnt of its election, RFC 3339; the year 1 without a leader.
    pub elected_at: String,
}

/// Answer to `GET /consensus/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConsensusStats {
    /// `Leader`, `Follower`, `Candidate` or `Learner`.
    pub state: String,
    /// Term of this node.
    pub term: u64,
    /// Index of its last log entry.
    pub last_log_index: u64,
    /// Term of its last log entry.
    pub last_log_term: u64,
    /// Index up to which entries are committed.
    pub commit_index: u64,
    /// Index up to which entries are applied here.
    pub applied_index: u64,
    /// Other members of the consensus group.
    pub num_peers: u64,
    /// The leader's id; empty while there is none.
    pub leader: String,
}
