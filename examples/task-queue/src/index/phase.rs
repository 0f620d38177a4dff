//! Where a task stands, by this node's own clock.

use std::time::Instant;

use super::Counts;
use crate::name::Receipt;
use crate::record::{DeadReason, Kept};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Ready,
    Delayed {
        until: Instant,
    },
    Leased {
        receipt: Receipt,
        until: Instant,
    },
    /// The lease has run out; whoever held it may still come first.
    Lapsed {
        receipt: Receipt,
    },
    Dead {
        reason: DeadReason,
    },
    Done,
}

impl Phase {
    /// As it was written, counted from `now`.
    pub(super) fn of(kept: Kept, now: Instant) -> Self {
        // A time so long that the clock cannot hold it does not come to its end.
        const LONG: std::time::Duration = std::time::Duration::from_secs(86_400 * 365);
        match kept {
            Kept::Ready => Self::Ready,
            Kept::Delayed { delay } => Self::Delayed {
                until: now + delay.min(LONG),
            },
            Kept::Leased {
                receipt,
                visibility,
            } => Self::Leased {
                receipt,
                until: now + visibility.min(LONG),
            },
            Kept::Dead { reason } => Self::Dead { reason },
            Kept::Done => Self::Done,
        }
    }

    /// Once its time is up.
    pub(super) const fn ended(self) -> Self {
        match self {
            Self::Delayed { .. } => Self::Ready,
            Self::Leased { receipt, .. } => Self::Lapsed { receipt },
            other => other,
        }
    }

    /// Where it is counted; a task that is done is not.
    pub(super) const fn count(self, counts: &mut Counts) -> Option<&mut u64> {
        Some(match self {
            Self::Ready | Self::Lapsed { .. } => &mut counts.ready,
            Self::Delayed { .. } => &mut counts.delayed,
            Self::Leased { .. } => &mut counts.leased,
            Self::Dead { .. } => &mut counts.dead,
            Self::Done => return None,
        })
    }

    /// What it is called outside.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ready | Self::Lapsed { .. } => "ready",
            Self::Delayed { .. } => "delayed",
            Self::Leased { .. } => "leased",
            Self::Dead { .. } => "dead",
            Self::Done => "done",
        }
    }
}
