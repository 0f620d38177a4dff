//! What must not be, and the lines that prove it.

use std::fmt;

use ck_control::FencingToken;

/// A time in which a node owned a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// The node.
    pub node: String,
    /// Under what.
    pub token: FencingToken,
    /// Since when it is known.
    pub from: u64,
    /// Until when it is known; absent when nobody saw it end.
    pub until: Option<u64>,
    /// The line that says that it began.
    pub line: u64,
}

impl fmt::Display for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node, token, from, ..
        } = self;
        write!(f, "{node} under {token} from {from} to ")?;
        match self.until {
            Some(until) => write!(f, "{until}"),
            None => f.write_str("the end"),
        }
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Two nodes owned a partition at the same time.
    Overlap(Tenure, Tenure),
    /// Two nodes were granted the same epoch.
    TwoGrants(Tenure, Tenure),
    /// A node began to own under an older epoch than another had before.
    EpochFell(Tenure, Tenure),
    /// A resource accepted a token after a newer one.
    Stale {
        /// When.
        at: u64,
        /// The token.
        got: FencingToken,
        /// The newest accepted before.
        newest: FencingToken,
        /// The lines of the newest and of the token.
        lines: [u64; 2],
    },
    /// An acknowledged write was not there later.
    LostWrite {
        /// The write.
        write: String,
        /// When it was acknowledged, and under what.
        acknowledged: (u64, FencingToken),
        /// When it was not there, and under what.
        absent: (u64, FencingToken),
        /// The lines of both.
        lines: [u64; 2],
    },
}

impl Problem {
    /// Its kind, in a word or two.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Overlap(..) => "overlap",
            Self::TwoGrants(..) => "two-grants",
            Self::EpochFell(..) => "epoch-fell",
            Self::Stale { .. } => "stale-write",
            Self::LostWrite { .. } => "lost-write",
        }
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> ck_core::PartitionId {
        match self {
            Self::Overlap(one, _) | Self::TwoGrants(one, _) | Self::EpochFell(one, _) => {
                one.token.partition
            }
            Self::Stale { got, .. } => got.partition,
            Self::LostWrite { acknowledged, .. } => acknowledged.1.partition,
        }
    }

    /// The lines that prove it, from 1.
    #[must_use]
    pub const fn lines(&self) -> [u64; 2] {
        match self {
            Self::Overlap(one, other)
            | Self::TwoGrants(one, other)
            | Self::EpochFell(one, other) => [one.line, other.line],
            Self::Stale { lines, .. } | Self::LostWrite { lines, .. } => *lines,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.partition())?;
        match self {
            Self::Overlap(one, other) => write!(f, "{one} overlaps {other}"),
            Self::TwoGrants(one, other) => write!(f, "granted twice, {one} and {other}"),
            Self::EpochFell(one, other) => write!(f, "{other} comes after {one}"),
            Self::Stale {
                at, got, newest, ..
            } => write!(f, "{got} was accepted at {at} after {newest}"),
            Self::LostWrite {
                write,
                acknowledged,
                absent,
                ..
            } => write!(
                f,
                "{write:?}, acknowledged under {} at {}, is absent under {} at {}",
                acknowledged.1, acknowledged.0, absent.1, absent.0
            ),
        }
    }
}
