//! What happens in the cluster, as a stream that never blocks the node.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ck_control::Position;
pub use ck_control::{Event, EventKind};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use crate::handle::Receiver;
use crate::published::{Notice, Published, Publisher};

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

    /// The next, if it has happened already. What led to a state that [`Changes`] gave is found here
    /// from then on.
    pub fn try_next(&mut self) -> Option<Next> {
        match self.receiver.try_recv() {
            Ok(Notice::Event(event)) => Some(Next::Event(event)),
            Ok(Notice::Skipped { upto }) => Some(Next::Skipped { upto }),
            Err(TryRecvError::Lagged(count)) => Some(Next::Missed { count }),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
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

/// The state, each time it has changed since it was last looked at.
///
/// Unlike [`Events`] it keeps nothing: a slow reader sees the newest state and misses those in
/// between. That is what an application needs that keeps in step with the table.
pub struct Changes {
    publisher: Arc<Publisher>,
    applied: watch::Receiver<Position>,
}

impl Changes {
    pub(crate) fn new(publisher: Arc<Publisher>) -> Self {
        let mut applied = publisher.applied();
        // What there is counts as a change: the first call gives it.
        applied.mark_changed();
        Self { publisher, applied }
    }

    /// The newest state, once there is one that this has not given yet; the first call gives the
    /// present one at once. Never holds the node up. Safe to drop and call again.
    pub async fn next(&mut self) -> Arc<Published> {
        // The sender is held here, so it cannot have gone.
        let _ = self.applied.changed().await;
        self.publisher.current()
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ck_control::State;
    use ck_core::Version;

    use super::*;

    fn event(position: u64) -> Notice {
        Notice::Event(Arc::new(Event {
            version: Version(position),
            at_ms: 0,
            position: Position(position),
            kind: EventKind::PartitionsCreated { partitions: 1 },
        }))
    }

    #[tokio::test]
    async fn what_led_to_a_state_is_there_with_it() {
        let publisher = Publisher::new(2);
        let mut changes = Changes::new(Arc::clone(&publisher));
        let mut events = Events::new(publisher.subscribe());
        changes.next().await;
        assert_eq!(events.try_next(), None);
        let waiting = tokio::spawn(async move {
            changes.next().await;
            events
        });
        publisher.publish(&State::default(), Position(1), vec![event(1)]);
        let mut events = waiting.await.unwrap();
        assert!(matches!(events.try_next(), Some(Next::Event(one)) if one.position.0 == 1));
        assert_eq!(events.try_next(), None);
        let many = (2..=4).map(event).collect();
        publisher.publish(&State::default(), Position(4), many);
        assert_eq!(events.try_next(), Some(Next::Missed { count: 1 }));
        assert!(matches!(events.try_next(), Some(Next::Event(one)) if one.position.0 == 3));
    }
}
