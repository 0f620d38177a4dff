//! What a router knows, and how sure it may be of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a router knows, and how sure it may be of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouterStatus {
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
    /// Number of partitions.
    pub partitions: u32,
    /// Time since a server last said that this is the table.
    pub age: Duration,
    /// The server whose changes arrive here; none while there is none.
    pub following: Option<String>,
    /// Why the last server was left, or could not be followed; none once one is followed.
    pub trouble: Option<String>,
}

/// What servers have told, and when.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Last>);

#[derive(Debug, Default)]
pub(super) struct Last {
    /// When one last said that the table is as it is known here.
    pub(super) confirmed: Option<Instant>,
    /// When the one that is followed last said anything.
    event: Option<Instant>,
    pub(super) following: Option<String>,
    pub(super) trouble: Option<String>,
}

impl Heard {
    /// The server that is followed has said something: that the table is as it is known, perhaps.
    pub(super) fn told(&self, server: &str, confirms: bool) {
        let mut last = self.last();
        let now = Instant::now();
        if last.following.as_deref() != Some(server) {
            last.following = Some(server.to_owned());
        }
        last.trouble = None;
        last.event = Some(now);
        if confirms {
            last.confirmed = Some(now);
        }
    }

    /// No server is followed now, for that reason.
    pub(super) fn left(&self, trouble: String) {
        let mut last = self.last();
        last.following = None;
        last.trouble = Some(trouble);
    }

    /// A server that was asked says that the table is as it is known.
    pub(super) fn confirmed(&self) {
        self.last().confirmed = Some(Instant::now());
    }

    /// Whether a server is followed that has said something within that time.
    pub(super) fn is_told(&self, within: Duration) -> bool {
        let last = self.last();
        last.following.is_some() && last.event.is_some_and(|at| at.elapsed() <= within)
    }

    pub(super) fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
