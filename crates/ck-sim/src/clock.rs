//! Real time, which nobody in the simulation can read, and the clocks that can be read.

use ck_control::Time;

/// Nanoseconds of real time since the start of a run.
pub type Instant = u64;

/// A millisecond of real time.
pub const MS: Instant = 1_000_000;

/// A second of real time.
pub const SECOND: Instant = 1_000 * MS;

/// One node's clock: it runs at a rate of its own from a start of its own, and never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// What it read at `since`.
    start: u64,
    since: Instant,
    /// How much faster than real time, in millionths; negative: slower.
    rate_ppm: i64,
}

impl Clock {
    /// A clock that reads `start` nanoseconds at the start of the run.
    ///
    /// # Panics
    /// When it would stand still.
    #[must_use]
    pub const fn new(start: u64, rate_ppm: i64) -> Self {
        assert!(rate_ppm > -1_000_000, "a clock runs");
        Self {
            start,
            since: 0,
            rate_ppm,
        }
    }

    /// Goes on at another rate from an instant on.
    ///
    /// # Panics
    /// When it would stand still.
    pub fn drift(&mut self, at: Instant, rate_ppm: i64) {
        let start = self.read(at).0;
        *self = Self::new(start, rate_ppm);
        self.since = at;
    }

    /// Did not go on between two instants.
    pub fn stood_still(&mut self, from: Instant, until: Instant) {
        let start = self.read(from).0;
        *self = Self::new(start, self.rate_ppm);
        self.since = until;
    }

    /// What it reads at an instant.
    ///
    /// # Panics
    /// When the run is longer than five centuries.
    #[must_use]
    pub fn read(&self, at: Instant) -> Time {
        let passed = i128::from(at.saturating_sub(self.since));
        let elapsed = passed * i128::from(1_000_000 + self.rate_ppm) / 1_000_000;
        let elapsed = u64::try_from(elapsed).expect("a run is shorter than five centuries");
        Time(self.start + elapsed)
    }

    /// The first instant at which it reads `time` or more.
    ///
    /// # Panics
    /// Never: an instant past the end of time counts as its end.
    #[must_use]
    pub fn reaches(&self, time: Time) -> Instant {
        let elapsed = i128::from(time.0.saturating_sub(self.start)) * 1_000_000;
        let rate = i128::from(1_000_000 + self.rate_ppm);
        let at = (elapsed + rate - 1) / rate;
        u64::try_from(at)
            .unwrap_or(u64::MAX)
            .saturating_add(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reads_what_it_was_waited_for() {
        for rate in [-50_000, 0, 50_000, 333] {
            let clock = Clock::new(77, rate);
            for time in [77, 78, 1_000_000_007, 9_999_999_999] {
                let at = clock.reaches(Time(time));
                assert!(clock.read(at) >= Time(time), "{rate} {time}");
                assert!(at == 0 || clock.read(at - 1) < Time(time), "{rate} {time}");
            }
        }
    }

    #[test]
    fn a_clock_never_goes_back_when_its_rate_changes_or_it_stands_still() {
        let mut clock = Clock::new(7, 50_000);
        clock.drift(SECOND, -50_000);
        assert_eq!(clock.read(SECOND), Time(1_050 * MS + 7));
        assert_eq!(clock.read(2 * SECOND), Time(2_000 * MS + 7));
        clock.stood_still(2 * SECOND, 3 * SECOND);
        assert_eq!(clock.read(3 * SECOND), Time(2_000 * MS + 7));
        assert_eq!(clock.reaches(Time(2_950 * MS + 7)), 4 * SECOND);
    }

    #[test]
    fn a_fast_clock_is_ahead_of_a_slow_one() {
        let (fast, slow) = (Clock::new(0, 50_000), Clock::new(0, -50_000));
        assert_eq!(fast.read(SECOND), Time(1_050 * MS));
        assert_eq!(slow.read(SECOND), Time(950 * MS));
    }
}
