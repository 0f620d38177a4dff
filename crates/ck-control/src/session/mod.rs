//! Leases from both sides: what a node sends, what a leader answers, and what each may conclude.

mod desk;
mod lease;

use alloc::vec::Vec;
use core::time::Duration;

use ck_core::{Epoch, PartitionId};
use serde::{Deserialize, Serialize};

pub(crate) use desk::Desk;
pub use lease::Lease;

use crate::{LeaseTerms, MemberNumber, Nonce, Position, SessionId, SwitchId, Time, TransferId};

/// Most reports in one renewal; the others wait for the next.
pub const REPORTS_MAX: usize = 1_024;

/// A node asks for its lease to be extended, and tells what it has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The member.
    pub member: MemberNumber,
    /// Its session.
    pub session: SessionId,
    /// The process that asks: a session is the one's that registered it.
    pub process: Nonce,
    /// The node's clock, read before sending; the answer echoes it.
    pub sent: Time,
    /// The newest entry the node has applied.
    pub applied: Position,
    /// How long the node has had no answer, on its clock.
    pub unanswered: Duration,
    /// Whether it is about to stop: whoever leads hands its primary roles over first.
    pub leaving: bool,
    /// What it has done and the table does not show yet, at most [`REPORTS_MAX`].
    pub reports: Vec<Report>,
}

/// What a node has done in a planned move; repeated in every renewal until superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Report {
    /// The target has copied everything there was.
    Prepared {
        /// The move.
        transfer: TransferId,
    },
    /// The target has every write that may have been acknowledged at that epoch, and takes part in
    /// those to come.
    CaughtUp {
        /// The move.
        transfer: TransferId,
        /// The epoch under which it caught up.
        epoch: Epoch,
    },
    /// The source has shut its gate, no proof is outstanding, and it admits nothing at that epoch
    /// again.
    Released(Release),
    /// The target serves.
    Activated {
        /// The move.
        transfer: TransferId,
    },
    /// The target has copied so much of so much, in its application's own units.
    Progress {
        /// The move.
        transfer: TransferId,
        /// Units copied.
        done: u64,
        /// Units to copy; 0 while unknown.
        total: u64,
    },
    /// A handler failed for good at this stage, or the agent cannot go on.
    Failed {
        /// The move.
        transfer: TransferId,
        /// The try that failed.
        attempt: u32,
    },
}

/// An acknowledgement: it counts only where all four match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Release {
    /// The session that gives the role up.
    pub session: SessionId,
    /// The partition.
    pub partition: PartitionId,
    /// The grant it gives up.
    pub epoch: Epoch,
    /// The switch that asked for it.
    pub switch: SwitchId,
}

/// The leader's answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The lease is extended.
    Granted {
        /// The session.
        session: SessionId,
        /// The process that asked.
        process: Nonce,
        /// The renewal's clock reading, echoed.
        sent: Time,
        /// Lease and ρ as the leader's table has them.
        terms: LeaseTerms,
        /// The session's floor: the lease counts only while the node has applied it.
        floor: Position,
        /// Whether roles of a session that is about to stop are still to be handed over.
        handing_over: bool,
    },
    /// The session has ended for good, or is another process's; the node registers anew.
    Fenced {
        /// The session.
        session: SessionId,
        /// The process that asked. The answer is nobody else's.
        process: Nonce,
    },
}
