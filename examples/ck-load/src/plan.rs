//! What to do.

use std::str::FromStr;
use std::time::Duration;

use crate::keys::Distribution;
use crate::measure::Operation;
use crate::protocol::{Consistency, Protocol};
use crate::values::Values;

/// Most bytes of a value.
pub(crate) const VALUE_BYTES_MAX: usize = 8 << 20;

/// How many operations of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; 4],
}

/// Why a text is no mix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no mix; name kinds and their weights, as in get:90,put:8,delete:1,cas:1, with at \
     least one weight above 0 and none above 1000000"
)]
pub struct MixError {
    text: String,
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let error = || MixError {
            text: text.to_owned(),
        };
        let mut weights = [None; 4];
        for part in text.split(',') {
            let (name, weight) = part.split_once(':').ok_or_else(error)?;
            let kind = Operation::ALL.into_iter().find(|kind| kind.name() == name);
            let weight: u32 = weight.parse().map_err(|_| error())?;
            let slot = &mut weights[kind.ok_or_else(error)? as usize];
            if weight > 1_000_000 || slot.replace(weight).is_some() {
                return Err(error());
            }
        }
        let weights = weights.map(|weight| weight.unwrap_or(0));
        if weights.iter().sum::<u32>() == 0 {
            return Err(error());
        }
        Ok(Self { weights })
    }
}

impl Mix {
    pub(crate) fn total(&self) -> u32 {
        self.weights.iter().sum()
    }

    /// The kind at a number below the total.
    pub(crate) fn at(&self, number: u32) -> Operation {
        let mut left = number;
        for kind in Operation::ALL {
            let weight = self.weights[kind as usize];
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Operation::Get
    }

    const fn has(&self, kind: Operation) -> bool {
        self.weights[kind as usize] > 0
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which service.
    pub protocol: Protocol,
    /// Clients, each with one request under way. 1 to 10,000.
    pub clients: usize,
    /// Keys. At least 1.
    pub keys: u64,
    /// What every key begins with.
    pub key_prefix: String,
    /// Whether keys have bytes in them that need encoding.
    pub odd_keys: bool,
    /// How often each is used.
    pub distribution: Distribution,
    /// How many operations of each kind.
    pub mix: Mix,
    /// Bytes of a value, 0 to 8 MiB.
    pub value_bytes: usize,
    /// One value in so many is empty, or, of the first key's every other of those, has 8 MiB; 0 is none.
    /// At most 1,000,000.
    pub odd_values: u32,
    /// Operations a second; none for a closed loop.
    pub rate: Option<f64>,
    /// How long is measured.
    pub duration: Duration,
    /// How long it runs before that.
    pub warmup: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether every key is written once before, and recorded.
    pub preload: bool,
    /// What keys and mixes are drawn from.
    pub seed: u64,
    /// Whether a history is recorded: what was read is looked at in every byte then.
    pub recorded: bool,
}

/// Why a plan cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number is out of its range.
    #[error("{field} is {value}, and has to be at least {min} and at most {max}")]
    Range {
        /// Which.
        field: &'static str,
        /// What it is.
        value: f64,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// etcd's interface has versions of its own.
    #[error("the mix has cas, which etcd is not asked for here; leave it out")]
    EtcdCas,
    /// Stale reads are not linearizable, and a history says that they should be.
    #[error("a history of reads with the consistency stale proves nothing; leave one of both out")]
    StaleHistory,
    /// Two values may be the same.
    #[error(
        "values of {bytes} bytes are too small to be told apart in a history; take at least {min}, \
         or no history"
    )]
    SmallValues {
        /// The size.
        bytes: usize,
        /// The least.
        min: usize,
    },
}

impl Plan {
    /// Looks whether it can be run.
    ///
    /// # Errors
    /// [`PlanError`] with the field and the value.
    pub fn validate(&self) -> Result<(), PlanError> {
        const DAY: f64 = 86_400.0;
        let rate = self.rate.unwrap_or(1.0);
        for (field, value, min, max) in [
            ("clients", self.clients as f64, 1.0, 10_000.0),
            ("keys", self.keys as f64, 1.0, 1e12),
            (
                "value size",
                self.value_bytes as f64,
                0.0,
                VALUE_BYTES_MAX as f64,
            ),
            ("share of odd values", f64::from(self.odd_values), 0.0, 1e6),
            ("rate", rate, 0.01, 1e7),
            ("duration", self.duration.as_secs_f64(), 0.1, DAY),
            ("warm-up", self.warmup.as_secs_f64(), 0.0, DAY),
            ("time-out", self.timeout.as_secs_f64(), 0.001, DAY),
            (
                "length of the key prefix",
                self.key_prefix.len() as f64,
                0.0,
                900.0,
            ),
        ] {
            if !(min..=max).contains(&value) {
                return Err(PlanError::Range {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        if self.protocol == Protocol::Etcd && self.mix.has(Operation::Cas) {
            return Err(PlanError::EtcdCas);
        }
        if !self.recorded {
            return Ok(());
        }
        if self.protocol == Protocol::Kv(Consistency::Stale) {
            return Err(PlanError::StaleHistory);
        }
        let (bytes, min) = (self.value_bytes, Values::NAMED_BYTES_MIN);
        if bytes < min {
            return Err(PlanError::SmallValues { bytes, min });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_kinds_and_weights() {
        let mix: Mix = "get:3,cas:1".parse().unwrap();
        let kinds: Vec<_> = (0..mix.total()).map(|at| mix.at(at).name()).collect();
        assert_eq!(kinds, ["get", "get", "get", "cas"]);
        for text in [
            "",
            "get",
            "get:x",
            "got:1",
            "get:0",
            "get:1,get:2",
            "put:1000001",
        ] {
            let error = text.parse::<Mix>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
