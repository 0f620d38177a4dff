//! When operations are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Shortest sleep, so that a high rate does not wake the clients one by one.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// Longest sleep, after which it is looked whether more are wanted.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Most that can become due at once.
const PERMITS_MAX: usize = 1 << 24;

/// Hands out the times at which operations are due, to whichever client is free.
///
/// The clock of the runtime ticks in milliseconds, which is longer than many an answer takes; a thread
/// that sleeps is more exact.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    rate: f64,
    /// How many are due in all.
    total: u64,
    taken: AtomicU64,
    due: Semaphore,
}

impl Pace {
    pub(crate) fn new(start: Instant, rate: f64, length: Duration) -> Self {
        let total = (length.as_secs_f64() * rate).floor() as u64;
        Self(Arc::new(Inner {
            start,
            rate,
            total,
            taken: AtomicU64::new(0),
            due: Semaphore::new(0),
        }))
    }

    fn time_of(&self, number: u64) -> Instant {
        self.0.start + Duration::from_secs_f64(number as f64 / self.0.rate)
    }

    /// Waits until one is due, and tells since when; nothing once all are handed out.
    pub(crate) async fn next(&self) -> Option<Instant> {
        self.0.due.acquire().await.ok()?.forget();
        let number = self.0.taken.fetch_add(1, Ordering::Relaxed);
        Some(self.time_of(number))
    }

    /// How many were due and never handed out.
    pub(crate) fn left(&self) -> u64 {
        let taken = self.0.taken.load(Ordering::Relaxed);
        self.0.total.saturating_sub(taken)
    }

    /// Counts until all are due or no more are wanted. For a thread of its own.
    pub(crate) fn count(&self) {
        let mut counted = 0;
        while counted < self.0.total && !self.0.due.is_closed() {
            let next = self.time_of(counted);
            let now = Instant::now();
            if now < next {
                std::thread::sleep((next - now).clamp(SLEEP_MIN, SLEEP_MAX));
                continue;
            }
            let since = (now - self.0.start).as_secs_f64() * self.0.rate;
            let due = (since.floor() as u64 + 1).min(self.0.total);
            // At least the one that was waited for, however the numbers were rounded.
            let due = due.max(counted + 1);
            let permits = usize::try_from(due - counted).unwrap_or(PERMITS_MAX);
            self.0.due.add_permits(permits.min(PERMITS_MAX));
            counted = due;
        }
    }

    /// No more are handed out.
    pub(crate) fn close(&self) {
        self.0.due.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn times_are_those_of_the_rate_however_late_they_are_taken() {
        let start = Instant::now();
        let pace = Pace::new(start, 1_000.0, Duration::from_millis(20));
        pace.count();
        // All twenty were due by now, at the times they were due.
        assert!(start.elapsed() >= Duration::from_millis(19));
        assert_eq!(pace.left(), 20);
        for number in 0..20 {
            let due = pace.next().await.unwrap();
            assert_eq!((due - start).as_millis(), number);
        }
        assert_eq!(pace.left(), 0);
        pace.close();
        assert_eq!(pace.next().await, None);
    }
}
