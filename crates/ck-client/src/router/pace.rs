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
    /// for a pause; `None` when that is not before `deadline`. Whoever gives up takes no place, or
    /// those that come after an outage would wait behind those that are gone.
    pub(super) fn next(
        &self,
        retries: u32,
        asked_for: Option<Duration>,
        deadline: Instant,
    ) -> Option<Instant> {
        let now = Instant::now();
        let doubled = PAUSE_MIN
            .saturating_mul(1 << retries.min(16))
            .min(PAUSE_MAX);
        let pause = self.jittered(doubled.max(asked_for.unwrap_or_default()).min(PAUSE_MAX));
        let at = now + pause;
        if at >= deadline {
            return None;
        }
        Some(at.max(self.turn(now, deadline)?))
    }

    /// Half to all of a pause.
    pub(super) fn jittered(&self, pause: Duration) -> Duration {
        let part = (self.draw() >> 40) as u32;
        pause / 2 + pause.mul_f64(f64::from(part) / f64::from(1 << 24)) / 2
    }

    /// A number that nobody else draws.
    pub(super) fn draw(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.random.hash_one(drawn)
    }

    /// Takes the next place, if it comes before `deadline`. A second of quiet saves up a second's worth of
    /// places, no more.
    fn turn(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let mut due = self
            .due
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let saved = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let place = (*due).max(saved) + self.every;
        if place >= deadline {
            return None;
        }
        *due = place;
        Some(place)
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
        let far = now + Duration::from_secs(600);
        let last = (0..300).filter_map(|_| pace.next(0, None, far)).max();
        let last = last.unwrap();
        // 100 were saved up, the others come at 100 a second.
        let after = last - now;
        assert!(
            (Duration::from_millis(1900)..=Duration::from_millis(2100)).contains(&after),
            "{after:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_takes_no_place() {
        let pace = Pace::new(100);
        let soon = || Instant::now() + Duration::from_secs(1);
        // Two seconds of an outage with 5,000 requests a second, each with a second of patience.
        for _ in 0..2_000 {
            for _ in 0..5 {
                let _ = pace.next(0, None, soon());
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        tokio::time::advance(Duration::from_millis(1_050)).await;
        let at = pace.next(0, None, soon());
        assert!(
            at.is_some(),
            "the first one after it still waits behind them"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_differ_and_have_an_end() {
        let pace = Pace::new(1_000_000);
        let far = Instant::now() + Duration::from_secs(600);
        for (retries, asked_for, least, most) in [
            (0, None, 5, 10),
            (3, None, 40, 80),
            (40, None, 250, 500),
            (0, Some(200), 100, 200),
            (0, Some(60_000), 250, 500),
        ] {
            let asked_for = asked_for.map(Duration::from_millis);
            let pauses: Vec<_> = (0..100)
                .map(|_| pace.next(retries, asked_for, far).unwrap() - Instant::now())
                .map(|pause| pause.as_millis())
                .collect();
            assert!(
                pauses.iter().all(|one| (least..=most).contains(one)),
                "{pauses:?}"
            );
            assert!(pauses.iter().any(|one| one != &pauses[0]), "all the same");
        }
    }
}
