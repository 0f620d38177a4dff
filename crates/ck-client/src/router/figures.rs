//! What a router has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the router was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouterFigures {
    /// Requests that were asked for.
    pub requests: u64,
    /// Attempts made for them.
    pub attempts: u64,
    /// Attempts that followed an answer at once.
    pub followed: u64,
    /// Attempts that were made after a pause.
    pub retries: u64,
    /// Times the table was asked for.
    pub refreshes: u64,
    /// Tables taken in.
    pub tables: u64,
    /// Rows learned from answers.
    pub learned: u64,
    /// Changes taken in that a server has told.
    pub changes: u64,
    /// Servers that were followed, each time anew.
    pub streams: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: Counter,
    pub(super) attempts: Counter,
    pub(super) followed: Counter,
    pub(super) retries: Counter,
    pub(super) refreshes: Counter,
    pub(super) tables: Counter,
    pub(super) learned: Counter,
    pub(super) changes: Counter,
    pub(super) streams: Counter,
}

impl Counters {
    pub(super) fn figures(&self) -> RouterFigures {
        RouterFigures {
            requests: self.requests.read(),
            attempts: self.attempts.read(),
            followed: self.followed.read(),
            retries: self.retries.read(),
            refreshes: self.refreshes.read(),
            tables: self.tables.read(),
            learned: self.learned.read(),
            changes: self.changes.read(),
            streams: self.streams.read(),
        }
    }
}
