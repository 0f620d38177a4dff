//! What happens in the cluster, as a stream that never blocks the node.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ck_control::Position;
pub use ck_control::{Event, EventKind};
use tokio::sync::broadcast::error::RecvError;

use crate::handle::Receiver;
use crate::published::Notice;

/// Events of the cluster, in order, each after it was committed.
///
/// Within one process each event is told once. After a restart, those of the last moments before
/// it may be told again; an event's position tells.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver,
}

/// The next thing on the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It happened.
    Event(Arc<Event>),
    /// This reader was too slow and missed events; look at the present state instead.
    Missed {
        /// How many.
        count: u64,
    },
    /// This node was behind and took a snapshot instead of the entries: events up to a position
    /// were never seen here one by one.
    Skipped {
        /// The position.
        upto: Position,
    },
}

impl Events {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver }
    }

    /// Waits for the next; `None` when the node is gone.
    pub async fn next(&mut self) -> Option<Next> {
        match self.receiver.recv().await {
            Ok(Notice::Event(event)) => Some(Next::Event(event)),
            Ok(Notice::Skipped { upto }) => Some(Next::Skipped { upto }),
            Err(RecvError::Lagged(count)) => Some(Next::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }

    pub(crate) async fn call(mut self, mut hook: impl FnMut(&Event) + Send + 'static) {
        while let Some(next) = self.next().await {
            match next {
                Next::Event(event) => {
                    if catch_unwind(AssertUnwindSafe(|| hook(&event))).is_err() {
                        tracing::error!(position = %event.position, "an event hook panicked");
                    }
                }
                Next::Missed { count } => tracing::warn!(count, "an event hook was too slow"),
                Next::Skipped { upto } => tracing::warn!(%upto, "events came as a snapshot"),
            }
        }
    }
}
