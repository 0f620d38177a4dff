//! The bounds that every transport enforces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::TransportError;

/// Longest piece of a payload or body that travels in one frame, in bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// Chunks of one body that may be on their way before its reader has taken any.
pub const BODY_WINDOW: usize = 8;

/// The longest deadline of a call; longer ones are cut to it.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bounds on what a peer can make this process hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of a request or a reply, in bytes. Default 16 MiB.
    ///
    /// Checked against the announced length, before anything is allocated; what exceeds it is for
    /// a body. The same on every node, or large payloads get through one way only.
    pub payload_bytes_max: usize,
    /// Calls in progress on one connection, bodies of replies included. Default 256.
    pub calls_per_connection_max: usize,
    /// Requests of peers running in this process. Default 4,096.
    pub requests_max: usize,
    /// Payload bytes of calls in progress held by this process. Default 256 MiB; at least
    /// `payload_bytes_max`.
    pub buffered_bytes_max: usize,
    /// How long one side of a body waits for the other before it gives the body up. Default 30 s.
    pub body_stall_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 16 * 1024 * 1024,
            calls_per_connection_max: 256,
            requests_max: 4096,
            buffered_bytes_max: 256 * 1024 * 1024,
            body_stall_max: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Refuses a payload of `bytes` when it is over the limit.
    pub(crate) fn check_payload(&self, bytes: u64) -> Result<(), TransportError> {
        let limit = self.payload_bytes_max as u64;
        if bytes > limit {
            return Err(TransportError::FrameTooLarge { got: bytes, limit });
        }
        Ok(())
    }
}

/// Payload bytes held by one process, counted as they arrive.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            max,
        })
    }

    /// An account of nothing yet.
    pub(crate) fn open(self: &Arc<Self>) -> Held {
        Held {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// What one call holds of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`TransportError::Busy`] when the budget is spent; nothing is taken then.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), TransportError> {
        let max = self.budget.max;
        self.budget
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|total| *total <= max)
            })
            .map_err(|_| TransportError::Busy { limit: max as u64 })?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
