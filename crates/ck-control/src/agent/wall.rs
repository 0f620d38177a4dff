//! The clock that leases are measured on, and the wrong one, which a planted bug looks at.

use crate::Time;
use crate::agent::Agent;
#[cfg(feature = "planted-bugs")]
use crate::bugs::Bug;

impl Agent {
    /// Steps the wall clock, which only [`Bug::WallClock`] looks at, by nanoseconds.
    #[cfg(feature = "planted-bugs")]
    pub const fn step_wall_clock(&mut self, nanoseconds: i64) {
        self.wall = self.wall.saturating_add(nanoseconds);
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn clock(&self, now: Time) -> Time {
        if self.bugs.has(Bug::WallClock) {
            Time(now.0.saturating_add_signed(self.wall))
        } else {
            now
        }
    }

    /// The reading of the right clock when the one that leases are measured on reads `time`.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn alarm(&self, time: Time) -> Time {
        if self.bugs.has(Bug::WallClock) {
            Time(time.0.saturating_add_signed(self.wall.saturating_neg()))
        } else {
            time
        }
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[expect(
        clippy::unused_self,
        reason = "reads the wall clock with the feature on"
    )]
    pub(super) const fn alarm(&self, time: Time) -> Time {
        time
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[expect(
        clippy::unused_self,
        reason = "reads the wall clock with the feature on"
    )]
    pub(super) const fn clock(&self, now: Time) -> Time {
        now
    }
}
