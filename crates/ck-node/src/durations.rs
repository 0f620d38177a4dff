//! How long something took, counted in buckets.

use std::time::Duration;

/// Upper bounds of the buckets, in milliseconds. Failovers take a lease and some: 0.5, 2 or 10 s; a
/// node that was granted a role begins to act at once, unless its application has work to do first.
const BOUNDS_MS: [u64; 17] = [
    1, 5, 10, 50, 100, 250, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 6_000, 10_000, 20_000,
    60_000,
];

/// How often something took how long, since the process started.
///
/// ```
/// use std::time::Duration;
/// let mut all = ck_node::Durations::default();
/// all.add(Duration::from_millis(2_200));
/// assert_eq!((all.count(), all.total()), (1, Duration::from_millis(2_200)));
/// let bucket = all.buckets().find(|(_, count)| *count > 0);
/// assert_eq!(bucket, Some((Some(Duration::from_millis(2_500)), 1)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    buckets: [u64; BOUNDS_MS.len() + 1],
    total: Duration,
}

impl Durations {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        let fits = |bound: &u64| took <= Duration::from_millis(*bound);
        let bucket = BOUNDS_MS.iter().position(fits).unwrap_or(BOUNDS_MS.len());
        self.buckets[bucket] += 1;
        self.total = self.total.saturating_add(took);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long all of them took together.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// Upper bound and number of each bucket, in order, each without those before it; the last one
    /// has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS_MS
            .iter()
            .map(|bound| Some(Duration::from_millis(*bound)));
        bounds.chain([None]).zip(self.buckets)
    }
}

/// How long failovers took, as far as this node knows: each part of one is known to one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailoverFigures {
    /// While this node was the leader: from the last renewal of a lost primary that was answered to
    /// the next grant of its partition. Where the leader was lost as well, from the last answer that
    /// the new one had from it. One for each partition. Nodes that stop, come back within their lease
    /// or are removed are not lost.
    pub granted: Durations,
    /// Of partitions granted to this node: from learning of the grant to being able to act.
    pub begun: Durations,
}
