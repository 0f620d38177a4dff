//! Why a request was not carried out, or is not known to be.

use ck_node::{NotOwner, PartitionId};

use crate::stamp::Stamp;
use crate::store::StoreError;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// This node may not act on the partition now.
    #[error(transparent)]
    NotOwner(#[from] NotOwner),
    /// Too few copies are in sync for a write to be safe.
    #[error(
        "{partition} has {have} copies in sync, and a write needs {need}; try again once another has caught up"
    )]
    TooFewInSync {
        /// The partition.
        partition: PartitionId,
        /// Copies in sync.
        have: usize,
        /// The least there must be.
        need: usize,
    },
    /// The disk is nearly full.
    #[error(
        "less than {reserve} bytes are left on the disk, so writes are refused; make room, or lower --reserve"
    )]
    NoSpace {
        /// Bytes that must be left.
        reserve: u64,
    },
    /// The condition of a write does not hold.
    #[error("the condition does not hold: the key is {}", found.map_or_else(|| "absent".to_owned(), |found| format!("at {}", found.etag())))]
    Condition {
        /// The record that set the key; absent when there is none.
        found: Option<Stamp>,
    },
    /// As much is under way as may be.
    #[error("{partition} has as much under way as it may have; try again in a moment")]
    Busy {
        /// The partition.
        partition: PartitionId,
    },
    /// A member did not say in time that this node is still the primary.
    #[error(
        "not every copy in sync of {partition} confirms this node as its primary; try again in a moment"
    )]
    Unconfirmed {
        /// The partition.
        partition: PartitionId,
    },
    /// The write may or may not be, or come to be.
    #[error(
        "the write of {partition} was under way when {reason}; it may or may not have been carried out, look before repeating it"
    )]
    Unknown {
        /// The partition.
        partition: PartitionId,
        /// What came in between.
        reason: Interruption,
    },
    /// This node has no copy.
    #[error("this node has no copy of {partition}")]
    NoCopy {
        /// The partition.
        partition: PartitionId,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came between a write and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The node stopped serving the partition.
    #[error("the node stopped serving the partition")]
    Ended,
    /// Too few copies were left in sync.
    #[error("too few copies were left in sync")]
    Thinned,
    /// Nobody answered in time.
    #[error("its time ran out")]
    Late,
}

impl KvError {
    /// Whether the request certainly changed nothing.
    #[must_use]
    pub const fn is_unapplied(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::Store(_))
    }
}
