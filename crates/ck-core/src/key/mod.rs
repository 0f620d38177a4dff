//! Key to partition. Frozen: a released mapping never changes, golden vectors pin it.

pub(crate) mod md5;
mod xxh3;

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::PartitionId;

/// How a key is mapped to a partition. Part of the cluster's configuration, fixed at genesis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyHash {
    /// `(xxh3_64(key, seed 0) as u128 × P) >> 64`: unbiased and order-preserving, so that doubling
    /// P splits partition p into 2p and 2p + 1.
    #[default]
    Xxh3,
    /// `u32_be(md5(key)[0..4]) mod P`, as clusters of the Go library route.
    Md5Mod,
}

impl KeyHash {
    /// The partition of `key` among `partitions`.
    ///
    /// # Panics
    /// When `partitions` is 0; a [`Spec`](crate::Spec) or [`Table`](crate::Table) never has none.
    ///
    /// ```
    /// use ck_core::KeyHash;
    /// let p = KeyHash::Xxh3.partition(b"user:1001", 64);
    /// assert!(p.0 < 64);
    /// ```
    #[must_use]
    #[inline]
    pub fn partition(self, key: &[u8], partitions: u32) -> PartitionId {
        assert!(
            partitions > 0,
            "a key needs at least one partition to fall into"
        );
        match self {
            Self::Xxh3 => xxh3::partition(key, partitions),
            Self::Md5Mod => md5::partition(key, partitions),
        }
    }

    /// The name used in configuration, JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::Md5Mod => "md5-mod",
        }
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a key hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a key hash; use `xxh3` or `md5-mod`")]
pub struct UnknownKeyHash {
    /// The name as given.
    pub value: alloc::string::String,
}

impl FromStr for KeyHash {
    type Err = UnknownKeyHash;
    fn from_str(value: &str) -> Result<Self, UnknownKeyHash> {
        match value {
            "xxh3" => Ok(Self::Xxh3),
            "md5-mod" => Ok(Self::Md5Mod),
            _ => Err(UnknownKeyHash {
                value: value.chars().take(64).collect(),
            }),
        }
    }
}
