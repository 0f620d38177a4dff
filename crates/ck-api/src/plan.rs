//! Plans as data: previewed, applied against the version they were made for, followed.

use serde::{Deserialize, Serialize};

use crate::operate::Move;
use crate::partition::Transfer;

/// Answer to `POST /plans`, `GET /plans/{id}` and what is done with a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// Its id, known to the node that made it; `current` for a plan under way that was not previewed
    /// here.
    pub id: String,
    /// The node that made it and keeps it.
    pub node: String,
    /// `preview`, `stale` (what it depends on has changed), `empty` (nothing to change),
    /// `under-way`, `paused`, `done`, or `ended` before it was done.
    pub status: String,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version it was made for; with the incarnation the `If-Match` of its application.
    pub base: u64,
    /// Why it was made: `manual`, or the trigger of a plan the cluster made itself.
    pub trigger: String,
    /// Partitions that change.
    pub partitions_changed: u64,
    /// Copies that a node gets which it did not have.
    pub copies_moved: u64,
    /// Partitions with another primary.
    pub primaries_changed: u64,
    /// Fewest copies that any plan with this balance must move.
    pub lower_bound: u64,
    /// Whether no plan with this balance moves fewer; certified.
    pub optimal: bool,
    /// By how much the plan may be away from the optimum at most.
    pub gap: u64,
    /// Whether there are fewer nodes or domains than wanted.
    pub degraded: bool,
    /// Fewest rounds in which the copies can be made within the limit of transfers a node.
    pub rounds: u64,
    /// Why there cannot be fewer rounds.
    pub rounds_bound: String,
    /// Transfers into a node, and out of it, at the same time.
    pub transfers_per_node: u64,
    /// Partitions without a copy that could be read; nothing is planned for them.
    pub partitions_lost: Vec<String>,
    /// What changes, in order of partition number; at most 1,000, then `moves_left_out`.
    pub moves: Vec<PlanMove>,
    /// Changed partitions not listed in `moves`.
    pub moves_left_out: u64,
    /// How far it has come, while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<PlanProgress>,
}

/// How one partition changes, when, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanMove {
    /// What changes.
    #[serde(flatten)]
    pub change: Move,
    /// Round of its last copy, from 1; 0 when only the primary changes.
    pub round: u64,
    /// Why, each a sentence.
    pub why: Vec<String>,
}

/// How far a plan under way has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanProgress {
    /// Partitions to change.
    pub total: u64,
    /// Partitions changed so far.
    pub done: u64,
    /// Whether an operator holds it back.
    pub paused: bool,
    /// Who began it.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Moves under way.
    pub transfers: Vec<Transfer>,
}

/// Answer to `GET /transfers`: the moves under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TransferList {
    /// They, oldest first.
    pub transfers: Vec<Transfer>,
    /// Length of `transfers`.
    pub count: u64,
    /// Whether the brake is pulled: nothing is moved.
    pub braked: bool,
    /// The plan they belong to, if one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanUnderWay>,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
}

/// The plan under way, in short; `GET /plans/current` has its moves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanUnderWay {
    /// Why it was made: `join`, `rejoin`, `loss`, `manual` or `drain`.
    pub trigger: String,
    /// Who began it.
    pub actor: String,
    /// Partitions to change.
    pub total: u64,
    /// Partitions changed so far.
    pub done: u64,
    /// Whether an operator holds it back.
    pub paused: bool,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: u64,
}
