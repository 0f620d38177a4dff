//! One partition's tasks, served under one grant: what is in memory, and the writes behind it.
//!
//! Everything here runs while the partition's slot is held (`slots`), so nothing is written by one
//! shard once the next has been built from the records.

mod load;
mod open;
mod upkeep;
mod work;

pub(crate) use work::Shown;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_kv::{Condition, Effect, EmbedError, Kv, KvError, Stamp};
use ck_node::{FencingToken, NotOwner, PartitionId};
use parking_lot::Mutex;

use crate::error::QueueError;
use crate::index::{Begun, Index, Refusal, Repeat, TASKS_MAX};
use crate::name::{QueueName, Receipt, TaskId};
use crate::record::{Head, Kept, NUMBERS_KEY, numbers_value, task_key};

/// Numbers that are set aside with one write.
const NUMBERS_STEP: u64 = 1_024;

/// The tasks of one partition under one grant.
#[derive(Debug)]
pub(crate) struct Shard {
    kv: Kv,
    pub(crate) token: FencingToken,
    index: Mutex<Index>,
    numbers: tokio::sync::Mutex<Numbers>,
    /// What is in memory may not be what is written. It is built anew before anything else is done.
    stale: AtomicBool,
    upkeep: AtomicBool,
    /// When delays and leases from before began anew.
    began: Instant,
    /// Records read so far to know where tasks stand.
    rows_read: AtomicU64,
}

/// Numbers of tasks: never given twice, across grants and although tasks are removed.
#[derive(Debug)]
struct Numbers {
    next: u64,
    /// Those below are set aside, by a record that says so.
    below: u64,
}

/// A new task.
#[derive(Debug, Clone)]
pub(crate) struct Enqueue {
    pub(crate) queue: QueueName,
    pub(crate) payload: Bytes,
    pub(crate) delay: Duration,
    pub(crate) attempts_max: u32,
    pub(crate) idempotency: Option<Bytes>,
}

/// What came of an enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enqueued {
    pub(crate) task: TaskId,
    /// It was there already, under the same idempotency key.
    pub(crate) repeated: bool,
}

/// A task that a worker was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) task: TaskId,
    pub(crate) receipt: Receipt,
    pub(crate) attempts: u32,
    pub(crate) payload: Bytes,
}

/// What a worker says of a task it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// It is done.
    Ack,
    /// It is given back, for after a delay.
    Nack { delay: Duration },
    /// More time is needed: so much from now on.
    Extend { visibility: Duration },
}

/// What an operator says of a dead task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revive {
    /// It is ready once more, as if it had never been leased.
    Retry,
    /// It is dropped for good.
    Discard,
}

impl Shard {
    pub(crate) const fn partition(&self) -> PartitionId {
        self.token.partition
    }

    /// Whether what is in memory is known to be what is written.
    pub(crate) fn is_sound(&self) -> bool {
        !self.stale.load(Ordering::Acquire)
    }

    /// What is in memory is not to be used any more.
    fn spoil(&self) {
        self.stale.store(true, Ordering::Release);
    }

    const fn task(&self, number: u64) -> TaskId {
        TaskId {
            partition: self.token.partition,
            number,
        }
    }

    fn refused(&self, number: u64, why: Refusal) -> QueueError {
        let task = self.task(number);
        match why {
            Refusal::Unknown => QueueError::Unknown { task },
            Refusal::NotLeased => QueueError::NotLeased { task },
            Refusal::Superseded => QueueError::Superseded { task },
            Refusal::NotDead => QueueError::NotDead { task },
            Refusal::Busy => QueueError::TaskBusy { task },
        }
    }

    /// Writes one record. When the outcome is open, or the record was not what it is here, this
    /// shard is spoilt: another one finds out what is so.
    async fn write(
        &self,
        key: Bytes,
        effect: Effect,
        condition: Condition,
    ) -> Result<Stamp, QueueError> {
        let partition = self.partition();
        let error = match self.kv.write(partition, key, effect, condition).await {
            Ok(stamp) => return Ok(stamp),
            Err(error) => error,
        };
        let differs = matches!(error, EmbedError::Kv(KvError::Condition { .. }));
        if differs {
            tracing::warn!(%partition, %error, "a record is not what it was known to be: the partition is read anew");
        }
        if differs || !error.is_unapplied() {
            self.spoil();
        }
        Err(if differs {
            NotOwner::Moving { partition }.into()
        } else {
            error.into()
        })
    }

