//! What is asked of a key-value service, and what may be known afterwards.

use bytes::Bytes;

/// What has to be there for a write to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    None,
    /// Nothing.
    Absent,
    /// This version, as an earlier answer told it.
    Version(String),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Reads a key.
    Get,
    /// Writes a value.
    Put(Bytes, Condition),
    /// Makes the key absent.
    Delete(Condition),
}

/// What is known of an operation once it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Written.
    Written {
        /// The version it left, where that was told.
        version: Option<String>,
    },
    /// Read.
    Read {
        /// What was there.
        value: Bytes,
        /// Its version, where that was told.
        version: Option<String>,
    },
    /// Read, and the key is absent.
    Absent,
    /// Not written: the condition did not hold.
    Mismatch,
    /// Certainly not done: refused with this status.
    Refused(u16),
    /// Certainly not done: nothing was sent.
    NotSent,
    /// Nobody knows: an answer with this status, none in time, or a connection that broke.
    Unknown(Option<u16>),
}

impl Answer {
    /// Whether the service did what it is there for.
    #[must_use]
    pub const fn is_served(&self) -> bool {
        matches!(
            self,
            Self::Written { .. } | Self::Read { .. } | Self::Absent | Self::Mismatch
        )
    }
}
