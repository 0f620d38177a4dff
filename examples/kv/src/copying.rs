//! Making a copy: one exchange that is snapshot, resumption and repair in one.
//!
//! The target walks through the keys, stretch by stretch, and sends the digest of what it has; the
//! source answers that it has the same, or with what is there. So a first copy is taken whole, one
//! that broke off goes on where it was, and one that grew apart is mended where it differs.
//!
//! A stretch is written as of one record of the source. A target that is attached takes records
//! meanwhile: what they set or deleted after that record stands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_node::{Copying, Handle, HandlerContext, HandlerError, MemberNumber, PartitionId};

use crate::kv::Core;
use crate::peer::AskError;
use crate::stamp::Grant;
use crate::store::{Fill, Job, StoreError};
use crate::wire::{Attach, Chunk, Refused, Resume};

/// Time for one stretch.
const STRETCH: Duration = Duration::from_secs(20);

/// Time for the other questions.
const QUESTION: Duration = Duration::from_secs(2);

/// Time for what was under way when the copy attached to be everywhere.
const SETTLES: Duration = Duration::from_secs(6);

/// Time the records have to arrive that were on their way while the copy was filled.
const KEEPS_UP: Duration = Duration::from_secs(10);

/// How long a copy is paced at most: the time for a stage is four times as long.
const PACED: Duration = Duration::from_secs(900);

/// Between two looks at whether they have.
const KEEPS_UP_EVERY: Duration = Duration::from_millis(5);

/// Why a copy is not made yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The node to copy from is no member.
    #[error("{node} is no member any more")]
    NoSource { node: ck_node::NodeId },
    /// Nobody serves the partition now.
    #[error("{partition} has no primary at present")]
    NoPrimary { partition: PartitionId },
    /// The source cannot be asked.
    #[error("the copy of {partition} broke off: {source}")]
    Broken {
        partition: PartitionId,
        source: AskError,
    },
    /// The source, or this node's own copy, refuses.
    #[error("the copy of {partition} was given up: {source}")]
    Refused {
        partition: PartitionId,
        source: Refused,
    },
    /// This node's own store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A copy being made.
struct Copy<'a> {
    core: &'a Arc<Core>,
    context: &'a dyn HandlerContext,
    partition: PartitionId,
    source: MemberNumber,
    /// The grant it is attached at.
    grant: Option<Grant>,
}

impl Core {
    /// Copies from an in-sync source, without a part in anything yet.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        node: &Handle,
        context: &dyn HandlerContext,
        copying: &Copying,
    ) -> Result<(), HandlerError> {
        let state = node.state();
        let source = state.member_by_node(copying.source.as_str());
        let source = source.ok_or_else(|| CopyError::NoSource {
            node: copying.source.clone(),
        })?;
        let copy = Copy {
            core: self,
            context,
            partition: copying.partition,
            source: source.number,
            grant: None,
        };
        copy.fill().await?;
        Ok(())
    }

    /// Attaches to the primary, which from then on waits for this copy with every write, and takes
    /// what is still missing.
    pub(crate) async fn catch_up(
        self: &Arc<Self>,
        node: &Handle,
        context: &dyn HandlerContext,
        copying: &Copying,
    ) -> Result<(), HandlerError> {
        let partition = copying.partition;
        let state = node.state();
        let control = state.partition(partition);
        let none = || CopyError::NoPrimary { partition };
        let (epoch, holder) = control
            .and_then(|control| Some((control.epoch, control.holder?)))
            .ok_or_else(none)?;
        let mut copy = Copy {
            core: self,
            context,
            partition,
            source: holder.member,
            grant: None,
        };
        let attempt = self.next_attempt();
        let attach = Attach {
            partition: partition.0,
            incarnation: state.incarnation().0,
            epoch: epoch.0,
            transfer: copying.transfer.0,
            attempt,
        };
        let attached = copy.ask(attach, QUESTION).await?;
        let (grant, at) = (attached.grant, attached.at);
        let begun = self.store.run(|reply| Job::Attach {
            partition: partition.0,
            grant,
            at,
            reply,
        });
        copy.taken(begun.await?)?;
        copy.grant = Some(grant);
        let resume = Resume {
            partition: partition.0,
            grant,
            transfer: copying.transfer.0,
            attempt,
        };
        copy.ask(resume, SETTLES).await?;
        let upto = copy.fill().await?;
        copy.keep_up(grant, upto).await?;
        Ok(())
    }
}

