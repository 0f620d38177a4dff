//! A replica, as its primary sees it.

use std::time::Instant;

use ck_node::{FencingToken, MemberNumber, TransferId};

use crate::stamp::Grant;

/// One attempt of a move's target to attach. A later one is greater, and takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attachment {
    /// The move.
    pub(crate) transfer: TransferId,
    /// The target's count of its attempts.
    pub(crate) attempt: u64,
}

/// A member that every record has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follower {
    /// It has the records up to here on its disk.
    pub(super) acked: u64,
    /// It was sent the records up to here.
    pub(super) sent: u64,
    /// How it attached, while it is not in sync.
    pub(super) attached: Option<Attachment>,
    /// It is attached, and not ready for records yet.
    pub(super) held: bool,
    /// Since when it has lacked something without getting on.
    pub(super) since: Option<Instant>,
    /// Somebody is taking it out of the in-sync set.
    pub(super) suspected: bool,
}

impl Follower {
    pub(super) const fn at(seq: u64) -> Self {
        Self {
            acked: seq,
            sent: seq,
            attached: None,
            held: false,
            since: None,
            suspected: false,
        }
    }
}

/// What it takes to take a replica out of the in-sync set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lag {
    pub(crate) member: MemberNumber,
    /// The grant it holds for, as the cluster names it.
    pub(crate) token: FencingToken,
    pub(crate) grant: Grant,
}
