//! How many, how long, and when.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::answer::Answer;

/// Width of the steps in which throughput is counted.
pub(crate) const STEP: Duration = Duration::from_millis(100);

/// Most steps that are kept: an hour and some. Later ones are counted in the last.
const STEPS_MAX: usize = 40_000;

/// Longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// Something that happened during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, since the beginning of the measurement.
    pub at: Duration,
    /// What, in a word or two.
    pub label: String,
}

/// What was measured, of one kind of operation or of all.
#[derive(Debug, Clone)]
pub struct Latency {
    nanos: Histogram<u64>,
}

impl Latency {
    pub(crate) fn new() -> Self {
        let max = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
        let range = Histogram::new_with_bounds(1_000, max, 3);
        Self {
            nanos: range.expect("1 µs to 600 s with three digits is a valid range"),
        }
    }

    fn record(&mut self, latency: Duration) {
        self.nanos
            .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanos.len()
    }

    /// The latency that this share of them, from 0 to 1, does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.nanos.value_at_quantile(share))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.nanos.max())
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanos.mean() as u64)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same range, so nothing can fall out of it.
        let _ = self.nanos.add(&other.nanos);
    }
}

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    Delete,
    Cas,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Get, Self::Put, Self::Delete, Self::Cas];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Cas => "cas",
        }
    }
}

/// Of all clients together.
#[derive(Debug, Clone)]
pub struct Measured {
    begin: Instant,
    end: Instant,
    latencies: [Latency; 4],
    pub(crate) mismatches: u64,
    pub(crate) refused: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    /// Served and not, for each step.
    pub(crate) steps: Vec<(u32, u32)>,
    pub(crate) served: u64,
    pub(crate) bytes: u64,
}

impl Measured {
    /// From `begin` to `end`; what was sent before or is due after does not count.
    pub(crate) fn new(begin: Instant, end: Instant) -> Self {
        Self {
            begin,
            end,
            latencies: std::array::from_fn(|_| Latency::new()),
            mismatches: 0,
            refused: 0,
            not_sent: 0,
            unknown: 0,
            steps: Vec::new(),
            served: 0,
            bytes: 0,
        }
    }

    /// Adds one that was due, or sent, at `start`.
    pub(crate) fn add(
        &mut self,
        operation: Operation,
        start: Instant,
        now: Instant,
        answer: &Answer,
    ) {
        if start < self.begin || start >= self.end {
            return;
        }
        let step = now.saturating_duration_since(self.begin).as_nanos() / STEP.as_nanos();
        let step = usize::try_from(step)
            .unwrap_or(STEPS_MAX)
            .min(STEPS_MAX - 1);
        if self.steps.len() <= step {
            self.steps.resize(step + 1, (0, 0));
        }
        match answer {
            Answer::Mismatch => self.mismatches += 1,
            Answer::Refused(_) => self.refused += 1,
            Answer::NotSent => self.not_sent += 1,
            Answer::Unknown(_) => self.unknown += 1,
            Answer::Read { value, .. } => self.bytes += value.len() as u64,
            Answer::Written { .. } | Answer::Absent => {}
        }
        if answer.is_served() {
            self.served += 1;
            self.steps[step].0 += 1;
            self.latencies[operation as usize].record(now.saturating_duration_since(start));
        } else {
            self.steps[step].1 += 1;
        }
    }

    /// Of each kind that there was.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Operation, &Latency)> {
        let all = Operation::ALL.into_iter().zip(&self.latencies);
        all.filter(|(_, latency)| latency.count() > 0)
    }

    /// Of all kinds.
    #[must_use]
    pub fn all(&self) -> Latency {
        let mut all = Latency::new();
        for latency in &self.latencies {
            all.add(latency);
        }
        all
    }

    /// Operations that were served.
    #[must_use]
    pub const fn served(&self) -> u64 {
        self.served
    }

    /// Operations that were not: refused, never sent, or of unknown outcome.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.refused + self.not_sent + self.unknown
    }

    /// How long was measured.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.end.saturating_duration_since(self.begin)
    }

    /// The longest time in which nothing was served, in steps of 100 ms.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let whole = self.length().as_nanos() / STEP.as_nanos();
        let whole = usize::try_from(whole).unwrap_or(STEPS_MAX).min(STEPS_MAX);
        let (mut longest, mut current) = (0, 0);
        for step in 0..whole {
            let served = self.steps.get(step).map_or(0, |(served, _)| *served);
            current = if served == 0 { current + 1 } else { 0 };
            longest = longest.max(current);
        }
        STEP * longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_the_measurement_does_not_count() {
        let begin = Instant::now() + Duration::from_secs(1);
        let end = begin + Duration::from_secs(1);
        let mut measured = Measured::new(begin, end);
        let ms = Duration::from_millis(1);
        for start in [begin - ms, begin, end - ms, end] {
            measured.add(Operation::Get, start, start + ms, &Answer::Absent);
        }
        measured.add(
            Operation::Put,
            begin,
            begin + 350 * ms,
            &Answer::Unknown(None),
        );
        assert_eq!((measured.served(), measured.failed()), (2, 1));
        assert_eq!(measured.all().count(), 2);
        // The last one ended with the last step.
        assert_eq!(measured.steps[0], (1, 0));
        assert_eq!(measured.steps[3], (0, 1));
        assert_eq!(measured.longest_gap(), 900 * ms);
        let median = measured.all().quantile(0.5);
        assert!(
            median >= ms && median < ms + Duration::from_micros(2),
            "{median:?}"
        );
    }
}