impl Copy<'_> {
    /// One walk through all keys. Returns the newest record whose effect may be in what was taken.
    async fn fill(&self) -> Result<u64, CopyError> {
        let mut start: Option<Bytes> = None;
        let (mut done, mut newest) = (0, 0);
        let begun = self.context.now();
        // Each stretch ends behind the one before, so this ends with the keys.
        while !self.context.is_cancelled() {
            let (partition, from) = (self.partition.0, start.clone());
            let here = self
                .core
                .reading(move |store| store.stretch(partition, from.as_ref()))
                .await?;
            let question = Chunk {
                partition: self.partition.0,
                grant: self.grant,
                start: start.clone(),
                end: here.until.clone(),
                digest: here.digest,
            };
            let there = self.ask(question, STRETCH).await?;
            // Also where both have the same: the source may have what this copy has in a later record.
            newest = newest.max(there.at.seq);
            if let Some(entries) = there.entries {
                let size = |entry: &crate::record::Entry| entry.key.len() + entry.value.len();
                let bytes = entries.iter().map(size).sum::<usize>() as u64;
                done += bytes;
                let filled = self.core.store.run(|reply| {
                    Job::Fill(Fill {
                        partition: self.partition.0,
                        grant: self.grant,
                        start: start.clone(),
                        until: there.until.clone(),
                        entries,
                        at: there.at,
                        reply,
                    })
                });
                self.taken(filled.await?)?;
                if self.may_wait(begun) {
                    self.context.sleep(self.core.pace.wait(bytes)).await;
                }
            }
            self.context.progress(done, there.total.max(done));
            match there.until {
                Some(until) if Some(&until) > start.as_ref() => start = Some(until),
                _ => return Ok(newest),
            }
        }
        // The result is not wanted any more; whoever cancelled it does not look at it.
        Ok(newest)
    }

    /// Whether nobody waits for this copy. An attached one holds up every write until it is filled, writes
    /// are refused while too few copies are in sync, and a stage that lasts is given up in the end.
    fn may_wait(&self, begun: Duration) -> bool {
        if self.grant.is_some() || self.context.now().saturating_sub(begun) >= PACED {
            return false;
        }
        self.core.node().is_some_and(|node| {
            let state = node.state();
            let least = usize::from(state.config().min_in_sync);
            let control = state.partition(self.partition);
            control.is_some_and(|control| control.in_sync.len() >= least)
        })
    }

    /// Waits until this copy has the records up to `upto`. Before that it may hold what some of them
    /// did without having them: were it in sync then, and the primary lost, it would have what no
    /// other copy has.
    async fn keep_up(&self, grant: Grant, upto: u64) -> Result<(), CopyError> {
        let begun = self.context.now();
        loop {
            let filled = self.core.store.run(|reply| Job::Filled {
                partition: self.partition.0,
                grant,
                upto,
                reply,
            });
            let late = self.context.now().saturating_sub(begun) >= KEEPS_UP;
            match filled.await? {
                Err(Refused::Gap { .. }) if !late => {
                    self.context.sleep(KEEPS_UP_EVERY).await;
                }
                verdict => return self.taken(verdict),
            }
        }
    }

    fn taken<T>(&self, verdict: Result<T, Refused>) -> Result<T, CopyError> {
        let partition = self.partition;
        verdict.map_err(|source| CopyError::Refused { partition, source })
    }

    async fn ask<T, M>(&self, question: M, within: Duration) -> Result<T, CopyError>
    where
        T: crate::wire::Wire,
        M: crate::wire::Message<Reply = Result<T, Refused>>,
    {
        let answer = self.core.ask(self.source, question, within);
        let partition = self.partition;
        let answer = answer
            .await
            .map_err(|source| CopyError::Broken { partition, source })?;
        self.taken(answer)
    }
}
