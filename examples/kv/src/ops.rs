//! Reading and writing at the primary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_node::{FencingToken, Handle, NotOwner, Ownership, PartitionId};
use tokio::sync::watch;

use crate::error::{Interruption, KvError};
use crate::kv::{Core, Replication};
use crate::part::{Progress, Serving, Turn};
use crate::planted::Bug;
use crate::record::{Effect, Record};
use crate::stamp::Stamp;
use crate::store::{Append, Figures, Job};
use crate::wire::Covered;

/// Time a write may wait for the copies, and for its turn before that.
const WRITE: Duration = Duration::from_secs(10);

/// Time a read may wait for a write of its key.
const READ: Duration = Duration::from_secs(5);

/// Time the copies have to confirm the primary.
const CONFIRM: Duration = Duration::from_millis(1_000);

/// Under which condition a write is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Whatever the key is.
    #[default]
    Always,
    /// Only if the key is absent.
    Absent,
    /// Only if the key has one of these tags, as [`Stamp::etag`] writes them.
    Tagged(Vec<String>),
    /// Only if the key is there, whatever its value.
    Present,
}

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Linearizable while clocks keep within their bound: the primary answers under its lease.
    #[default]
    Lease,
    /// Linearizable without clocks: every copy that is in sync, or may come to be, confirms the
    /// primary first.
    Barrier,
    /// Whatever this node's copy has, acknowledged or not.
    Stale,
}

impl Condition {
    fn holds(&self, found: Option<Stamp>) -> Result<(), KvError> {
        let holds = match self {
            Self::Always => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Tagged(tags) => found.is_some_and(|found| tags.contains(&found.etag())),
        };
        if holds {
            Ok(())
        } else {
            Err(KvError::Condition { found })
        }
    }
}

/// A record on its way, and where to hear of it.
struct UnderWay {
    record: Arc<Record>,
    progress: watch::Receiver<Progress>,
}

/// What came of the attempt to give a record its place.
enum Admission {
    Taken(UnderWay),
    /// Something has to get on first.
    Wait(watch::Receiver<Progress>, Turn),
}

impl Core {
    fn running(&self, partition: PartitionId) -> Result<&Handle, KvError> {
        let primary = None;
        let none = NotOwner::Elsewhere { partition, primary };
        self.node().ok_or_else(|| none.into())
    }

    /// Makes one change. `Ok` means that every copy in sync has it on its disk, or in mode `async`
    /// that the primary has. With a fence it is made at that grant or not at all, however long it
    /// waits for its turn.
    pub(crate) async fn write(
        self: &Arc<Self>,
        partition: PartitionId,
        key: Bytes,
        effect: Effect,
        condition: Condition,
        fence: Option<FencingToken>,
    ) -> Result<Stamp, KvError> {
        let node = self.running(partition)?;
        if self.store.space().is_low() {
            let reserve = self.store.space().reserve();
            return Err(KvError::NoSpace { reserve });
        }
        let begun = Instant::now();
        loop {
            if condition != Condition::Always {
                // So that what the condition is held against is in memory when it is.
                let key = key.clone();
                self.reading(move |store| store.stamp(partition.0, &key))
                    .await?;
            }
            let room = self.store.room(key.len() + effect.len()).await?;
            let own = acquire(node, partition, fence)?;
            let admission = self.admit(&own, &key, &effect, &condition, room)?;
            match admission {
                Admission::Taken(way) => return self.answered(partition, way).await,
                Admission::Wait(mut progress, turn) => {
                    let ready = progress.wait_for(|now| now.is_turn(turn));
                    let left = WRITE.saturating_sub(begun.elapsed());
                    if tokio::time::timeout(left, ready).await.is_err() {
                        return Err(KvError::Busy { partition });
                    }
                }
            }
        }
    }

    /// Gives a record its place and hands it to this node's disk and to the replicas.
    fn admit(
        self: &Arc<Self>,
        own: &Ownership,
        key: &Bytes,
        effect: &Effect,
        condition: &Condition,
        room: crate::store::Room<'_>,
    ) -> Result<Admission, KvError> {
        let partition = own.partition();
        let part = self.part(partition);
        let mut serving = part.lock();
        let serving = serving
            .as_mut()
            .filter(|serving| serving.grant.is_of(own))
            .ok_or(NotOwner::Moving { partition })?;
        let (have, need) = serving.in_sync();
        if have < need && self.config.replication == Replication::Sync {
            return Err(KvError::TooFewInSync {
                partition,
                have,
                need,
            });
        }
        if let Some(turn) = serving.full(key.len() + effect.len()) {
            return Ok(Admission::Wait(serving.progress(), turn));
        }
        if *condition != Condition::Always {
            // A write under way may or may not be the one the condition is about.
            if let Some(seq) = serving.pending(key) {
                let turn = Turn::Committed(seq);
                return Ok(Admission::Wait(serving.progress(), turn));
            }
            condition.holds(self.store.stamp(partition.0, key)?)?;
        }
        // From here until the record is on this node's disk the role is not handed over; what is
        // awaited after that is awaited by the release as well.
        let held = own.hold()?;
        let progress = serving.progress();
        let (after, record, stable) = serving.assign(key.clone(), effect.clone());
        // In the same step as the place, so that both queues have the records in their order.
        room.send(Job::Append(Append {
            held,
            grant: serving.grant,
            partition: partition.0,
            after,
            record: Arc::clone(&record),
            stable,
        }));
        self.send(partition, serving);
        Ok(Admission::Taken(UnderWay { record, progress }))
    }

