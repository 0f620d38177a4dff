//! The node's side of a lease.

use crate::bugs::{Bug, Bugs};
use crate::{LeaseTerms, Position, SessionId, Time};

/// What a node may conclude from the answers to its renewals of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    session: SessionId,
    /// Clock reading before the newest answered renewal was sent.
    sent: Option<Time>,
    ends: Time,
    floor: Position,
    /// When the newest answer arrived, or the session began.
    heard: Time,
}

impl Lease {
    /// A session that has begun: no right to act before the first answer.
    #[must_use]
    pub const fn begun(session: SessionId, now: Time) -> Self {
        Self {
            session,
            sent: None,
            ends: Time::ZERO,
            floor: Position(0),
            heard: now,
        }
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Takes an answer to the renewal sent at `sent`. False when it was not newer than the last.
    pub(crate) fn extend(
        &mut self,
        sent: Time,
        terms: &LeaseTerms,
        floor: Position,
        now: Time,
        bugs: Bugs,
    ) -> bool {
        if self.sent.is_some_and(|last| sent <= last) || sent > now {
            return false;
        }
        self.sent = Some(sent);
        let from = if bugs.has(Bug::LeaseFromReceipt) {
            now
        } else {
            sent
        };
        self.ends = from.after(terms.acts_for());
        self.floor = self.floor.max(floor);
        self.heard = now;
        true
    }

    /// Ends it: it never counts again unless another answer extends it.
    pub(crate) const fn end(&mut self) {
        self.ends = Time::ZERO;
    }

    /// When it ends on the node's clock, unless it is extended.
    #[must_use]
    pub const fn ends(&self) -> Time {
        self.ends
    }

    /// The position that must be applied for it to count.
    #[must_use]
    pub const fn floor(&self) -> Position {
        self.floor
    }

    /// When the newest answer arrived, or the session began.
    #[must_use]
    pub const fn heard(&self) -> Time {
        self.heard
    }

    /// Whether the node may act at `now`, having applied up to `applied`.
    #[must_use]
    pub(crate) fn counts(&self, applied: Position, now: Time, bugs: Bugs) -> bool {
        now < self.ends && (applied >= self.floor || bugs.has(Bug::LeaseWithoutFloor))
    }
}
