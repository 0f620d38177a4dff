//! Rules broken on purpose, so that a simulator can show that it would notice.
//!
//! Without the feature `planted-bugs` every question here is answered `false` at compile time.

/// One rule that can be broken; each is consulted at the one place where its rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Bug {
    /// The leader expires a session before its lease can have run out.
    GrantBeforeExpiry,
    /// The node measures its lease on the wall clock, see `Agent::step_wall_clock`.
    WallClock,
    /// The node counts its lease from the answer's receipt instead of the renewal's send.
    LeaseFromReceipt,
    /// A proof is not checked again after an await.
    NoCheckAfterAwait,
    /// A grant to the member that held the role before does not raise the epoch.
    EpochNotRaised,
    /// The source of a handoff acknowledges but leaves its gate open.
    SourceNeverStops,
    /// The target of a handoff serves while the switch is open, before the grant.
    TargetServesEarly,
    /// A snapshot forgets the epochs.
    SnapshotWithoutEpochs,
    /// The leader answers renewals of a session that has ended.
    EndedSessionRevived,
    /// A leadership confirmation that began before a renewal arrived counts for it.
    ConfirmationBegunBefore,
    /// A member that comes back is in sync at once.
    RejoinWithoutCatchUp,
    /// A new leader expires sessions without waiting a lease first.
    LeaderSkipsWait,
    /// A process that resumes its leadership after a restart goes on under the old office.
    ResumedWithoutOffice,
    /// A primary role belongs to the node, whatever session it was granted to.
    GrantToNode,
    /// An acknowledgement counts for every switch.
    AckNotBound,
    /// A lease counts although its floor is not applied.
    LeaseWithoutFloor,
    /// A node keeps the mark of a clean stop when it acts again, and it counts for any session.
    StaleStopMark,
}

impl Bug {
    /// Every rule that can be broken.
    pub const ALL: [Self; 17] = [
        Self::GrantBeforeExpiry,
        Self::WallClock,
        Self::LeaseFromReceipt,
        Self::NoCheckAfterAwait,
        Self::EpochNotRaised,
        Self::SourceNeverStops,
        Self::TargetServesEarly,
        Self::SnapshotWithoutEpochs,
        Self::EndedSessionRevived,
        Self::ConfirmationBegunBefore,
        Self::RejoinWithoutCatchUp,
        Self::LeaderSkipsWait,
        Self::ResumedWithoutOffice,
        Self::GrantToNode,
        Self::AckNotBound,
        Self::LeaseWithoutFloor,
        Self::StaleStopMark,
    ];
}

/// The rules that are broken: none, unless the feature `planted-bugs` is on and somebody asked.
///
/// Equal to every other value, so that it never makes two states differ.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bugs {
    #[cfg(feature = "planted-bugs")]
    planted: Option<Bug>,
}

impl PartialEq for Bugs {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Bugs {
    /// Breaks one rule.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub const fn planted(bug: Bug) -> Self {
        Self { planted: Some(bug) }
    }

    /// Whether a rule is broken.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    /// Whether a rule is broken: never.
    #[cfg(not(feature = "planted-bugs"))]
    #[expect(
        clippy::unused_self,
        reason = "asked in the same way with the feature on"
    )]
    pub(crate) const fn has(self, _: Bug) -> bool {
        false
    }
}
