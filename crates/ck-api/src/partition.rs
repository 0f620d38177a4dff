//! Partitions: where they are and how they are spread.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One partition in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Partition {
    /// `partition-3`.
    pub id: String,
    /// The node that may write; empty when no node holds the partition.
    pub primary_node: String,
    /// The other copies, in order of preference.
    pub replica_nodes: Vec<String>,
    /// Grants of the primary role so far.
    #[serde(default)]
    pub epoch: u64,
    /// `stable`, `moving`, `degraded` or `unavailable`.
    #[serde(default)]
    pub state: String,
}

impl Partition {
    /// A row of a table by names, with an epoch and a state beside it.
    #[must_use]
    pub fn from_row(row: ck_core::Row<'_>, epoch: u64, state: &str) -> Self {
        Self {
            id: row.partition().to_string(),
            primary_node: row.primary().map(ToString::to_string).unwrap_or_default(),
            replica_nodes: row.replicas().map(ToString::to_string).collect(),
            epoch,
            state: state.to_owned(),
        }
    }
}

/// Answer to `GET /partitions`: partitions in order of number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartitionList {
    /// The partitions that match the query.
    pub partitions: Vec<Partition>,
    /// Length of `partitions`.
    pub count: u64,
    /// Incarnation of the cluster.
    #[serde(default)]
    pub incarnation: u64,
    /// Version of the table.
    #[serde(default)]
    pub version: u64,
    /// Whether more match behind the last one. Present only when `limit` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
    /// What to pass as `after` to go on. Present only when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<String>,
}

/// Answer to `GET /partitions/key` and `GET /partitions/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartitionAnswer {
    /// `partition-3`.
    pub id: String,
    /// The node that may write; empty when no node holds the partition.
    pub primary_node: String,
    /// The other copies, in order of preference.
    pub replica_nodes: Vec<String>,
    /// Grants of the primary role so far.
    #[serde(default)]
    pub epoch: u64,
    /// `stable`, `moving`, `degraded` or `unavailable`.
    #[serde(default)]
    pub state: String,
    /// Incarnation of the cluster.
    #[serde(default)]
    pub incarnation: u64,
    /// Version of the table.
    #[serde(default)]
    pub version: u64,
    /// HTTP address of the primary; empty without one.
    #[serde(default)]
    pub primary_address: String,
    /// HTTP addresses in the order of `replica_nodes`.
    #[serde(default)]
    pub replica_addresses: Vec<String>,
    /// Services of the primary: name to address.
    #[serde(default)]
    pub primary_services: BTreeMap<String, String>,
    /// Every copy with its role and state, primary first. Only in `GET /partitions/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Vec<Replica>>,
    /// The move under way, if any. Only in `GET /partitions/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
}

/// One copy of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Replica {
    /// The node that holds it.
    pub node: String,
    /// `primary` or `replica`.
    pub role: String,
    /// Whether it has every write that may have been acknowledged.
    pub in_sync: bool,
    /// Status of the node, as in `GET /nodes`.
    pub status: String,
    /// HTTP address of the node.
    pub address: String,
    /// Services of the node: name to address.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
}

/// A move under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transfer {
    /// Its number.
    pub id: u64,
    /// `prepare`, `catch-up`, `release`, `commit`, `activate` or `clean-up`.
    pub stage: String,
    /// The node that gives, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node that takes.
    pub to: String,
    /// `partition-3`.
    #[serde(default)]
    pub partition: String,
    /// Whether the primary role moves.
    #[serde(default)]
    pub handoff: bool,
    /// The node whose copy goes at the end, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<String>,
    /// Whom it waits for: `operator`, `copy`, `catch-up`, `brake`, `release`, `lease`, `activation`
    /// or `grace`.
    #[serde(default)]
    pub waits_for: String,
    /// Why it was planned: `join`, `rejoin`, `loss`, `manual` or `drain`.
    #[serde(default)]
    pub reason: String,
    /// Units copied, in the application's measure.
    #[serde(default)]
    pub done: u64,
    /// Units to copy; 0 while unknown.
    #[serde(default)]
    pub total: u64,
    /// Tries of the present stage, this one included.
    #[serde(default)]
    pub attempt: u32,
    /// Whether an operator holds it back.
    #[serde(default)]
    pub paused: bool,
    /// When it was opened, in milliseconds since 1970.
    #[serde(default)]
    pub opened_at_ms: u64,
    /// When its stage began, in milliseconds since 1970.
    #[serde(default)]
    pub stage_at_ms: u64,
}

/// Answer to `GET /partitions/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartitionStats {
    /// Number of partitions; 0 before they are created.
    pub total_partitions: u64,
    /// Primaries of each node; a node with none is listed with 0.
    pub partitions_per_node: BTreeMap<String, u64>,
    /// Copies of each node that are not primaries.
    pub replicas_per_node: BTreeMap<String, u64>,
    /// How evenly copies are spread over the nodes.
    #[serde(default)]
    pub copies: Balance,
    /// How evenly primaries are spread over the nodes.
    #[serde(default)]
    pub primaries: Balance,
    /// What is due to each node by its weight; a node that is due nothing is listed with 0.
    #[serde(default)]
    pub shares: BTreeMap<String, Share>,
    /// What the nodes of each named failure domain hold, by the widest segment of its path.
    #[serde(default)]
    pub domains: BTreeMap<String, DomainStats>,
    /// Partitions with a move under way.
    #[serde(default)]
    pub in_flight: u64,
    /// Partitions without a primary that may act.
    #[serde(default)]
    pub unavailable: u64,
    /// Partitions with fewer copies than the replication factor.
    #[serde(default)]
    pub under_replicated: u64,
    /// Partitions whose copies touch fewer failure domains than the spread asks for.
    #[serde(default)]
    pub spread_violations: u64,
    /// Incarnation of the cluster.
    #[serde(default)]
    pub incarnation: u64,
    /// Version of the table.
    #[serde(default)]
    pub version: u64,
}

/// Counts of the nodes, against the exact share that is due to each by its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Balance {
    /// Least on any node.
    pub min: u64,
    /// Most on any node.
    pub max: u64,
    /// Largest ratio of what a node has to what is due to it, in thousandths, rounded down: 1000
    /// is perfect, 1170 is 17 % too many. 0 when nothing is due to anybody.
    pub max_over_share_permille: u64,
    /// Nodes that hold neither their share rounded down nor rounded up; 0 is the optimum.
    pub off_share: u64,
}

/// The exact share of one node, in thousandths and rounded down: 16500 is 16 and a half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Share {
    /// Copies due to it, primaries included.
    pub copies_permille: u64,
    /// Primaries due to it.
    pub primaries_permille: u64,
}

/// What a failure domain holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DomainStats {
    /// Nodes in it.
    pub nodes: u64,
    /// Copies on them, primaries included.
    pub copies: u64,
    /// Primaries on them.
    pub primaries: u64,
    /// Partitions with at least one copy on them.
    #[serde(default)]
    pub partitions: u64,
}