    /// Writes what has become of a task that was begun, and takes it in.
    async fn change(&self, begun: &Begun, kept: Kept, payload: &[u8]) -> Result<(), QueueError> {
        let head = Head {
            kept,
            ..begun.head.clone()
        };
        self.change_to(begun, head, payload).await
    }

    async fn change_to(&self, begun: &Begun, head: Head, payload: &[u8]) -> Result<(), QueueError> {
        let key = task_key(&begun.queue, begun.number);
        let effect = Effect::Put(head.to_value(payload));
        let condition = Condition::Tagged(vec![begun.stamp.etag()]);
        let written = self.write(key, effect, condition).await;
        let mut index = self.index.lock();
        match written {
            Ok(stamp) => {
                index.put(begun.number, &begun.queue, stamp, head, Instant::now());
                Ok(())
            }
            Err(error) => {
                index.give_back(begun.number);
                Err(error)
            }
        }
    }

    /// Removes a task that was begun.
    async fn remove(&self, begun: &Begun) -> Result<(), QueueError> {
        let key = task_key(&begun.queue, begun.number);
        let condition = Condition::Tagged(vec![begun.stamp.etag()]);
        let written = self.write(key, Effect::Delete, condition).await;
        let mut index = self.index.lock();
        match written {
            Ok(_) => {
                index.remove(begun.number);
                Ok(())
            }
            Err(error) => {
                index.give_back(begun.number);
                Err(error)
            }
        }
    }

    /// A number that no task of the partition has had.
    async fn number(&self) -> Result<u64, QueueError> {
        let mut numbers = self.numbers.lock().await;
        if numbers.next >= numbers.below {
            let below = numbers.next + NUMBERS_STEP;
            let effect = Effect::Put(numbers_value(below));
            let key = Bytes::from_static(NUMBERS_KEY);
            self.write(key, effect, Condition::Always).await?;
            numbers.below = below;
        }
        let number = numbers.next;
        numbers.next += 1;
        Ok(number)
    }

    /// Makes a new task, or finds the one that was made under the same idempotency key.
    pub(crate) async fn enqueue(&self, new: Enqueue) -> Result<Enqueued, QueueError> {
        let partition = self.partition();
        if let Some(key) = &new.idempotency {
            self.load_repeated(&new.queue, key).await?;
        }
        {
            let mut index = self.index.lock();
            if let Some(key) = &new.idempotency {
                match index.repeat(&new.queue, key) {
                    Repeat::First => {}
                    Repeat::UnderWay => return Err(QueueError::UnderWay),
                    Repeat::Known(number) => {
                        let (task, repeated) = (self.task(number), true);
                        return Ok(Enqueued { task, repeated });
                    }
                }
            }
            let have = index.len();
            if have >= TASKS_MAX {
                if let Some(key) = &new.idempotency {
                    index.unrepeat(&new.queue, key);
                }
                let most = TASKS_MAX;
                return Err(QueueError::Full {
                    partition,
                    have,
                    most,
                });
            }
        }
        let made = self.make(&new).await;
        if made.is_err()
            && let Some(key) = &new.idempotency
        {
            self.index.lock().unrepeat(&new.queue, key);
        }
        made
    }

    async fn make(&self, new: &Enqueue) -> Result<Enqueued, QueueError> {
        let number = self.number().await?;
        let kept = match new.delay {
            Duration::ZERO => Kept::Ready,
            delay => Kept::Delayed { delay },
        };
        let head = Head {
            attempts: 0,
            attempts_max: new.attempts_max,
            kept,
            idempotency: new.idempotency.clone(),
        };
        let key = task_key(&new.queue, number);
        let effect = Effect::Put(head.to_value(&new.payload));
        let stamp = self.write(key, effect, Condition::Absent).await?;
        let mut index = self.index.lock();
        index.put(number, &new.queue, stamp, head, Instant::now());
        let (task, repeated) = (self.task(number), false);
        Ok(Enqueued { task, repeated })
    }
}

/// A shard that is held: as long as this lives, no other is built for its partition.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) shard: Arc<Shard>,
    pub(crate) guard: tokio::sync::OwnedRwLockReadGuard<Option<Arc<Shard>>>,
}

#[cfg(test)]
mod tests;
