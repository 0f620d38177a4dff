//! Small replicated values of the application. Values travel as raw bodies, never inside JSON.

use serde::{Deserialize, Serialize};

/// One value, without its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEntry {
    /// The key.
    pub key: String,
    /// Version of the table at its last write; what compare-and-set expects.
    pub version: u64,
    /// Length of the value in bytes.
    pub bytes: u64,
}

/// Answer to `GET /custom`: keys in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomList {
    /// The values that match, without their bytes.
    pub entries: Vec<CustomEntry>,
    /// Length of `entries`.
    pub count: u64,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `PUT /custom/{key}`: 201 for a new key, else 200.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct CustomDeleted {
    /// The key.
    pub key: String,
    /// Version of the table after it.
    pub version: u64,
}
