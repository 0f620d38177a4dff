//! What readers see: the state after the last committed entry, swapped in whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use ck_control::{Event, Position, State};
use ck_core::{KeyHash, Row, Table};
use tokio::sync::{broadcast, watch};

/// The state after one committed entry. Never changes once published.
#[derive(Debug, Default)]
pub struct Published {
    /// The replicated state.
    pub state: State,
    /// How keys are hashed, taken out of the configuration for the look-up's sake.
    hash: KeyHash,
    table: Option<Arc<Table>>,
}

impl Published {
    fn new(state: State) -> Self {
        Self {
            hash: state.config().hash,
            table: state.table().cloned(),
            state,
        }
    }

    /// The row a key falls into; `None` before the partitions exist.
    #[must_use]
    #[inline]
    pub fn lookup(&self, key: &[u8]) -> Option<Row<'_>> {
        self.table
            .as_deref()
            .map(|table| table.lookup(self.hash, key))
    }
}

/// Something that happened in the cluster, or the word that some of it was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It happened, and is committed.
    Event(Arc<Event>),
    /// Events up to and including `upto` were not seen one by one: a snapshot took their place.
    Skipped {
        /// Last position that was skipped.
        upto: Position,
    },
}

/// The newest published state, and how many there were before it.
#[derive(Default)]
struct Current {
    published: ArcSwap<Published>,
    /// Raised after each swap, so that who sees the number sees that state or a newer one.
    swaps: AtomicU64,
}

/// Where the state machine puts what it has applied.
pub(crate) struct Publisher {
    current: Arc<Current>,
    applied: watch::Sender<Position>,
    events: broadcast::Sender<Notice>,
    applied_at_ms: AtomicU64,
}

impl Publisher {
    pub(crate) fn new(events_kept: usize) -> Arc<Self> {
        Arc::new(Self {
            current: Arc::default(),
            applied: watch::channel(Position(0)).0,
            events: broadcast::channel(events_kept).0,
            applied_at_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn publish(&self, state: &State, applied: Position, notices: Vec<Notice>) {
        self.current
            .published
            .store(Arc::new(Published::new(state.clone())));
        self.current.swaps.fetch_add(1, Ordering::Release);
        self.applied_at_ms.store(now_ms(), Ordering::Relaxed);
        // Told before the state is announced: who is woken by that finds what led to it.
        for notice in notices {
            // Without a listener there is nobody to tell.
            let _ = self.events.send(notice);
        }
        self.applied.send_replace(applied);
    }

    pub(crate) fn current(&self) -> Arc<Published> {
        self.current.published.load_full()
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.current))
    }

    pub(crate) fn applied(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.events.subscribe()
    }

    /// When the last entry was applied here, in milliseconds since 1970; 0 for never.
    pub(crate) fn applied_at_ms(&self) -> u64 {
        self.applied_at_ms.load(Ordering::Relaxed)
    }
}

/// Wall clock, in milliseconds since 1970. For people only: no decision is drawn from it.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Look-ups for one thread: wait-free, without allocation. Revalidates one pointer a look-up.
///
/// Clone one for each thread.
#[derive(Clone)]
pub struct Reader {
    current: Arc<Current>,
    /// Number of swaps when `published` was taken, or fewer.
    seen: u64,
    published: Arc<Published>,
    /// Out of `published`, one step nearer.
    table: Option<Arc<Table>>,
    hash: KeyHash,
}

impl Reader {
    fn new(current: Arc<Current>) -> Self {
        let seen = current.swaps.load(Ordering::Acquire);
        let published = current.published.load_full();
        let (table, hash) = (published.table.clone(), published.hash);
        Self {
            current,
            seen,
            published,
            table,
            hash,
        }
    }

    /// The row a key falls into by the last committed table; `None` before the partitions exist.
    #[inline]
    pub fn lookup(&mut self, key: &[u8]) -> Option<Row<'_>> {
        self.revalidate();
        Some(self.table.as_deref()?.lookup(self.hash, key))
    }

    /// Everything that was committed last.
    #[inline]
    pub fn published(&mut self) -> &Arc<Published> {
        self.revalidate();
        &self.published
    }

    #[inline]
    fn revalidate(&mut self) {
        if self.current.swaps.load(Ordering::Acquire) != self.seen {
            self.refresh();
        }
    }

    /// Kept out of the way of the look-up, which rarely comes here.
    #[cold]
    #[inline(never)]
    fn refresh(&mut self) {
        *self = Self::new(Arc::clone(&self.current));
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_sees_what_was_published_before_its_look_up() {
        let publisher = Publisher::new(1);
        let mut reader = publisher.reader();
        let mut clone = reader.clone();
        for position in 1..=3 {
            publisher.publish(&State::default(), Position(position), Vec::new());
            for reader in [&mut reader, &mut clone] {
                assert!(Arc::ptr_eq(reader.published(), &publisher.current()));
            }
        }
    }

    #[test]
    fn reader_keeps_its_state_while_nothing_is_published() {
        let publisher = Publisher::new(1);
        publisher.publish(&State::default(), Position(1), Vec::new());
        let mut reader = publisher.reader();
        let first = Arc::clone(reader.published());
        assert!(Arc::ptr_eq(reader.published(), &first));
    }
}
