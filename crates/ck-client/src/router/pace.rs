//! How fast attempts follow one another.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// First pause; the next ones double.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest pause, however long a server asks for.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The retries of all requests together, at a rate.
#[derive(Debug)]
pub(super) struct Pace {
    /// Time between two retries.
    every: Duration,
    /// When the next one is due; the past stands for what may be made at once.
    due: Mutex<Instant>,
    /// So that those that fail together do not come again together.
    random: RandomState,
    drawn: AtomicU64,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / per_second,
            due: Mutex::new(Instant::now()),
            random: RandomState::new(),
            drawn: AtomicU64::new(0),
        }
    }

    /// When the retry of a request may be made that has had `retries` of them, and whose server asks
    /// for a pause.
    pub(super) fn next(&self, retries: u32, asked_for: Option<Duration>) -> Instant {
        let now = Instant::now();
        let doubled = PAUSE_MIN
            .saturating_mul(1 << retries.min(16))
            .min(PAUSE_MAX);
        let pause = self.jittered(doubled.max(asked_for.unwrap_or_default()).min(PAUSE_MAX));
        (now + pause).max(self.turn(now))
    }

    /// Half to all of a pause.
    fn jittered(&self, pause: Duration) -> Duration {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let part = (self.random.hash_one(drawn) >> 40) as u32;
        pause / 2 + pause.mul_f64(f64::from(part) / f64::from(1 << 24)) / 2
    }

    /// Takes the next place. A second of quiet saves up a second's worth of places, no more.
    fn turn(&self, now: Instant) -> Instant {
        let mut due = self
            .due
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let saved = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        *due = (*due).max(saved) + self.every;
        *due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retries_of_all_together_keep_to_their_rate() {
        let pace = Pace::new(100);
        tokio::time::advance(Duration::from_secs(60)).await;
        let now = Instant::now();
        let last = (0..300).map(|_| pace.next(0, None)).max().unwrap();
        // 100 were saved up, the others come at 100 a second.
        let after = last - now;
        assert!(
            (Duration::from_millis(1900)..=Duration::from_millis(2100)).contains(&after),
            "{after:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_differ_and_have_an_end() {
        let pace = Pace::new(1_000_000);
        for (retries, asked_for, least, most) in [
            (0, None, 5, 10),
            (3, None, 40, 80),
            (40, None, 250, 500),
            (0, Some(200), 100, 200),
            (0, Some(60_000), 250, 500),
        ] {
            let asked_for = asked_for.map(Duration::from_millis);
            let pauses: Vec<_> = (0..100)
                .map(|_| (pace.next(retries, asked_for) - Instant::now()).as_millis())
                .collect();
            assert!(
                pauses.iter().all(|one| (least..=most).contains(one)),
                "{pauses:?}"
            );
            assert!(pauses.iter().any(|one| one != &pauses[0]), "all the same");
        }
    }
}
