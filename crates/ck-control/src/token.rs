//! Fencing tokens: what a resource checks so that a late owner can do no harm.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use ck_core::{Epoch, PartitionId};
use serde::{Deserialize, Serialize};

use crate::Incarnation;

/// Proof of one grant of one partition: ordered, never reused.
///
/// Ordered by incarnation, then partition, then epoch; tokens of one partition are therefore in the
/// order of their grants. Printed and read as `incarnation.partition.epoch`.
///
/// ```
/// use ck_control::{FencingToken, Incarnation};
/// use ck_core::{Epoch, PartitionId};
/// let token = FencingToken {
///     incarnation: Incarnation(1),
///     partition: PartitionId(7),
///     epoch: Epoch(12),
/// };
/// assert_eq!(token.to_string(), "1.7.12");
/// assert_eq!("1.7.12".parse(), Ok(token));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FencingToken {
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// The partition.
    pub partition: PartitionId,
    /// The grant.
    pub epoch: Epoch,
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}",
            self.incarnation, self.partition.0, self.epoch
        )
    }
}

/// Text that is not a fencing token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a fencing token; write it as incarnation.partition.epoch")]
pub struct TokenError {
    /// The text as given, at most 64 characters of it.
    pub value: String,
}

fn number<T: FromStr>(digits: &str) -> Option<T> {
    let canonical = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    canonical.then(|| digits.parse().ok()).flatten()
}

impl FromStr for FencingToken {
    type Err = TokenError;
    fn from_str(value: &str) -> Result<Self, TokenError> {
        let read = || {
            let mut parts = value.split('.');
            let incarnation = Incarnation(number(parts.next()?)?);
            let partition = PartitionId(number(parts.next()?)?);
            let epoch = Epoch(number(parts.next()?)?);
            parts.next().is_none().then_some(Self {
                incarnation,
                partition,
                epoch,
            })
        };
        read().ok_or_else(|| TokenError {
            value: value.chars().take(64).collect(),
        })
    }
}

/// Why a resource refused a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// Token predates the current epoch. The fence is unchanged.
    #[error("{partition}: token {got} is older than epoch {current}; re-read the table")]
    Stale {
        /// The partition.
        partition: PartitionId,
        /// Epoch of the token.
        got: Epoch,
        /// Highest epoch seen.
        current: Epoch,
    },
    /// Token is of an incarnation before the current one. The fence is unchanged.
    #[error(
        "{partition}: token of incarnation {got} is older than incarnation {current}; \
         the cluster was restored, rejoin it"
    )]
    Incarnation {
        /// The partition.
        partition: PartitionId,
        /// Incarnation of the token.
        got: Incarnation,
        /// Highest incarnation seen.
        current: Incarnation,
    },
    /// A new partition does not fit. The fence is unchanged.
    #[error("{partition}: the fence already guards {limit} partitions; raise its limit")]
    Full {
        /// The partition.
        partition: PartitionId,
        /// Most partitions the fence keeps.
        limit: usize,
    },
}

/// What a resource keeps: the highest token seen of each partition.
///
/// Once it has admitted an epoch it refuses every lower one, however late. It lives where the
/// effects live: a fence that is forgotten in a restart admits an old token again, so persist it
/// with the data ([`Fence`] is serialisable) or keep the epoch beside each record.
///
/// ```
/// use ck_control::{Fence, FenceError};
/// let mut fence = Fence::new(1024);
/// fence.admit("1.7.12".parse()?)?;
/// fence.admit("1.7.12".parse()?)?;
/// assert!(matches!(fence.admit("1.7.11".parse()?), Err(FenceError::Stale { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    incarnation: Incarnation,
    limit: usize,
    epochs: BTreeMap<PartitionId, Epoch>,
}

