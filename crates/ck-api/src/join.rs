//! A node, or an operator for it, asks to be registered.

use std::collections::BTreeMap;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Body of `POST /join`. Anything not listed is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The node.
    #[serde(deserialize_with = "object")]
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

/// Reads a node from an object only: derived code would take a list for its fields in order.
fn object<'de, D: Deserializer<'de>>(from: D) -> Result<JoinNode, D::Error> {
    struct Object;
    impl<'de> Visitor<'de> for Object {
        type Value = JoinNode;
        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("an object with `id` and `ip`")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JoinNode, A::Error> {
            JoinNode::deserialize(MapAccessDeserializer::new(map))
        }
    }
    from.deserialize_map(Object)
}

/// The node that joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    #[serde(default, deserialize_with = "crate::once::texts")]
    pub services: BTreeMap<String, String>,
}

/// Answer to `POST /join`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Answer to an operation with `Prefer: redirect` at a node that is not the leader: 307, with the same
/// address in `Location`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Redirect {
    /// Always `not the leader`.
    pub error: String,
    /// The leader's id.
    pub leader_id: String,
    /// The leader's HTTP address.
    pub leader_ip: String,
    /// A sentence for people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_no_node() {
        let body = r#"{"node":{"id":"a","ip":"h:1"}}"#;
        assert_eq!(
            serde_json::from_str::<JoinRequest>(body).unwrap().node.id,
            "a"
        );
        for body in [
            r#"{"node":["a","h:1"]}"#,
            r#"{"node":"a"}"#,
            r#"{"node":null}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<JoinRequest>(body).is_err(), "{body}");
        }
    }
}
