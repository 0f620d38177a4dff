//! Commands that move copies and primary roles, one step at a time.

use ck_core::{PartitionId, Table, Version};
use serde::{Deserialize, Serialize};

use crate::state::{Party, Trigger};
use crate::{MemberNumber, Position, Release, SessionId, TransferId};

/// What is to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The partition.
    pub partition: PartitionId,
    /// Who the copy is made from; with a handoff, who gives up the primary role.
    pub source: Party,
    /// Who gets the copy, or the primary role.
    pub target: Party,
    /// Whether the primary role moves.
    pub handoff: bool,
    /// The member that loses its copy at the end; absent when only the role moves, a copy is added
    /// or one is brought up to date.
    pub leaving: Option<MemberNumber>,
    /// Why.
    pub reason: Trigger,
    /// Whether a missed release takes the role away instead of aborting.
    pub force: bool,
}

/// One step of a planned move. Each is refused unless the move stands where the step begins, so
/// that a step proposed twice, or too late, does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferCommand {
    /// Opens it. It goes through every stage, or straight to release when the target is in sync.
    Open(Move),
    /// The target has copied everything there was: prepare → catch-up.
    Prepared {
        /// The move.
        transfer: TransferId,
    },
    /// The target is in sync. Holds only for that grant. A move without a handoff ends here.
    CaughtUp {
        /// The move.
        transfer: TransferId,
        /// The session of the primary under which it caught up.
        session: SessionId,
        /// The epoch of that grant.
        epoch: ck_core::Epoch,
    },
    /// Asks the source to give the role up: catch-up → release.
    OpenSwitch {
        /// The move.
        transfer: TransferId,
    },
    /// Gives the role to the target: release → activate.
    Commit {
        /// The move.
        transfer: TransferId,
        /// The source's acknowledgement.
        release: Release,
    },
    /// Takes the role from a source that did not acknowledge. Its lease is waited for before the
    /// target is granted it. Needs [`Transfer::force`](crate::Transfer::force).
    Revoke {
        /// The move.
        transfer: TransferId,
    },
    /// Gives a revoked role to the target, once the source's lease has run out: release → activate.
    CommitRevoked {
        /// The move.
        transfer: TransferId,
        /// The revocation that was waited for.
        revoked: Position,
    },
    /// The target serves: activate → clean-up.
    Activated {
        /// The move.
        transfer: TransferId,
    },
    /// Ends a move in clean-up: the leaving copy goes.
    Finish {
        /// The move.
        transfer: TransferId,
    },
    /// Gives a move up, before its commit. After the switch was opened the source is granted the
    /// role anew.
    Abort {
        /// The move.
        transfer: TransferId,
    },
    /// Holds a move back where it stands, or lets it go on.
    Pause {
        /// The move.
        transfer: TransferId,
        /// Whether it is held back.
        paused: bool,
    },
    /// Drops a copy that a row has beyond the replication factor.
    Trim {
        /// The partition.
        partition: PartitionId,
        /// The member that loses its copy; not the primary.
        member: MemberNumber,
    },
    /// Writes down how far the copy has come, for people.
    Progress {
        /// The move.
        transfer: TransferId,
        /// Units copied.
        done: u64,
        /// Units to copy; 0 while unknown.
        total: u64,
    },
}

/// A change of a partition's in-sync set by its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InSyncChange {
    /// Goes on without a member; committed before the first write it does not have.
    Remove(MemberNumber),
    /// A member of the row has everything, in that session.
    Add(Party),
}

/// A plan that is carried out by transfers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebalanceCommand {
    /// Begins to carry it out.
    Begin {
        /// The version the plan was made for.
        base: Version,
        /// The table to reach.
        table: Table,
        /// Why.
        trigger: Trigger,
        /// When planning began, by the proposer's wall clock, in milliseconds since 1970.
        started_at_ms: u64,
    },
    /// Holds it back, or lets it go on. Moves under way go on.
    Pause {
        /// Whether it is held back.
        paused: bool,
    },
    /// Gives it up. Moves under way go on.
    Abort,
    /// Ends it: nothing is left to move.
    Finish {
        /// Which: [`Rebalance::since`](crate::Rebalance::since).
        since: Position,
    },
}

impl TransferCommand {
    /// The command's name in history and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "transfer-open",
            Self::Prepared { .. } => "transfer-prepared",
            Self::CaughtUp { .. } => "transfer-caught-up",
            Self::OpenSwitch { .. } => "transfer-open-switch",
            Self::Commit { .. } => "transfer-commit",
            Self::Revoke { .. } => "transfer-revoke",
            Self::CommitRevoked { .. } => "transfer-commit-revoked",
            Self::Activated { .. } => "transfer-activated",
            Self::Finish { .. } => "transfer-finish",
            Self::Abort { .. } => "transfer-abort",
            Self::Pause { .. } => "transfer-pause",
            Self::Trim { .. } => "trim",
            Self::Progress { .. } => "transfer-progress",
        }
    }
}

impl RebalanceCommand {
    /// The command's name in history and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "rebalance-begin",
            Self::Pause { paused: true } => "rebalance-pause",
            Self::Pause { paused: false } => "rebalance-resume",
            Self::Abort => "rebalance-abort",
            Self::Finish { .. } => "rebalance-finish",
        }
    }
}
