//! What is counted, and the places among the requests in flight.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ck_api::{Code, Problem};
use ck_node::Durations;
use hyper::StatusCode;

use crate::answered::{Answered, Way};
use crate::reply::Refused;

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    /// By route.
    pub(crate) answered: Answered,
    pub(crate) in_flight: AtomicUsize,
    connections: AtomicUsize,
    refused: AtomicU64,
    /// Callers that watch the table, or wait for a version of it.
    pub(crate) watchers: AtomicUsize,
    /// Watchers that were too slow.
    pub(crate) watchers_dropped: AtomicU64,
    /// From a change being told to a watcher being sent it.
    watch_delays: Mutex<Durations>,
}

impl Counters {
    /// Counts an answer.
    pub(crate) fn answered(&self, way: Way, status: StatusCode, took: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if status.as_u16() >= 400 {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.answered.add(way, status, took);
    }

    /// Requests answered.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those answered with 400 or above.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Requests being worked on.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed) as u64
    }

    /// Connections open.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed) as u64
    }

    /// Connections refused because there were too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Callers that watch the table, or wait for a version of it.
    pub(crate) fn watchers(&self) -> u64 {
        self.watchers.load(Ordering::Relaxed) as u64
    }

    /// Watchers that were too slow.
    pub(crate) fn watchers_dropped(&self) -> u64 {
        self.watchers_dropped.load(Ordering::Relaxed)
    }

    /// A watcher is sent changes, the oldest of which was told so long ago.
    pub(crate) fn watch_delayed(&self, delay: Duration) {
        let delays = self.watch_delays.lock();
        delays.unwrap_or_else(PoisonError::into_inner).add(delay);
    }

    /// How long changes take until a watcher is sent them.
    pub(crate) fn watch_delays(&self) -> Durations {
        let delays = self.watch_delays.lock();
        *delays.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A place among the requests in flight, given back when dropped.
pub(crate) struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    pub(crate) fn take(in_flight: &'a AtomicUsize, most: usize) -> Result<Self, Refused> {
        let before = in_flight.fetch_add(1, Ordering::Relaxed);
        let slot = Self(in_flight);
        if before < most {
            return Ok(slot);
        }
        let detail = format!("{most} requests are being worked on already; try again in a moment");
        Err(Problem::new(Code::Overloaded, detail)
            .with_retry_after_ms(1000)
            .into())
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
