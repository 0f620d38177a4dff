//! A one-way switch: open until somebody closes it, with the reason.

use std::sync::OnceLock;

use tokio::sync::watch;

use crate::TransportError;

/// Closed once, for ever; everybody who waits learns why.
#[derive(Debug)]
pub(crate) struct Closing {
    reason: OnceLock<TransportError>,
    signal: watch::Sender<bool>,
}

impl Closing {
    pub(crate) fn new() -> Self {
        Self {
            reason: OnceLock::new(),
            signal: watch::Sender::new(false),
        }
    }

    /// Closes; the first reason stays.
    pub(crate) fn close(&self, reason: TransportError) {
        // A later reason is only an echo of the first.
        let _ = self.reason.set(reason);
        self.signal.send_replace(true);
    }

    /// Why it is closed, when it is.
    pub(crate) fn reason(&self) -> Option<TransportError> {
        self.reason.get().cloned()
    }

    /// Resolves when it is closed. Cancel-safe.
    pub(crate) async fn closed(&self) -> TransportError {
        let mut signal = self.signal.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = signal.wait_for(|closed| *closed).await;
        self.reason().unwrap_or(TransportError::Closed)
    }
}
