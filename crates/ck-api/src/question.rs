//! What operators ask, and answers with reasons.

use serde::{Deserialize, Serialize};

use crate::partition::Transfer;

/// Answer to `GET /nodes/{id}/may-stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MayStop {
    /// Whether the node may be stopped now.
    pub allowed: bool,
    /// Why not, each a sentence; empty when it may.
    pub reasons: Vec<String>,
    /// Partitions that forbid it, in order of number; at most 1,000.
    pub blocking_partitions: Vec<String>,
    /// Blocking partitions not listed.
    #[serde(default)]
    pub blocking_left_out: u64,
    /// The node.
    pub node: String,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `GET /explain/{partition}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// `partition-3`.
    pub id: String,
    /// `stable`, `moving`, `degraded` or `unavailable`.
    pub state: String,
    /// Grants of its primary role so far.
    pub epoch: u64,
    /// The node that may act; absent while nobody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Why it is as it is and what holds it back, the most pressing first; empty when all is well.
    pub reasons: Vec<String>,
    /// Its copies in the order of the row, then those of the in-sync set outside the row.
    pub copies: Vec<CopyExplained>,
    /// Whether the in-sync set is only the last known one.
    pub last_known: bool,
    /// The move under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// What the plan under way wants of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanWants>,
    /// Transfers into a node, and out of it, at the same time.
    pub max_transfers_per_node: u64,
    /// Copies in sync below which planned work never goes.
    pub min_in_sync: u64,
    /// What the application of the node that answers is doing for it, or failed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<crate::health::HandlerCall>,
    /// Nodes lost, while the brake is pulled for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brake_lost: Option<u64>,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// One copy, and why it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CopyExplained {
    /// The node.
    pub node: String,
    /// `primary`, `replica`, or `arriving`: in sync, and in the row soon.
    pub role: String,
    /// Whether it has every write that may have been acknowledged.
    pub in_sync: bool,
    /// Whether it came back without proof of having every write.
    pub unproven: bool,
    /// Status of the node, as in `GET /nodes`.
    pub status: String,
}

/// What a plan under way wants of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanWants {
    /// Why it was made: `join`, `rejoin`, `loss`, `manual` or `drain`.
    pub trigger: String,
    /// Who began it.
    pub actor: String,
    /// The copies it wants, primary first.
    pub nodes: Vec<String>,
    /// Whether the partition has them.
    pub reached: bool,
    /// Whether an operator holds it back.
    pub paused: bool,
}

/// Answer to `GET /explain/{partition}/why-not/{node}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhyNot {
    /// `partition-3`.
    pub id: String,
    /// The node.
    pub node: String,
    /// Whether it is the primary.
    pub is_primary: bool,
    /// Whether it has a copy.
    pub has_copy: bool,
    /// Why it has no copy, or is not the primary, the most decisive first.
    pub reasons: Vec<String>,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// Answer to `GET /history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// Accepted commands, oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Length of `entries`.
    pub count: u64,
    /// Whether the range holds more: newer ones when it was asked from a version on, else older ones.
    pub has_more: bool,
    /// Version of the oldest entry that is kept; older ones are gone.
    pub oldest: u64,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// One accepted command: who changed what, when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HistoryEntry {
    /// Version of the state that has it.
    pub version: u64,
    /// Its place in the log.
    pub position: u64,
    /// When, by the clock of whoever proposed it, in milliseconds since 1970.
    pub at_ms: u64,
    /// The same as a date.
    pub at: String,
    /// Who asked.
    pub actor: String,
    /// The command's name.
    pub kind: String,
    /// What it did.
    pub summary: String,
}
