//! Counts partitions whose primary role went to another node because the one before was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ck_control::EventKind;
use ck_control::state::ChangeReason;
use ck_node::Next;
use tokio::task::AbortHandle;

use crate::backend::{Backend, Follow};

/// The task that counts, from its start on. Ends when dropped.
pub(crate) struct Failovers {
    count: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Failovers {
    /// Begins to count. Needs a runtime.
    pub(crate) fn start(backend: &Arc<dyn Backend>) -> Self {
        let count = Arc::new(AtomicU64::new(0));
        let counting = listen(backend.follow(), Arc::clone(&count));
        let task = tokio::spawn(counting).abort_handle();
        Self { count, task }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Failovers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut follow: Box<dyn Follow>, count: Arc<AtomicU64>) {
    loop {
        follow.changed().await;
        while let Some(next) = follow.event() {
            if is_failover(&next) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn is_failover(next: &Next) -> bool {
    let Next::Event(event) = next else {
        return false;
    };
    matches!(
        &event.kind,
        EventKind::PartitionChanged {
            reason: ChangeReason::Failover,
            new_primary: Some(_),
            ..
        }
    )
}
