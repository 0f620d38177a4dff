use core::fmt;

use ck_core::PartitionId;
use serde::{Deserialize, Serialize};

use crate::{MemberNumber, Position, SessionId, SwitchId, TransferId, Trigger};

/// One side of a planned move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// The member.
    pub member: MemberNumber,
    /// The session the move counts on; when it ends, so does the move.
    pub session: SessionId,
}

/// How far a planned move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The target copies from an in-sync source.
    Prepare,
    /// The target takes what was written since, until it is in sync.
    CatchUp,
    /// A switch is open: the source shuts its gate and acknowledges.
    Release,
    /// The primary role is the target's.
    Commit,
    /// The target begins to serve; the source redirects.
    Activate,
    /// The source drops its copy.
    CleanUp,
}

impl Stage {
    /// The name used in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::CatchUp => "catch-up",
            Self::Release => "release",
            Self::Commit => "commit",
            Self::Activate => "activate",
            Self::CleanUp => "clean-up",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One replica's planned move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The move: the position of the entry that opened it.
    pub id: TransferId,
    /// The partition.
    pub partition: PartitionId,
    /// How far it has come.
    pub stage: Stage,
    /// Who the copy is made from; with a handoff, who gives up the primary role.
    pub source: Party,
    /// Who gets the copy, or the primary role.
    pub target: Party,
    /// Whether the primary role moves.
    pub handoff: bool,
    /// The member that loses its copy at the end; absent when only the role moves or a copy is
    /// added.
    pub leaving: Option<MemberNumber>,
    /// The open switch, from release on. An acknowledgement that names another is refused.
    pub switch: Option<SwitchId>,
    /// Position at which the role was taken from the source without its consent: the target is
    /// granted it only after the source's lease has run out, counted from there.
    pub revoked: Option<Position>,
    /// Whether a missed release takes the role away instead of aborting.
    pub force: bool,
    /// In-sync copies when it began; it never leaves fewer.
    pub in_sync_before: u8,
    /// Why it was planned.
    pub reason: Trigger,
    /// Units copied, in the application's measure.
    pub done: u64,
    /// Units to copy; 0 while unknown.
    pub total: u64,
    /// Tries of the present stage, this one included.
    pub attempt: u32,
    /// Whether an operator holds it back.
    pub paused: bool,
    /// Position at which the present try of the present stage began; its deadline counts from when
    /// the leader applied that, or from its office if that came later.
    pub since: Position,
    /// When it was opened, by the proposer's wall clock, in milliseconds since 1970.
    pub opened_at_ms: u64,
    /// When the present stage began.
    pub stage_at_ms: u64,
}

impl Transfer {
    /// Whether a copy is made; moving the role alone is not throttled.
    #[must_use]
    pub const fn copies(&self) -> bool {
        !self.handoff || self.leaving.is_some()
    }

    /// Whether a copy is being made now, which is what the limits of a node are about.
    #[must_use]
    pub const fn is_copying(&self) -> bool {
        self.copies() && matches!(self.stage, Stage::Prepare | Stage::CatchUp)
    }
}
