//! The cluster and its nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::partition::Partition;

/// Answer to `GET /cluster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterAnswer {
    /// Nodes, partitions, configuration.
    pub cluster: Cluster,
    /// What any language needs to compute key → partition.
    pub hash_config: HashConfig,
    /// The consensus leader's node id; empty while there is none.
    #[serde(default)]
    pub leader: String,
    /// Incarnation of the cluster.
    #[serde(default)]
    pub incarnation: u64,
    /// Version of the table.
    #[serde(default)]
    pub version: u64,
}

/// Nodes, partitions, configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cluster {
    /// The cluster's name, as clients of the Go library expect it here.
    pub id: String,
    /// The cluster's name.
    pub name: String,
    /// The cluster's UUID, given when it was formed.
    #[serde(default)]
    pub uuid: String,
    /// The nodes, in the order they joined.
    pub nodes: Vec<Node>,
    /// The partitions.
    pub partition_map: PartitionMap,
    /// The configuration.
    pub config: ClusterConfig,
}

/// Partitions by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartitionMap {
    /// `partition-3` → where it is.
    pub partitions: BTreeMap<String, Partition>,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its HTTP address, `host:port`; called `ip` for clients of the Go library.
    pub ip: String,
    /// Always 0, for clients of the Go library; the port is in `ip`.
    pub port: u16,
    /// The name shown to people.
    pub name: String,
    /// `active`: its session is open and it takes its share. `cordoned`: takes nothing new.
    /// `draining`: being emptied. `closing`: being removed. `stopped`: ended its session itself.
    /// `down`: its session was ended for it, or it has not registered since.
    pub status: String,
    /// Services: name to address.
    pub services: BTreeMap<String, String>,
    /// Its member number, never reused.
    #[serde(default)]
    pub member: u64,
    /// Starts so far.
    #[serde(default)]
    pub generation: u64,
    /// Address its peers use.
    #[serde(default)]
    pub peer_address: String,
    /// Share of the copies relative to the others'.
    #[serde(default)]
    pub weight: u32,
    /// Failure domain; absent means the node is its own.
    #[serde(default)]
    pub domain: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Number of its open session; absent without one.
    #[serde(default)]
    pub session: Option<u64>,
    /// Whether it is the consensus leader.
    #[serde(default)]
    pub leader: bool,
    /// When it joined, milliseconds since 1970 by the clock of who proposed it.
    #[serde(default)]
    pub joined_at_ms: u64,
}

/// Configuration of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterConfig {
    /// Name of the cluster.
    pub cluster_name: String,
    /// Number of partitions; fixed when the cluster is formed.
    pub partition_count: u32,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// Failure domains the copies of a partition must touch.
    #[serde(default)]
    pub spread: u32,
    /// `xxh3` or `md5-mod`; fixed when the cluster is formed.
    #[serde(default)]
    pub hash: String,
    /// `advisory`, `leased` or `fenced`.
    #[serde(default)]
    pub mode: String,
    /// Lease profile: `lan`, `fast` or `wan`.
    #[serde(default)]
    pub profile: String,
    /// Least copies in sync that planned work leaves.
    #[serde(default)]
    pub min_in_sync: u32,
    /// How long a lost node may take to come back before its copies are restored elsewhere.
    #[serde(default)]
    pub rejoin_grace_ms: u64,
    /// Whether partitions are created by themselves once enough nodes have joined.
    #[serde(default)]
    pub auto_create: bool,
    /// Whether joins are followed by a rebalance.
    #[serde(default)]
    pub auto_rebalance: bool,
    /// Voters aimed at.
    #[serde(default)]
    pub voters: u32,
    /// Moves into a node, and out of it, at the same time.
    #[serde(default)]
    pub max_transfers_per_node: u32,
    /// How long joins must have rested before a rebalance.
    #[serde(default)]
    pub settle_ms: u64,
    /// Length of a lease.
    #[serde(default)]
    pub lease_ms: u64,
    /// How far a clock's rate may be off real time, in parts per million.
    #[serde(default)]
    pub rho_ppm: u32,
    /// Time a machine may be frozen without its clock counting it.
    #[serde(default)]
    pub freeze_allowance_ms: u64,
    /// A higher mode that holds once every open session has applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_to_come: Option<String>,
}

/// What any language needs to compute key → partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HashConfig {
    /// `xxh3`, or `md5` for the mapping of the Go library.
    pub algorithm: String,
    /// How the digest becomes a number: `big_endian_uint32` of its first four bytes, or `uint64`.
    pub encoding: String,
    /// How a partition's number becomes its id.
    pub format: String,
    /// Number of partitions. With `md5` the divisor; with `xxh3` the factor, see `formula`.
    pub modulo: u32,
    /// The name in the configuration: `xxh3` or `md5-mod`.
    #[serde(default)]
    pub hash: String,
    /// The mapping as a formula.
    #[serde(default)]
    pub formula: String,
    /// Seed of the hash; 0.
    #[serde(default)]
    pub seed: u64,
    /// Number of partitions.
    #[serde(default)]
    pub partitions: u32,
}

/// Answer to `GET /nodes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodePage {
    /// Whether nodes follow behind this page.
    pub has_more: bool,
    /// Most nodes on a page, 1 to 1,000; 50 unless asked for.
    pub limit: u64,
    /// Offset of the next page; the total when there is none.
    pub next_offset: u64,
    /// The nodes, in the order they joined.
    pub nodes: Vec<Node>,
    /// Nodes left out before this page.
    pub offset: u64,
    /// Nodes in all.
    pub total: u64,
}

/// Answer to `GET /nodes/{id}` and `PATCH /nodes/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeAnswer {
    /// The node.
    pub node: Node,
    /// Partitions it is the primary of.
    pub primaries: u64,
    /// Partitions it holds a replica of.
    pub replicas: u64,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `GET /nodes/{id}/partitions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodePartitions {
    /// The node.
    pub node: String,
    /// What it is the primary of, in order of number.
    pub primary: Vec<Partition>,
    /// What it holds a replica of, in order of number.
    pub replica: Vec<Partition>,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `GET /v1/peer`: whom a joining node talks to, given this HTTP address. Answered
/// before a cluster is formed, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Peer {
    /// This node's id.
    pub node: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Name of the cluster it belongs to or wants to form.
    pub cluster: String,
    /// UUID of the cluster; absent until it is formed.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Whether it is part of a formed cluster.
    pub formed: bool,
}
