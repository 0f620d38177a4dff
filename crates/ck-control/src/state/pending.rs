use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{Table, Version};
use serde::{Deserialize, Serialize};

use crate::{LeaseTerms, Mode, Position, SessionId, Trigger};

/// A mode on its way up: it holds once every session that was open has applied it or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The mode to come, above the present one.
    pub mode: Mode,
    /// Position of the entry that asked for it.
    pub since: Position,
    /// Open sessions that have not applied it yet, oldest first.
    pub waiting: Vec<SessionId>,
}

/// Lease terms that were longer than the present ones: they bind the leader until they have run
/// out, counted from the change or from its office, whichever is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLease {
    /// The terms before.
    pub terms: LeaseTerms,
    /// Position of the entry that shortened them.
    pub since: Position,
}

/// A plan being carried out by transfers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    /// Position of the entry that began it; its id.
    pub since: Position,
    /// What it was made for.
    pub trigger: Trigger,
    /// Who asked.
    pub actor: String,
    /// The version it was made for.
    pub base: Version,
    /// The table to reach.
    pub target: Arc<Table>,
    /// When planning began, by the proposer's wall clock, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Partitions to change.
    pub total: u32,
    /// Partitions changed so far.
    pub done: u32,
    /// Whether an operator holds it back.
    pub paused: bool,
}

/// Too much was lost at once: promotions go on, nothing is moved until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// Position of the entry that pulled it.
    pub since: Position,
    /// Nodes lost within the time looked at.
    pub lost: u32,
    /// When it was pulled, by the proposer's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
}
