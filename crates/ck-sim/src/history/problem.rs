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

/// What is wrong with the operations on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    /// Something was read that no operation wrote which had begun by then and may have taken effect.
    UnwrittenRead,
    /// Something was read that an acknowledged write had replaced, which was seen then or later.
    StaleRead,
    /// Something was read that an acknowledged write had replaced, which nobody saw from then on.
    LostWrite,
    /// The operations have no order in which each sees what the one before left.
    NotLinearizable,
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
    /// The operations on a key contradict each other.
    Register {
        /// The key, percent-encoded.
        key: String,
        /// What is wrong.
        anomaly: Anomaly,
        /// The lines of the operations that show it, in order of their start.
        lines: Vec<u64>,
        /// When the first of them started.
        from: u64,
        /// When the last of them ended that did.
        to: u64,
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
            Self::Register { anomaly, .. } => match anomaly {
                Anomaly::UnwrittenRead => "unwritten-read",
                Anomaly::StaleRead => "stale-read",
                Anomaly::LostWrite => "lost-write",
                Anomaly::NotLinearizable => "not-linearizable",
            },
        }
    }

    /// The partition, of what was seen of one.
    #[must_use]
    pub const fn partition(&self) -> Option<ck_core::PartitionId> {
        match self {
            Self::Overlap(one, _) | Self::TwoGrants(one, _) | Self::EpochFell(one, _) => {
                Some(one.token.partition)
            }
            Self::Stale { got, .. } => Some(got.partition),
            Self::LostWrite { acknowledged, .. } => Some(acknowledged.1.partition),
            Self::Register { .. } => None,
        }
    }

    /// The key, percent-encoded, of what was done to one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Register { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The lines that prove it, from 1.
    #[must_use]
    pub fn lines(&self) -> Vec<u64> {
        match self {
            Self::Overlap(one, other)
            | Self::TwoGrants(one, other)
            | Self::EpochFell(one, other) => vec![one.line, other.line],
            Self::Stale { lines, .. } | Self::LostWrite { lines, .. } => lines.to_vec(),
            Self::Register { lines, .. } => lines.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(partition) = self.partition() {
            write!(f, "{partition}: ")?;
        }
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
            Self::Register {
                key,
                anomaly,
                lines,
                from,
                to,
            } => {
                let what = match anomaly {
                    Anomaly::UnwrittenRead => "read what nobody wrote",
                    Anomaly::StaleRead => "read what had been replaced before",
                    Anomaly::LostWrite => "an acknowledged write is gone",
                    Anomaly::NotLinearizable => "no order is possible",
                };
                let count = lines.len();
                let operations = if count == 1 {
                    "operation"
                } else {
                    "operations"
                };
                write!(
                    f,
                    "key {key}: {what}, {count} {operations} from {from} to {to}"
                )
            }
        }
    }
}
