//! What can be wrong with a link, and how it is drawn from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Faults of one direction of a link. The default has none.
///
/// Probabilities are between 0 (never) and 1 (always), drawn for each message: a request or a
/// reply. The chunks of a body are delayed and stopped by cuts, but neither lost, duplicated nor
/// reordered, as on a stream that repeats what was lost.
///
/// ```
/// use std::time::Duration;
/// use ck_transport::Faults;
/// let wan = Faults {
///     loss: 0.03,
///     delay: Duration::from_millis(20)..=Duration::from_millis(100),
///     ..Faults::default()
/// };
/// # assert_eq!(wan.duplication, 0.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Probability that a message vanishes; the caller sees a timeout.
    pub loss: f64,
    /// How long a message takes, evenly drawn. Messages overtake each other within it.
    pub delay: RangeInclusive<Duration>,
    /// Probability that a request without a body is handed to the service twice.
    pub duplication: f64,
    /// Probability that a message is held back for another `reordering_delay`.
    pub reordering: f64,
    /// How long a message that is to be overtaken is held back. Default 50 ms.
    pub reordering_delay: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay: Duration::ZERO..=Duration::ZERO,
            duplication: 0.0,
            reordering: 0.0,
            reordering_delay: Duration::from_millis(50),
        }
    }
}

/// What happens to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) lost: bool,
    pub(super) duplicated: bool,
    pub(super) delay: Duration,
}

/// The numbers of one direction of a link: its own sequence, so that the traffic of one link does
/// not change the faults of another.
///
/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), written
/// out because a recorded seed has to mean the same for ever.
#[derive(Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: u64, from: &str, to: &str) -> Self {
        let mut draws = Self(seed);
        // 0xff occurs in no UTF-8 text, so ("a", "bc") and ("ab", "c") differ.
        for byte in from.bytes().chain([0xff]).chain(to.bytes()) {
            draws.0 = draws.next() ^ u64::from(byte);
        }
        draws
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in 0 (included) to 1 (excluded), 53 bits of it.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws the same count of numbers whatever the faults, so that switching one fault on leaves
    /// the others where they were.
    pub(super) fn fate(&mut self, faults: &Faults) -> Fate {
        let lost = self.unit() < faults.loss;
        let duplicated = self.unit() < faults.duplication;
        let held = self.unit() < faults.reordering;
        let (least, most) = (*faults.delay.start(), *faults.delay.end());
        let mut delay = least + most.saturating_sub(least).mul_f64(self.unit());
        if held {
            delay += faults.reordering_delay;
        }
        Fate {
            lost,
            duplicated,
            delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, from: &str, faults: &Faults) -> Vec<Fate> {
        let mut draws = Draws::new(seed, from, "b");
        (0..1000).map(|_| draws.fate(faults)).collect()
    }

    #[test]
    fn the_sequence_is_that_of_the_published_algorithm() {
        let mut draws = Draws(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| draws.next()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn a_seed_repeats_itself_and_links_differ() {
        let faults = Faults {
            loss: 0.5,
            ..Faults::default()
        };
        assert_eq!(fates(7, "a", &faults), fates(7, "a", &faults));
        assert_ne!(fates(7, "a", &faults), fates(8, "a", &faults));
        assert_ne!(fates(7, "a", &faults), fates(7, "c", &faults));
    }

    #[test]
    fn switching_a_fault_on_leaves_the_others_where_they_were() {
        let one = Faults {
            loss: 0.1,
            ..Faults::default()
        };
        let both = Faults {
            duplication: 0.5,
            reordering: 0.5,
            ..one.clone()
        };
        let lost = |faults| {
            fates(7, "a", faults)
                .iter()
                .map(|f| f.lost)
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(&one), lost(&both));
    }

    #[test]
    fn probabilities_and_delays_are_those_asked_for() {
        let (least, most) = (Duration::from_millis(20), Duration::from_millis(100));
        let faults = Faults {
            loss: 0.03,
            delay: least..=most,
            ..Faults::default()
        };
        let fates = fates(7, "a", &faults);
        let lost = fates.iter().filter(|fate| fate.lost).count();
        assert!((10..=60).contains(&lost), "{lost} of 1000 lost at 3 %");
        assert!(
            fates
                .iter()
                .all(|fate| (least..=most).contains(&fate.delay))
        );
    }
}
