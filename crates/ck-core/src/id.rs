//! Names and counters, each a type of its own so that one is never passed for another.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest node id or domain path accepted, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a name or a number was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The name has no characters.
    #[error("{what} is empty; give it 1 to {NAME_BYTES_MAX} bytes")]
    Empty {
        /// What was being read: `node id`, `domain`.
        what: &'static str,
    },
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("{what} of {got} bytes is too long; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
    },
    /// The name holds a control character.
    #[error("{what} {value:?} holds a control character; use printable characters")]
    Control {
        /// What was being read.
        what: &'static str,
        /// The name as given.
        value: String,
    },
    /// A domain path has an empty segment.
    #[error("domain {value:?} has an empty segment; write it as `eu-1a` or `eu-1a/rack-3`")]
    EmptySegment {
        /// The path as given.
        value: String,
    },
    /// Not a partition id.
    #[error("{value:?} is not a partition id; write `partition-3` or `3`")]
    Partition {
        /// The text as given.
        value: String,
    },
}

pub(crate) fn check_name(what: &'static str, value: &str) -> Result<(), IdError> {
    if value.is_empty() {
        return Err(IdError::Empty { what });
    }
    if value.len() > NAME_BYTES_MAX {
        return Err(IdError::TooLong {
            what,
            got: value.len(),
        });
    }
    if value.chars().any(char::is_control) {
        return Err(IdError::Control {
            what,
            value: value.to_string(),
        });
    }
    Ok(())
}

/// The name an operator gives a node: 1 to 128 bytes, no control characters.
///
/// Cheap to clone. Ordered by bytes.
///
/// ```
/// use ck_core::NodeId;
/// let id: NodeId = "node-1".parse()?;
/// assert_eq!(id.as_str(), "node-1");
/// assert!("".parse::<NodeId>().is_err());
/// # Ok::<(), ck_core::IdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Checks and keeps `value`.
    ///
    /// # Errors
    /// [`IdError`] when it is empty, longer than 128 bytes or holds a control character.
    pub fn new(value: &str) -> Result<Self, IdError> {
        check_name("node id", value)?;
        Ok(Self(Arc::from(value)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        Self::new(value)
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        Self::new(&value).map_err(serde::de::Error::custom)
    }
}

/// Number of a partition, counted from 0. Printed as `partition-3`; read as that or as `3`.
///
/// In binary formats and in commands it is the bare number.
///
/// ```
/// use ck_core::PartitionId;
/// assert_eq!("partition-3".parse(), Ok(PartitionId(3)));
/// assert_eq!("3".parse(), Ok(PartitionId(3)));
/// assert_eq!(PartitionId(3).to_string(), "partition-3");
/// assert!("partition-03".parse::<PartitionId>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u32);

impl PartitionId {
    /// The number as an index into per-partition arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition-{}", self.0)
    }
}

impl FromStr for PartitionId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let refused = || IdError::Partition {
            value: value.chars().take(64).collect(),
        };
        let digits = value.strip_prefix("partition-").unwrap_or(value);
        let canonical = !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        if !canonical {
            return Err(refused());
        }
        digits.parse().map(Self).map_err(|_| refused())
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The value after this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which at one step a nanosecond takes 584 years.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a 64-bit counter never runs out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// Grants of a partition's primary role so far: +1 at every grant, a re-grant included.
    Epoch
}
counter! {
    /// Changes of the published table so far. Outside a process never without the incarnation.
    Version
}
