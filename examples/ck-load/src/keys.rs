//! Which key comes next.

use std::fmt::Write as _;
use std::str::FromStr;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution as _, Zipf};

/// How often each key is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// The n-th in proportion to 1 / n^s.
    Zipf(f64),
    /// One after another, each client from a place of its own.
    Sequential,
    /// This many per cent of the keys take this many per cent of the operations.
    Hot {
        /// Keys, in per cent.
        keys: u8,
        /// Operations, in per cent.
        operations: u8,
    },
}

/// Why a text is no distribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no distribution; uniform, zipf, zipf:1.2, sequential and hot:5:80 are")]
pub struct DistributionError {
    text: String,
}

impl FromStr for Distribution {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Self, DistributionError> {
        let error = || DistributionError {
            text: text.to_owned(),
        };
        let percent = |text: &str| match text.parse() {
            Ok(value @ 1..=99) => Ok(value),
            _ => Err(error()),
        };
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["uniform"] => Ok(Self::Uniform),
            ["sequential"] => Ok(Self::Sequential),
            ["zipf"] => Ok(Self::Zipf(0.99)),
            ["zipf", exponent] => match exponent.parse() {
                Ok(exponent) if (0.01..=10.0).contains(&exponent) => Ok(Self::Zipf(exponent)),
                _ => Err(error()),
            },
            ["hot", keys, operations] => Ok(Self::Hot {
                keys: percent(keys)?,
                operations: percent(operations)?,
            }),
            _ => Err(error()),
        }
    }
}

/// The keys of one client, in the order it uses them.
#[derive(Debug, Clone)]
pub struct Keys {
    count: u64,
    distribution: Distribution,
    zipf: Option<Zipf<f64>>,
    random: SmallRng,
    next: u64,
}

impl Keys {
    /// The sequence of one client of several.
    ///
    /// # Panics
    /// When `count` or `clients` is 0.
    #[must_use]
    pub fn new(
        count: u64,
        distribution: Distribution,
        seed: u64,
        client: u64,
        clients: u64,
    ) -> Self {
        assert!(count > 0 && clients > 0, "there are keys and clients");
        let zipf = match distribution {
            // Both parameters are in range: at least one key, and an exponent above 0.
            Distribution::Zipf(exponent) => Zipf::new(count as f64, exponent).ok(),
            _ => None,
        };
        let place = u128::from(count) * u128::from(client) / u128::from(clients);
        Self {
            count,
            distribution,
            zipf,
            random: SmallRng::seed_from_u64(seed.rotate_left(32) ^ client),
            next: u64::try_from(place).unwrap_or(0) % count,
        }
    }

    /// The number of the next key.
    pub fn next_key(&mut self) -> u64 {
        match self.distribution {
            Distribution::Uniform => self.random.random_range(0..self.count),
            Distribution::Sequential => {
                let key = self.next;
                self.next = (key + 1) % self.count;
                key
            }
            Distribution::Zipf(_) => match &self.zipf {
                // From 1 to the count, whole.
                Some(zipf) => (zipf.sample(&mut self.random) as u64 - 1).min(self.count - 1),
                None => 0,
            },
            Distribution::Hot { keys, operations } => {
                let hot = (self.count * u64::from(keys) / 100).max(1);
                let is_hot = self.random.random_range(0..100) < operations;
                if is_hot || hot == self.count {
                    self.random.random_range(0..hot)
                } else {
                    self.random.random_range(hot..self.count)
                }
            }
        }
    }

    /// A number below `limit`, from the same sequence.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.random.random_range(0..limit)
    }
}

/// The bytes of a key. Odd ones have a zero, a slash, a per cent sign and no UTF-8 in them.
pub(crate) fn bytes(prefix: &str, number: u64, odd: bool) -> Vec<u8> {
    let mut key = format!("{prefix}{number:08}").into_bytes();
    if odd {
        key.extend_from_slice(match number % 4 {
            0 => b"/../%2f",
            1 => b"\x00\xff\xfe",
            2 => b" ?#&=+",
            _ => "ключ".as_bytes(),
        });
    }
    key
}

/// A key as it stands in a path.
pub(crate) fn encoded(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(distribution: &str, count: u64) -> Vec<u64> {
        let distribution = distribution.parse().unwrap();
        let mut keys = Keys::new(count, distribution, 7, 0, 4);
        let mut shares = vec![0; usize::try_from(count).unwrap()];
        for _ in 0..100_000 {
            shares[usize::try_from(keys.next_key()).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn uniform_keys_are_used_alike() {
        let shares = shares("uniform", 10);
        assert!(
            shares.iter().all(|share| (9_400..10_600).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn zipf_keys_fall_off_as_they_should() {
        let shares = shares("zipf:1", 100);
        // 1 / (1 + 1/2 + … + 1/100) is 0.1928.
        assert!((18_500..20_000).contains(&shares[0]), "{}", shares[0]);
        let ratio = shares[0] as f64 / shares[9] as f64;
        assert!((9.0..11.0).contains(&ratio), "{ratio}");
        assert!(shares[99] > 100);
    }

    #[test]
    fn hot_keys_take_their_share() {
        let shares = shares("hot:5:80", 100);
        let hot: u64 = shares[..5].iter().sum();
        assert!((79_000..81_000).contains(&hot), "{hot}");
    }

    #[test]
    fn sequential_keys_start_apart_and_wrap() {
        let mut keys = Keys::new(8, Distribution::Sequential, 0, 3, 4);
        let seen: Vec<u64> = (0..4).map(|_| keys.next_key()).collect();
        assert_eq!(seen, [6, 7, 0, 1]);
    }

    #[test]
    fn distributions_that_are_none_are_refused() {
        for text in [
            "",
            "zipf:",
            "zipf:0",
            "zipf:x",
            "hot",
            "hot:0:5",
            "hot:5:100",
            "even",
        ] {
            let error = text.parse::<Distribution>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn encoded_keys_are_read_back_as_the_same_bytes() {
        for number in 0..4 {
            let key = bytes("k", number, true);
            let operation = ck_sim::history::Operation {
                op: ck_sim::history::Kind::Get,
                client: String::new(),
                key: encoded(&key),
                value: None,
                expected: None,
                start: 0,
                end: None,
                outcome: ck_sim::history::Outcome::Failed,
                partition: None,
            };
            assert_eq!(operation.key_bytes(), Some(key));
        }
    }
}