    fn send(self: &Arc<Self>, partition: PartitionId, serving: &Serving) {
        for member in serving.members() {
            self.peer(member).wake(partition);
        }
    }

    /// Waits until a record is where it has to be.
    async fn answered(&self, partition: PartitionId, way: UnderWay) -> Result<Stamp, KvError> {
        let UnderWay {
            record,
            mut progress,
        } = way;
        let seq = record.stamp.seq;
        let waiting = progress.wait_for(|now| now.committed >= seq || !now.open);
        let unknown = |reason| KvError::Unknown { partition, reason };
        match tokio::time::timeout(WRITE, waiting).await {
            Ok(Ok(now)) if now.committed >= seq => match now.thin {
                Some(from) if from <= seq && self.config.replication == Replication::Sync => {
                    Err(unknown(Interruption::Thinned))
                }
                _ => Ok(record.stamp),
            },
            Ok(_) => Err(unknown(Interruption::Ended)),
            Err(_) => Err(unknown(Interruption::Late)),
        }
    }

    /// A key's value and the record that set it; `None` when the key is absent.
    pub(crate) async fn read(
        self: &Arc<Self>,
        partition: PartitionId,
        key: &[u8],
        consistency: Consistency,
        fence: Option<FencingToken>,
    ) -> Result<Option<(Stamp, Bytes)>, KvError> {
        let node = self.running(partition)?;
        let found = {
            let key = Bytes::copy_from_slice(key);
            self.reading(move |store| store.value(partition.0, &key))
        };
        if consistency == Consistency::Stale {
            self.holds(node, partition).await?;
            return Ok(found.await?);
        }
        if Bug::StaleRead.is_on() {
            return Ok(found.await?);
        }
        let own = acquire(node, partition, fence)?;
        let value = found.await?;
        let (waits, others, grant) = {
            let part = self.part(partition);
            let serving = part.lock();
            let serving = serving
                .as_ref()
                .filter(|serving| serving.grant.is_of(&own))
                .ok_or(NotOwner::Moving { partition })?;
            // What was just read is of a record up to this one. It is shown once that is where it
            // has to be: a value that is seen is never lost.
            let pending = serving.pending(key);
            let waits = pending.map(|seq| (serving.progress(), seq));
            // One that is attached may be in sync, and lead, before it is known here.
            let others: Vec<_> = serving.members().collect();
            (waits, others, serving.grant)
        };
        if let Some((mut progress, seq)) = waits {
            let ready = progress.wait_for(|now| now.committed >= seq || !now.open);
            match tokio::time::timeout(READ, ready).await {
                Ok(Ok(now)) if now.committed >= seq => {}
                Ok(_) => return Err(NotOwner::Moving { partition }.into()),
                Err(_) => return Err(KvError::Busy { partition }),
            }
        }
        if consistency == Consistency::Barrier {
            self.confirm(partition, grant, &others).await?;
        }
        // The last thing before the answer: the value was this node's to give all the while.
        drop(own.check()?);
        Ok(value)
    }

    /// Asks copies whether they have seen a newer grant.
    async fn confirm(
        self: &Arc<Self>,
        partition: PartitionId,
        grant: crate::stamp::Grant,
        others: &[ck_node::MemberNumber],
    ) -> Result<(), KvError> {
        let mut asking = tokio::task::JoinSet::new();
        for member in others.iter().copied() {
            let core = Arc::clone(self);
            asking.spawn(async move {
                let partition = partition.0;
                let question = Covered { partition, grant };
                core.ask(member, question, CONFIRM).await
            });
        }
        while let Some(answer) = asking.join_next().await {
            if !matches!(answer, Ok(Ok(Ok(())))) {
                return Err(KvError::Unconfirmed { partition });
            }
        }
        Ok(())
    }

    /// Whether this node has a copy, by the table it knows: what is left of one that it dropped does
    /// not count.
    async fn holds(self: &Arc<Self>, node: &Handle, partition: PartitionId) -> Result<(), KvError> {
        let published = node.published();
        let row = published
            .state
            .table()
            .and_then(|table| table.row(partition));
        let in_row = row.is_some_and(|row| row.contains(node.node_id().as_str()));
        let meta = self.reading(move |store| store.meta(partition.0));
        if in_row && meta.await?.is_some() {
            Ok(())
        } else {
            Err(KvError::NoCopy { partition })
        }
    }

    /// This node's own copy in figures.
    pub(crate) async fn figures(
        self: &Arc<Self>,
        partition: PartitionId,
    ) -> Result<Figures, KvError> {
        self.holds(self.running(partition)?, partition).await?;
        // Reads the whole copy, which may take a while; so the permit goes with the reading.
        let walk = Arc::clone(&self.store.walks).acquire_owned().await;
        let walk = walk.map_err(|_| self.store.closed())?;
        let figures = self.reading(move |store| {
            let _walk = walk;
            store.figures(partition.0)
        });
        figures.await?.ok_or(KvError::NoCopy { partition })
    }
}

/// The grant of a partition, which has to be the one that the caller names, if any.
fn acquire(
    node: &Handle,
    partition: PartitionId,
    fence: Option<FencingToken>,
) -> Result<Ownership, NotOwner> {
    let own = node.acquire(partition)?;
    match fence {
        Some(token) if token != own.token() => Err(NotOwner::Ended { token }),
        _ => Ok(own),
    }
}

impl Effect {
    fn len(&self) -> usize {
        match self {
            Self::Put(value) => value.len(),
            Self::Delete | Self::Superseded => 0,
        }
    }
}
