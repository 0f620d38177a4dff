//! Small replicated values of the application. Values travel as raw bodies, never inside JSON.

use serde::{Deserialize, Serialize};

/// One value, without its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CustomEntry {
    /// The key.
    pub key: String,
    /// Version of the table at its last write; what compare-and-set expects.
    pub version: u64,
    /// Length of the value in bytes.
    pub bytes: u64,
}

/// Answer to `GET /custom`: keys in order, a page at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CustomList {
    /// The values that match, without their bytes.
    pub entries: Vec<CustomEntry>,
    /// Length of `entries`.
    pub count: u64,
    /// Whether more match behind the last one; pass its key as `after` to go on.
    #[serde(default)]
    pub has_more: bool,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `PUT /custom/{key}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CustomStored {
    /// The key.
    pub key: String,
    /// Version of this write.
    pub version: u64,
    /// Length of the value in bytes.
    pub bytes: u64,
}

/// Answer to `DELETE /custom/{key}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CustomDeleted {
    /// The key.
    pub key: String,
    /// Version of the table after it.
    pub version: u64,
}
