//! Leasing tasks, and what workers and operators say of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_kv::Consistency;
use ck_node::NotOwner;

use super::{Leased, Revive, Settle, Shard};
use crate::error::QueueError;
use crate::index::{Begun, Counts, Dead, Phase};
use crate::name::{QueueName, Receipt, TaskId};
use crate::record::{DeadReason, Head, Kept, task_key};

/// A task as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) task: TaskId,
    pub(crate) queue: QueueName,
    pub(crate) phase: Phase,
    pub(crate) head: Head,
    pub(crate) payload: Bytes,
}

impl Shard {
    /// Leases the oldest ready tasks of a queue, `most` at most and about `bytes` of payload.
    /// Whatever was leased is returned; the error is of one that was not.
    pub(crate) async fn lease(
        &self,
        queue: &QueueName,
        most: usize,
        bytes: usize,
        visibility: Duration,
    ) -> (Vec<Leased>, Option<QueueError>) {
        if let Err(error) = self.load_ready(queue, most).await {
            return (Vec::new(), Some(error));
        }
        let begun = self.index.lock().begin_lease(queue, most, Instant::now());
        let mut failed = None;
        let mut leasing = Vec::new();
        let mut weight = 0;
        for begun in begun {
            if weight > 0 && weight >= bytes {
                self.index.lock().give_back(begun.number);
                continue;
            }
            match self.payload(&begun).await {
                Ok(payload) => {
                    weight += payload.len();
                    leasing.push(self.lease_one(begun, payload, visibility));
                }
                Err(error) => {
                    self.index.lock().give_back(begun.number);
                    failed = Some(error);
                }
            }
        }
        // Together, so that they are synced together.
        let mut leased = Vec::new();
        for one in futures_util::future::join_all(leasing).await {
            match one {
                Ok(one) => leased.push(one),
                Err(error) => failed = Some(error),
            }
        }
        (leased, failed)
    }

    async fn lease_one(
        &self,
        begun: Begun,
        payload: Bytes,
        visibility: Duration,
    ) -> Result<Leased, QueueError> {
        let receipt = Receipt::draw();
        let attempts = begun.head.attempts.saturating_add(1);
        let head = Head {
            attempts,
            kept: Kept::Leased {
                receipt,
                visibility,
            },
            ..begun.head.clone()
        };
        self.change_to(&begun, head, &payload).await?;
        Ok(Leased {
            task: self.task(begun.number),
            receipt,
            attempts,
            payload,
        })
    }

    /// The payload of a task that was begun.
    async fn payload(&self, begun: &Begun) -> Result<Bytes, QueueError> {
        let (stamp, value) = self.value(&begun.queue, begun.number).await?;
        if stamp != begun.stamp {
            self.spoil();
            let partition = self.partition();
            return Err(NotOwner::Moving { partition }.into());
        }
        Ok(self.read(&value)?.1)
    }

    async fn value(
        &self,
        queue: &QueueName,
        number: u64,
    ) -> Result<(ck_kv::Stamp, Bytes), QueueError> {
        let key = task_key(queue, number);
        let read = self
            .kv
            .read(self.partition(), &key, Consistency::Lease)
            .await?;
        read.ok_or_else(|| QueueError::Unknown {
            task: self.task(number),
        })
    }

    fn read(&self, value: &Bytes) -> Result<(Head, Bytes), QueueError> {
        let partition = self.partition();
        let read = Head::read(value);
        let (head, length) = read.map_err(|source| QueueError::Record { partition, source })?;
        Ok((head, value.slice(length..)))
    }

    /// What a worker says of a task, by the receipt of its lease.
    pub(crate) async fn settle(
        &self,
        number: u64,
        receipt: Receipt,
        what: Settle,
    ) -> Result<(), QueueError> {
        self.load(number).await?;
        let begun = self.index.lock().begin_of(number, receipt);
        let begun = begun.map_err(|why| self.refused(number, why))?;
        let kept = match what {
            Settle::Ack if begun.head.idempotency.is_none() => return self.remove(&begun).await,
            Settle::Ack => return self.change(&begun, Kept::Done, b"").await,
            Settle::Nack { .. } if begun.head.attempts >= begun.head.attempts_max => Kept::Dead {
                reason: DeadReason::Rejected,
            },
            Settle::Nack {
                delay: Duration::ZERO,
            } => Kept::Ready,
            Settle::Nack { delay } => Kept::Delayed { delay },
            Settle::Extend { visibility } => Kept::Leased {
                receipt,
                visibility,
            },
        };
        self.keep(&begun, begun.head.attempts, kept).await
    }

    /// What an operator says of a dead task.
    pub(crate) async fn revive(&self, number: u64, what: Revive) -> Result<(), QueueError> {
        self.load(number).await?;
        let begun = self.index.lock().begin_dead(number);
        let begun = begun.map_err(|why| self.refused(number, why))?;
        match what {
            Revive::Retry => self.keep(&begun, 0, Kept::Ready).await,
            Revive::Discard => self.remove(&begun).await,
        }
    }

    /// Writes a task anew, with the payload it has.
    pub(super) async fn keep(
        &self,
        begun: &Begun,
        attempts: u32,
        kept: Kept,
    ) -> Result<(), QueueError> {
        let payload = match self.payload(begun).await {
            Ok(payload) => payload,
            Err(error) => {
                self.index.lock().give_back(begun.number);
                return Err(error);
            }
        };
        let head = Head {
            attempts,
            kept,
            ..begun.head.clone()
        };
        self.change_to(begun, head, &payload).await
    }

    /// A task as it stands.
    pub(crate) async fn look(&self, number: u64) -> Result<Shown, QueueError> {
        self.load(number).await?;
        let known = self.index.lock().look(number, Instant::now());
        let (queue, phase) = known.map_err(|why| self.refused(number, why))?;
        let (_, value) = self.value(&queue, number).await?;
        let (head, payload) = self.read(&value)?;
        Ok(Shown {
            task: self.task(number),
            queue,
            phase,
            head,
            payload,
        })
    }

    /// Queue of a task, for who waits for it.
    pub(crate) fn queue_of(&self, number: u64) -> Option<QueueName> {
        let looked = self.index.lock().look(number, Instant::now());
        looked.ok().map(|(queue, _)| queue)
    }

    pub(crate) fn has_ready(&self, queue: &QueueName) -> bool {
        self.index.lock().has_ready(queue, Instant::now())
    }

    pub(crate) fn counts(&self, queue: &QueueName) -> Counts {
        self.index.lock().counts(queue, Instant::now())
    }

    pub(crate) async fn dead(
        &self,
        queue: &QueueName,
        most: usize,
    ) -> Result<Vec<(TaskId, Dead)>, QueueError> {
        self.load_dead(queue, most).await?;
        let dead = self.index.lock().dead(queue, most);
        let dead = dead.into_iter().map(|one| (self.task(one.number), one));
        Ok(dead.collect())
    }
}
