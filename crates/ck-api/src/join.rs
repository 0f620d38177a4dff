//! A node, or an operator for it, asks to be registered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Body of `POST /join`. Anything not listed is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The node.
    pub node: JoinNode,
    /// Address its peers use, by the name that clients of the Go library give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_addr: Option<String>,
    /// Address its peers use; stands before `raft_addr` when both are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_addr: Option<String>,
    /// Name of the cluster it means to join; refused when it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Share of the copies relative to the others', 1 or more. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Failure domain, such as `eu-1a/rack-3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Its starts so far; refused when older than the one known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// The node that joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinNode {
    /// Its id.
    pub id: String,
    /// Its HTTP address, `host:port`.
    pub ip: String,
    /// Port of the HTTP address when `ip` holds none; 0 when it does.
    #[serde(default)]
    pub port: u16,
    /// The name shown to people. Default: the id.
    #[serde(default)]
    pub name: String,
    /// Read and ignored: status is what the cluster finds out.
    #[serde(default)]
    pub status: String,
    /// Services: name to address.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
}

/// Answer to `POST /join`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// Always true.
    pub success: bool,
    /// A sentence for people.
    pub message: String,
    /// What came of it.
    pub data: JoinData,
}

/// What came of joining.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinData {
    /// Name of the cluster.
    pub cluster_id: String,
    /// Nodes in it, the new one included.
    pub node_count: u64,
    /// The node.
    pub node_id: String,
    /// Its member number.
    #[serde(default)]
    pub member: u64,
}

/// Answer to `POST /join` with `Prefer: redirect` at a node that is not the leader: 307, with the
/// same address in `Location`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRedirect {
    /// Always `not the leader`.
    pub error: String,
    /// The leader's id.
    pub leader_id: String,
    /// The leader's HTTP address.
    pub leader_ip: String,
    /// A sentence for people.
    pub message: String,
}
