//! Operations: rebalance, change a node, change the configuration, remove a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Body of `POST /partitions`; may be left out, and the placement makes the first table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// The first table, as it is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<GivenTable>,
}

/// A table that comes from elsewhere, in as few bytes as JSON allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenTable {
    /// The nodes that rows refer to, in order of name, each once.
    pub nodes: Vec<String>,
    /// The row of each partition, in order of number: places in `nodes`, the primary's first.
    pub rows: Vec<Vec<u32>>,
}

/// Body of `POST /rebalance`; may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RebalanceRequest {
    /// Only plan. Default false.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer to `POST /rebalance`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RebalanceAnswer {
    /// Whether it was only planned.
    pub dry_run: bool,
    /// Whether the plan has begun; the table changes move by move.
    pub applied: bool,
    /// Copies that a node gets which it did not have.
    pub copies_moved: u64,
    /// Partitions with another primary.
    pub primaries_changed: u64,
    /// Fewest copies that any plan with this balance must move.
    pub lower_bound: u64,
    /// Whether no plan with this balance moves fewer; certified.
    pub optimal: bool,
    /// By how much the plan may be away from the optimum at most.
    #[serde(default)]
    pub gap: u64,
    /// Whether there are fewer nodes or domains than wanted.
    #[serde(default)]
    pub degraded: bool,
    /// What changes, in order of partition number; at most 1,000, then `moves_left_out`.
    #[serde(default)]
    pub moves: Vec<Move>,
    /// Changed partitions not listed in `moves`.
    #[serde(default)]
    pub moves_left_out: u64,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version with which the plan began, or the one it was planned for.
    pub version: u64,
}

/// How one partition changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Move {
    /// `partition-3`.
    pub partition: String,
    /// Nodes that get a copy.
    pub copy_to: Vec<String>,
    /// Nodes that give theirs up.
    pub drop_from: Vec<String>,
    /// Primary before; empty without one.
    pub old_primary: String,
    /// Primary after; empty without one.
    pub new_primary: String,
}

/// Body of `PATCH /nodes/{id}`: what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodePatch {
    /// The name shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Share of the copies relative to the others', 1 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Failure domain; `null` makes the node its own.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub domain: Option<Option<String>>,
    /// Services: name to address; replaces all of them.
    #[serde(
        default,
        deserialize_with = "crate::once::texts_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub services: Option<BTreeMap<String, String>>,
    /// Labels; replaces all of them.
    #[serde(
        default,
        deserialize_with = "crate::once::texts_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub labels: Option<BTreeMap<String, String>>,
    /// What may be put on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeState>,
}

/// Tells `null` from absent.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

/// What an operator may make of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Takes its share.
    Active,
    /// Keeps what it has, takes nothing new.
    Cordoned,
    /// To be emptied at the next rebalance.
    Draining,
}

/// Body of `PATCH /config`: what is left out stays as it is. Hash and partition count are fixed
/// when a cluster is formed, so they are not here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfigPatch {
    /// Copies of each partition, 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u8>,
    /// Failure domains the copies of a partition must touch, 1 to the replication factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<u8>,
    /// Least copies in sync that planned work leaves, 1 to the replication factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_in_sync: Option<u8>,
    /// How long a lost node may take to come back before its copies are restored elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejoin_grace_ms: Option<u64>,
    /// How long joins must have rested before a rebalance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_ms: Option<u64>,
    /// Whether partitions are created by themselves once enough nodes have joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_create: Option<bool>,
    /// Whether joins are followed by a rebalance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rebalance: Option<bool>,
    /// Voters aimed at: 1, 3 or 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<u8>,
    /// Moves into a node, and out of it, at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_transfers_per_node: Option<u8>,
    /// What is promised: `advisory`, `leased` or `fenced`. A higher one holds once every open
    /// session has applied it. Changed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Lease profile: `lan`, `fast` or `wan`; sets what of the lease is not named. The lease is
    /// changed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Length of a lease, 100 to 600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How far a clock's rate may be off real time, in parts per million, at most 500,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rho_ppm: Option<u32>,
    /// Time a machine may be frozen without its clock counting it, at most 600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_allowance_ms: Option<u64>,
}

/// Answer to `GET /config` and `PATCH /config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigAnswer {
    /// The configuration after the change.
    pub config: crate::cluster::ClusterConfig,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `DELETE /nodes/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Removed {
    /// The node that left.
    pub node: String,
    /// Nodes that stay.
    pub node_count: u64,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_domain_is_told_from_an_absent_one() {
        let absent: NodePatch = serde_json::from_str("{}").unwrap();
        let null: NodePatch = serde_json::from_str(r#"{"domain":null}"#).unwrap();
        assert_eq!(absent.domain, None);
        assert_eq!(null.domain, Some(None));
        assert_eq!(serde_json::to_string(&absent).unwrap(), "{}");
        assert_eq!(serde_json::to_string(&null).unwrap(), r#"{"domain":null}"#);
    }

    #[test]
    fn unknown_and_repeated_fields_are_refused() {
        for body in [
            r#"{"dry_runs":true}"#,
            r#"{"dry_run":true,"dry_run":false}"#,
        ] {
            assert!(
                serde_json::from_str::<RebalanceRequest>(body).is_err(),
                "{body}"
            );
        }
        assert!(serde_json::from_str::<ConfigPatch>(r#"{"partition_count":7}"#).is_err());
    }
}
