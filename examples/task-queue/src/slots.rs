//! Which shard serves a partition at this node. A shard is built under exactly one grant, and while
//! a request holds it no other is built: what the next one reads is all there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ck_node::{FencingToken, NotOwner, Ownership, PartitionId};
use tokio::sync::RwLock;

use crate::error::QueueError;
use crate::service::Core;
use crate::shard::{Held, Shard};

/// The place of one partition's shard.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    shard: Arc<RwLock<Option<Arc<Shard>>>>,
    building: AtomicBool,
}

/// The one task that builds a slot's shard, for as long as it lives.
struct Building(Arc<Slot>);

impl Drop for Building {
    fn drop(&mut self) {
        self.0.building.store(false, Ordering::Release);
    }
}

impl Core {
    /// The shard of a partition that this node is the primary of, held.
    ///
    /// # Errors
    /// [`QueueError::NotOwner`]: another node is, or the shard is being built, which this call has
    /// seen to.
    pub(crate) fn held(self: &Arc<Self>, partition: PartitionId) -> Result<Held, QueueError> {
        let none = || NotOwner::Elsewhere {
            partition,
            primary: None,
        };
        let own = self.node().ok_or_else(none)?.acquire(partition)?;
        let slot = self.slot(partition);
        let moving = NotOwner::Moving { partition };
        let Ok(guard) = Arc::clone(&slot.shard).try_read_owned() else {
            return Err(moving.into());
        };
        match &*guard {
            Some(shard) if shard.token == own.token() && shard.is_sound() => Ok(Held {
                shard: Arc::clone(shard),
                guard,
            }),
            _ => {
                self.build(slot, own);
                Err(moving.into())
            }
        }
    }

    /// Builds the shard of a grant, before the node owns the partition at it.
    pub(crate) async fn begin(self: &Arc<Self>, token: FencingToken) -> Result<(), QueueError> {
        let slot = self.slot(token.partition);
        // Waits for the requests that still hold the one before.
        let mut place = slot.shard.write().await;
        *place = None;
        *place = Some(Arc::new(Shard::open(&self.kv, token).await?));
        drop(place);
        self.bells.ring_all();
        Ok(())
    }

    /// The partition is served elsewhere: what was kept of it is dropped.
    pub(crate) async fn end(&self, partition: PartitionId) {
        let slot = self.slot(partition);
        *slot.shard.write().await = None;
    }

    /// Builds a shard that is missing or spoilt, on a task of its own, once.
    fn build(self: &Arc<Self>, slot: Arc<Slot>, own: Ownership) {
        if slot.building.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::clone(self);
        let building = Building(slot);
        tokio::spawn(async move {
            if let Err(error) = core.build_now(&building.0, &own).await {
                let token = own.token();
                tracing::info!(%token, %error, "the tasks cannot be read yet");
            }
            drop(building);
            core.bells.ring_all();
        });
    }

    async fn build_now(&self, slot: &Slot, own: &Ownership) -> Result<(), QueueError> {
        let mut place = slot.shard.write().await;
        let token = own.token();
        let built = place.as_ref();
        if built.is_some_and(|shard| shard.is_sound() && shard.token >= token) {
            return Ok(());
        }
        drop(own.check()?);
        *place = None;
        *place = Some(Arc::new(Shard::open(&self.kv, token).await?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::TaskQueue;
    use ck_kv::KvConfig;

    #[tokio::test]
    async fn no_shard_is_built_while_a_request_holds_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let queue = TaskQueue::open(directory.path(), KvConfig::default()).unwrap();
        let core = &queue.core;
        let token: FencingToken = "1.3.2".parse().unwrap();
        let slot = core.slot(token.partition);
        let held = Arc::clone(&slot.shard).try_read_owned().unwrap();
        let mut building = std::pin::pin!(core.begin(token));
        assert!(futures_util::poll!(&mut building).is_pending());
        // Nobody new comes in between, either.
        assert!(slot.shard.try_read().is_err());
        drop(held);
        // It goes on now, and finds that the store does not serve the partition.
        let refused = building.await;
        let moving = matches!(refused, Err(QueueError::NotOwner(NotOwner::Moving { .. })));
        assert!(moving, "{refused:?}");
    }
}
