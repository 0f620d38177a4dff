//! What a shard does by itself as time passes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Shard;
use crate::error::QueueError;
use crate::name::QueueName;
use crate::record::{DeadReason, Kept};

/// Records written in one go.
const BATCH: usize = 64;

/// The one call that keeps a shard up, for as long as it lives.
struct Keeping<'a>(&'a AtomicBool);

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Shard {
    /// Ends delays and leases whose time is up. Returns the queues that have more ready tasks.
    pub(crate) fn advance(&self) -> BTreeSet<QueueName> {
        self.index.lock().advance(Instant::now())
    }

    /// Reads what has come due, makes dead what was leased as often as may be, and forgets the oldest of
    /// what is done.
    /// One call at a time; another returns at once.
    ///
    /// # Errors
    /// The first; what is left is done by a later call.
    pub(crate) async fn keep_up(&self) -> Result<(), QueueError> {
        if self.upkeep.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let _keeping = Keeping(&self.upkeep);
        self.batches().await
    }

    async fn batches(&self) -> Result<(), QueueError> {
        loop {
            self.load_due().await?;
            self.load_done(BATCH).await?;
            let (spent, old) = {
                let mut index = self.index.lock();
                (index.begin_spent(BATCH), index.begin_forgetting(BATCH))
            };
            if spent.is_empty() && old.is_empty() {
                return Ok(());
            }
            let reason = DeadReason::Expired;
            let bury = spent
                .iter()
                .map(|one| self.keep(one, one.head.attempts, Kept::Dead { reason }));
            let forget = old.iter().map(|one| self.remove(one));
            let (buried, forgotten) = tokio::join!(
                futures_util::future::join_all(bury),
                futures_util::future::join_all(forget),
            );
            // Every one is written or given back before the first error ends this.
            buried
                .into_iter()
                .chain(forgotten)
                .collect::<Result<(), _>>()?;
        }
    }

    /// Whether [`Shard::keep_up`] has something to do.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_due() || self.index.lock().is_behind()
    }
}
