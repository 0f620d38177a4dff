//! How fast a node makes its copies, so that requests hardly notice it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Bytes a second that a node copies, unless told otherwise: 8 MiB.
pub(crate) const COPY_RATE_DEFAULT: u64 = 8 << 20;

/// The rate at which one node takes what it copies, whichever copies they are.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second; 0 for as fast as it goes.
    rate: u64,
    began: Instant,
    /// When what was taken so far is paid for, since it began. Time that went by unused is not saved up.
    paid: Mutex<Duration>,
}

impl Pace {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            began: Instant::now(),
            paid: Mutex::new(Duration::ZERO),
        }
    }

    /// How long to wait, now that `bytes` were taken, before more is asked for.
    pub(crate) fn wait(&self, bytes: u64) -> Duration {
        self.wait_at(bytes, self.began.elapsed())
    }

    fn wait_at(&self, bytes: u64, now: Duration) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock();
        *paid = (*paid).max(now).saturating_add(cost);
        paid.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn copies_share_one_rate() {
        let pace = Pace::new(1_000);
        assert_eq!(pace.wait_at(500, SECOND), SECOND / 2);
        assert_eq!(pace.wait_at(500, SECOND), SECOND, "another copy, at once");
        assert_eq!(pace.wait_at(1_000, SECOND * 2), SECOND);
    }

    #[test]
    fn time_that_went_by_is_not_saved_up() {
        let pace = Pace::new(1_000);
        assert_eq!(pace.wait_at(1_000, SECOND), SECOND);
        assert_eq!(pace.wait_at(1_000, SECOND * 60), SECOND);
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        assert_eq!(Pace::new(0).wait_at(u64::MAX, SECOND), Duration::ZERO);
    }
}
