//! What readers see: the state after the last committed entry, swapped in whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Cache};
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

/// Where the state machine puts what it has applied.
pub(crate) struct Publisher {
    current: Arc<ArcSwap<Published>>,
    applied: watch::Sender<Position>,
    events: broadcast::Sender<Notice>,
    applied_at_ms: AtomicU64,
}

impl Publisher {
    pub(crate) fn new(events_kept: usize) -> Arc<Self> {
        Arc::new(Self {
            current: Arc::new(ArcSwap::from_pointee(Published::default())),
            applied: watch::channel(Position(0)).0,
            events: broadcast::channel(events_kept).0,
            applied_at_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn publish(&self, state: &State, applied: Position, notices: Vec<Notice>) {
        self.current.store(Arc::new(Published::new(state.clone())));
        self.applied_at_ms.store(now_ms(), Ordering::Relaxed);
        self.applied.send_replace(applied);
        for notice in notices {
            // Without a listener there is nobody to tell.
            let _ = self.events.send(notice);
        }
    }

    pub(crate) fn current(&self) -> Arc<Published> {
        self.current.load_full()
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader {
            cache: Cache::new(Arc::clone(&self.current)),
        }
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
    cache: Cache<Arc<ArcSwap<Published>>, Arc<Published>>,
}

impl Reader {
    /// The row a key falls into by the last committed table; `None` before the partitions exist.
    #[inline]
    pub fn lookup(&mut self, key: &[u8]) -> Option<Row<'_>> {
        self.cache.load().lookup(key)
    }

    /// Everything that was committed last.
    #[inline]
    pub fn published(&mut self) -> &Arc<Published> {
        self.cache.load()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
