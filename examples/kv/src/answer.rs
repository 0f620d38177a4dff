//! What a node answers other nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_node::{MemberNumber, NodeId, PartitionId, TransferId};

use crate::kv::Core;
use crate::part::Attachment;
use crate::stamp::Grant;
use crate::store::{Job, StoreError};
use crate::wire::{
    Append, Attach, Attached, Chunk, Chunked, Covered, Envelope, Fenced, Message, Recent, Refused,
    Resume, Sections, Standing, Verdict, WireError, frame, unframe,
};

/// Time that what was under way when a copy attached has to get everywhere.
const SETTLES: Duration = Duration::from_secs(5);

/// Time the primary has to hear of a move that its target knows.
const HEARS: Duration = Duration::from_millis(500);

/// Why a request of another node has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// There is no such question.
    #[error("there is no such question")]
    Unknown,
    /// The question is damaged.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It was meant for another node, or comes from another cluster.
    #[error(
        "the question is meant for member {to} of another cluster or start; this node is member {me}"
    )]
    NotMeant { to: u64, me: u64 },
    /// Its sender writes another member's number than the one of the node it proved to be.
    #[error("{caller} asks as member {from}, whose number that is not")]
    NotItsNumber { caller: NodeId, from: MemberNumber },
    /// This node belongs to no cluster yet.
    #[error("the node belongs to no cluster yet")]
    NoNode,
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Core {
    /// Answers a frame that came to a path, from whoever `caller` proved to be, if it is known.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        path: &str,
        caller: Option<&NodeId>,
        body: Bytes,
    ) -> Result<Bytes, AnswerError> {
        match path {
            Append::PATH => {
                let (_, question) = self.meant::<Append>(caller, body)?;
                let verdicts = self.store.run(|reply| Job::Receive {
                    sections: question.sections,
                    reply,
                });
                let verdicts = verdicts.await?;
                Ok(frame(&Sections { verdicts }))
            }
            Fenced::PATH => {
                let (from, question) = self.meant::<Fenced>(caller, body)?;
                let Fenced { partition, grant } = question;
                if let Err(refused) = self.granted(from, PartitionId(partition), grant) {
                    return Ok(frame(&Verdict::<Standing>::Err(refused)));
                }
                let standing = self.store.run(|reply| Job::Fence {
                    partition,
                    grant,
                    reply,
                });
                Ok(frame(&standing.await?))
            }
            Covered::PATH => {
                let (_, question) = self.meant::<Covered>(caller, body)?;
                Ok(frame(&self.covered(&question).await?))
            }
            Recent::PATH => {
                let (_, question) = self.meant::<Recent>(caller, body)?;
                let recent =
                    self.reading(move |store| store.recent(question.partition, question.after));
                Ok(frame(&recent.await?))
            }
            Attach::PATH => {
                let (from, question) = self.meant::<Attach>(caller, body)?;
                Ok(frame(&self.attach(from, &question).await))
            }
            Resume::PATH => {
                let (from, question) = self.meant::<Resume>(caller, body)?;
                Ok(frame(&self.resume(from, &question).await))
            }
            Chunk::PATH => {
                let (_, question) = self.meant::<Chunk>(caller, body)?;
                Ok(frame(&self.chunk(question).await?))
            }
            _ => Err(AnswerError::Unknown),
        }
    }

    /// What a frame says, if it is meant for this node, and who says it.
    fn meant<M: Message>(
        &self,
        caller: Option<&NodeId>,
        body: Bytes,
    ) -> Result<(MemberNumber, M), AnswerError> {
        let envelope: Envelope<M> = unframe(body)?;
        let node = self.node().ok_or(AnswerError::NoNode)?;
        let state = node.state();
        let (genesis, me) = state
            .formed()
            .zip(node.member())
            .ok_or(AnswerError::NoNode)?;
        if (genesis.cluster.0, me.0) != (envelope.cluster, envelope.to) {
            let (to, me) = (envelope.to, me.0);
            return Err(AnswerError::NotMeant { to, me });
        }
        let from = MemberNumber(envelope.from);
        let is_its = |caller: &NodeId| state.member(from).is_some_and(|one| one.node == *caller);
        match caller {
            Some(caller) if !is_its(caller) => Err(AnswerError::NotItsNumber {
                caller: caller.clone(),
                from,
            }),
            _ => Ok((from, envelope.content)),
        }
    }

    /// Whether a grant may be the sender's, by the table that is known here.
    ///
    /// One that is newer than what the table has may be: whom it was granted to is not known here
    /// yet, and refusing it would keep a new primary waiting for this node to hear of it.
    fn granted(&self, from: MemberNumber, partition: PartitionId, grant: Grant) -> Verdict<()> {
        let state = self.node().map(ck_node::Handle::state);
        let known = state.as_ref().and_then(|state| {
            let control = state.partition(partition)?;
            let newest = Grant {
                incarnation: state.incarnation().0,
                epoch: control.epoch.0,
                round: 0,
            };
            Some((newest, control.holder))
        });
        match known {
            Some((newest, _)) if newest.term() > grant.term() => Err(Refused::Fenced { newest }),
            Some((newest, holder))
                if newest.term() == grant.term()
                    && holder.is_none_or(|holder| holder.member != from) =>
            {
                Err(Refused::NotServing)
            }
            _ => Ok(()),
        }
    }

    /// Whether no grant newer than the asked one has been seen.
    async fn covered(self: &Arc<Self>, question: &Covered) -> Result<Verdict<()>, StoreError> {
        let partition = question.partition;
        let meta = self.reading(move |store| store.meta(partition)).await?;
        let newest = meta.unwrap_or_default().fence;
        Ok(if newest > question.grant {
            Err(Refused::Fenced { newest })
        } else {
            Ok(())
        })
    }

    async fn attach(&self, from: MemberNumber, question: &Attach) -> Verdict<Attached> {
        let partition = PartitionId(question.partition);
        let transfer = TransferId(question.transfer);
        let node = self.node().ok_or(Refused::NotServing)?;
        // The target may have heard of its move before the primary has.
        let known = node.applied_until(|state| state.applied().0 >= transfer.0);
        let _ = tokio::time::timeout(HEARS, known).await;
        let state = node.state();
        // Only a move that is known to be under way: one that is over could bring nothing in sync,
        // and would hold every write up for nothing.
        let moved = state.transfer(transfer);
        if moved.is_none_or(|one| one.target.member != from || one.partition != partition) {
            return Err(Refused::NotServing);
        }
        let part = self.part(partition);
        // Nothing from before that move may be taken in for what it brings.
        part.reassess(&state);
        let attempt = question.attempt;
        let how = Attachment { transfer, attempt };
        let attached = part.attach(question.incarnation, question.epoch, from, how);
        let (grant, at) = attached.ok_or(Refused::NotServing)?;
        Ok(Attached { grant, at })
    }

    /// Lets the attached copy have its records, and waits until what was under way before is
    /// everywhere.
    async fn resume(self: &Arc<Self>, from: MemberNumber, question: &Resume) -> Verdict<()> {
        let part = self.part(PartitionId(question.partition));
        let how = Attachment {
            transfer: TransferId(question.transfer),
            attempt: question.attempt,
        };
        let (mut progress, before) = {
            let serving = part.lock();
            let serving = serving
                .as_ref()
                .filter(|serving| serving.grant == question.grant)
                .ok_or(Refused::NotServing)?;
            let before = serving
                .newest_before(from, how)
                .ok_or(Refused::NotServing)?;
            (serving.progress(), before)
        };
        if !part.resume(question.grant, from, how) {
            return Err(Refused::NotServing);
        }
        self.peer(from).wake(part.id);
        let settled = progress.wait_for(|now| !now.open || now.committed >= before);
        match tokio::time::timeout(SETTLES, settled).await {
            Ok(Ok(now)) if now.open => Ok(()),
            Ok(_) => Err(Refused::NotServing),
            Err(_) => Err(Refused::Busy),
        }
    }

    /// A stretch of this copy, for one that is being made.
    async fn chunk(self: &Arc<Self>, question: Chunk) -> Result<Verdict<Chunked>, StoreError> {
        if let Some(grant) = question.grant {
            let part = self.part(PartitionId(question.partition));
            let serves = part.lock().as_ref().is_some_and(|now| now.grant == grant);
            if !serves {
                return Ok(Err(Refused::NotServing));
            }
        }
        let compared = self.reading(move |store| {
            let (start, end) = (question.start.as_ref(), question.end.as_ref());
            store.compare(question.partition, start, end, question.digest)
        });
        Ok(Ok(compared.await?))
    }
}