impl Fence {
    /// A fence that has seen nothing and keeps at most `limit` partitions.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            incarnation: Incarnation(0),
            limit,
            epochs: BTreeMap::new(),
        }
    }

    /// Admits a token that is not older than any seen before, and remembers it.
    ///
    /// A token of a new incarnation forgets the epochs of the ones before it.
    ///
    /// # Errors
    /// [`FenceError`] when the token is stale, or the fence is full.
    pub fn admit(&mut self, token: FencingToken) -> Result<(), FenceError> {
        self.check(token)?;
        if token.incarnation > self.incarnation {
            self.incarnation = token.incarnation;
            self.epochs.clear();
        }
        self.epochs.insert(token.partition, token.epoch);
        Ok(())
    }

    /// Whether [`Fence::admit`] would admit a token, without remembering it.
    ///
    /// # Errors
    /// As [`Fence::admit`].
    pub fn check(&self, token: FencingToken) -> Result<(), FenceError> {
        let FencingToken {
            incarnation,
            partition,
            epoch,
        } = token;
        if incarnation < self.incarnation {
            let current = self.incarnation;
            return Err(FenceError::Incarnation {
                partition,
                got: incarnation,
                current,
            });
        }
        let renewed = incarnation > self.incarnation;
        match self.epochs.get(&partition).filter(|_| !renewed) {
            Some(current) if epoch < *current => Err(FenceError::Stale {
                partition,
                got: epoch,
                current: *current,
            }),
            Some(_) => Ok(()),
            None if (if renewed { 0 } else { self.epochs.len() }) >= self.limit => {
                Err(FenceError::Full {
                    partition,
                    limit: self.limit,
                })
            }
            None => Ok(()),
        }
    }

    /// The highest epoch seen of a partition in the present incarnation.
    #[must_use]
    pub fn epoch(&self, partition: PartitionId) -> Option<Epoch> {
        self.epochs.get(&partition).copied()
    }

    /// The highest incarnation seen.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn token(text: &str) -> FencingToken {
        text.parse().unwrap()
    }

    #[test]
    fn tokens_of_a_partition_are_ordered_by_grant() {
        assert!(token("1.3.4") < token("1.3.5"));
        assert!(token("1.3.9") < token("2.3.1"));
        assert_eq!(token("1.3.4").to_string(), "1.3.4");
    }

    #[test]
    fn other_text_is_no_token() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.",
            "01.2.3",
            "+1.2.3",
            "1.-2.3",
            "1.99999999999.3",
        ] {
            assert!(text.parse::<FencingToken>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn stale_token_is_rejected() {
        let mut fence = Fence::new(8);
        fence.admit(token("1.3.5")).unwrap();
        let refused = fence.admit(token("1.3.4")).unwrap_err();
        let current = Epoch(5);
        assert_eq!(
            refused,
            FenceError::Stale {
                partition: PartitionId(3),
                got: Epoch(4),
                current
            }
        );
        assert_eq!(
            refused.to_string(),
            "partition-3: token 4 is older than epoch 5; re-read the table"
        );
        assert_eq!(fence.epoch(PartitionId(3)), Some(current));
        fence.admit(token("1.3.5")).unwrap();
        fence.admit(token("1.4.1")).unwrap();
    }

    #[test]
    fn token_of_an_older_incarnation_is_rejected() {
        let mut fence = Fence::new(8);
        fence.admit(token("1.3.5")).unwrap();
        fence.admit(token("2.3.1")).unwrap();
        assert!(matches!(
            fence.admit(token("1.3.6")),
            Err(FenceError::Incarnation { .. })
        ));
        assert!(matches!(
            fence.admit(token("1.9.6")),
            Err(FenceError::Incarnation { .. })
        ));
        assert_eq!(fence.epoch(PartitionId(3)), Some(Epoch(1)));
    }

    #[test]
    fn a_full_fence_refuses_a_new_partition_only() {
        let mut fence = Fence::new(1);
        fence.admit(token("1.3.5")).unwrap();
        assert!(matches!(
            fence.admit(token("1.4.1")),
            Err(FenceError::Full { limit: 1, .. })
        ));
        fence.admit(token("1.3.6")).unwrap();
        fence.admit(token("2.4.1")).unwrap();
        assert_eq!(fence.epoch(PartitionId(3)), None);
    }

    #[test]
    fn a_refused_token_changes_nothing() {
        let mut fence = Fence::new(1);
        fence.admit(token("1.3.5")).unwrap();
        let before = fence.clone();
        for text in ["1.3.4", "1.4.9", "0.3.9"] {
            fence.admit(token(text)).unwrap_err();
            assert_eq!(fence, before, "{text}");
        }
    }
}
