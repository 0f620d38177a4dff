//! Why a request to a key's primary gave no answer.

use ck_api::Problem;
use ck_core::PartitionId;

use crate::ClientError;

/// Why a request gave no answer. Which of them leaves open whether it took effect,
/// [`SendError::is_outcome_unknown`] says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No table is known, and nobody gives one. Nothing was sent.
    #[error("no table is known, and no seed gives one: {0}")]
    NoTable(#[source] ClientError),
    /// Every attempt was answered that nothing was done, until the time or the attempts ran out.
    #[error("not done in {attempts} attempts; the last was answered: {problem}")]
    Refused {
        /// Attempts made.
        attempts: u32,
        /// The last answer.
        problem: Box<Problem>,
    },
    /// The primary could not be connected to until the time or the attempts ran out. Nothing was sent.
    #[error(
        "{server} could not be connected to in {attempts} attempts ({reason}); its partitions are \
         served again once another node has taken them over"
    )]
    Unreachable {
        /// Attempts made.
        attempts: u32,
        /// The server asked last.
        server: String,
        /// What went wrong there last.
        reason: String,
    },
    /// By the newest table, no node acts on the partition. Nothing was sent.
    #[error("no node acts on {partition} at present, as looked up {attempts} times")]
    NoPrimary {
        /// The partition.
        partition: PartitionId,
        /// Times it was looked up.
        attempts: u32,
    },
    /// Sent, and no whole answer. A change may have taken effect.
    #[error("{server} gave no whole answer: {reason}; {}", remedy(*.change))]
    Broken {
        /// The server.
        server: String,
        /// What went wrong.
        reason: String,
        /// Whether the request may not be repeated, so that its outcome is unknown.
        change: bool,
    },
    /// What was asked for cannot be put into a request. Nothing was sent.
    #[error("the request cannot be sent: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
}

fn remedy(change: bool) -> &'static str {
    if change {
        "it may have taken effect, look before repeating it"
    } else {
        "ask again"
    }
}

impl SendError {
    /// Whether a change may have taken effect all the same. Where not, it certainly has not.
    #[must_use]
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Broken { change: true, .. })
    }

    /// Whether the same request may succeed later, without anything else being changed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Request { .. })
    }
}
