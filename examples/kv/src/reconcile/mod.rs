//! What a new primary does before it serves: brings every copy that is in sync to the same record.
//!
//! Copies in sync hold prefixes of one line of records: each took them in order from one primary at
//! a time. So the longest of them has everything that any has; the others lack its newest records,
//! which it keeps in its list of those that may not be everywhere. Once all in sync are fenced at
//! the new grant and stand at the same record, the first record of the new grant may be made, and
//! not before: two lines never grow from one place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_node::{FencingToken, Handle, HandlerError, MemberNumber, PartitionId, SessionId};

use crate::exclude::ExcludeError;
use crate::kv::Core;
use crate::part::{Lag, Part, Serving};
use crate::peer::AskError;
use crate::stamp::{Grant, Stamp};
use crate::store::{Job, StoreError};
use crate::wire::{Append, Fenced, Recent, Refused, Section, Standing, Verdict};

/// Time a member in sync has to answer; then it is taken out of sync.
const ANSWER: Duration = Duration::from_millis(1_000);

/// Time for one question within that.
const QUESTION: Duration = Duration::from_millis(600);

/// Between two questions to one member.
const PAUSE: Duration = Duration::from_millis(50);

/// Time a member has to take the records it lacks, or to hand them out.
const CARRY: Duration = Duration::from_secs(5);

/// Why a partition is not served yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The grant is another's by now.
    #[error("the grant {token} is not this node's any more")]
    Past { token: FencingToken },
    /// A copy has seen a newer grant.
    #[error("member {member} does not take the grant {grant}: {source}")]
    Refused {
        member: MemberNumber,
        grant: Grant,
        source: Refused,
    },
    /// The records this copy lacks are nowhere to be had.
    #[error(
        "this copy of {partition} stands at {here}, member {member} at {there}, and the records between are not kept: this copy is not what it was, take the node out with `ck remove` and start it with an empty directory"
    )]
    Lacks {
        partition: PartitionId,
        here: Stamp,
        member: MemberNumber,
        there: Stamp,
    },
    /// The longest copy could not be asked for its records.
    #[error(
        "member {member} has records that this copy lacks, and does not hand them out: {source}"
    )]
    Unheard {
        member: MemberNumber,
        source: AskError,
    },
    /// A member does not answer, and cannot be taken out of sync.
    #[error("member {member} does not answer, and stays in sync: {source}")]
    Stuck {
        member: MemberNumber,
        source: ExcludeError,
    },
    /// This node's own store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A member in sync and where its copy stands.
struct Copy {
    member: MemberNumber,
    standing: Standing,
}

/// One reconciliation.
struct Round<'a> {
    core: &'a Arc<Core>,
    node: &'a Handle,
    partition: PartitionId,
    part: &'a Part,
    token: FencingToken,
    session: SessionId,
    grant: Grant,
}

impl Core {
    /// Brings all copies in sync to one record and begins to serve. Idempotent: at the same token
    /// it begins another round.
    pub(crate) async fn become_primary(
        self: &Arc<Self>,
        node: &Handle,
        token: FencingToken,
    ) -> Result<(), HandlerError> {
        let partition = token.partition;
        let part = self.part(partition);
        let _turn = part.reconciling.lock().await;
        part.end();
        let past = || ReconcileError::Past { token };
        let state = node.state();
        let control = state.partition(partition).ok_or_else(past)?;
        let holder = control.holder.ok_or_else(past)?;
        if control.epoch != token.epoch || Some(holder.member) != node.member() {
            return Err(past().into());
        }
        let round = Round {
            core: self,
            node,
            partition,
            part: &part,
            token,
            session: holder.session,
            grant: Grant {
                incarnation: token.incarnation.0,
                epoch: token.epoch.0,
                round: self.next_round(),
            },
        };
        let (at, in_sync) = round.run(holder.member).await?;
        let serving = Serving::new(
            round.grant,
            token,
            round.session,
            holder.member,
            at,
            &in_sync,
            self.config.replication,
        );
        part.begin(serving, || node.state());
        Ok(())
    }

    /// Serves a partition anew that this node may act on and does not serve: its lease lapsed and
    /// came back while the node was told to serve, or a record was not written.
    pub(crate) fn resume_serving(self: &Arc<Self>, node: &Handle, part: &Arc<Part>) {
        if part.lock().is_some() || part.rests() || part.reconciling.try_lock().is_err() {
            return;
        }
        let Ok(own) = node.acquire(part.id) else {
            return;
        };
        let (core, node, part) = (Arc::clone(self), node.clone(), Arc::clone(part));
        tokio::spawn(async move {
            let token = own.token();
            if let Err(error) = core.become_primary(&node, token).await {
                tracing::warn!(%token, %error, "cannot serve anew yet");
                part.rest();
            }
        });
    }
}

impl Round<'_> {
    /// Where all copies in sync stand in the end, and whose they are.
    async fn run(&self, me: MemberNumber) -> Result<(Stamp, Vec<MemberNumber>), ReconcileError> {
        // First of all: nothing of an earlier grant or round is in this copy's queue behind this.
        let mut here = self.fence_here(me).await?;
        self.leave_out_joining().await?;
        let copies = self.fence_others(me).await?;
        if let Some(longest) = copies.iter().max_by_key(|copy| copy.standing.position)
            && longest.standing.position > here.position
        {
            here = self.take_over(&here, longest).await?;
        }
        let mut in_sync = vec![me];
        let mut bringing = tokio::task::JoinSet::new();
        for copy in copies {
            if copy.standing.position == here.position {
                in_sync.push(copy.member);
                continue;
            }
            let (core, append) = (Arc::clone(self.core), self.missing(&here, &copy).await?);
            let member = copy.member;
            bringing.spawn(async move {
                let Some(append) = append else {
                    return (member, false);
                };
                let reply = core.ask(member, append, CARRY).await;
                let brought = reply.is_ok_and(|reply| reply.verdicts.iter().all(Result::is_ok));
                (member, brought)
            });
        }
        while let Some(brought) = bringing.join_next().await {
            match brought {
                Ok((member, true)) => in_sync.push(member),
                Ok((member, false)) => self.take_out(member).await?,
                Err(_) => return Err(ReconcileError::Past { token: self.token }),
            }
        }
        in_sync.sort_unstable();
        Ok((here.position, in_sync))
    }

    async fn fence_here(&self, me: MemberNumber) -> Result<Standing, ReconcileError> {
        let (partition, grant) = (self.partition.0, self.grant);
        let fenced = self.core.store.run(|reply| Job::Fence {
            partition,
            grant,
            reply,
        });
        fenced.await?.map_err(|source| ReconcileError::Refused {
            member: me,
            grant,
            source,
        })
    }

    /// Takes out whoever attached in an earlier round of this epoch. That such a copy has caught up is
    /// reported for the epoch, so it could come to be in sync without what is written in this round.
    async fn leave_out_joining(&self) -> Result<(), ReconcileError> {
        for member in self.part.joining(self.token) {
            self.take_out(member).await?;
            self.part.left_out(self.token, member);
        }
        Ok(())
    }

    /// Fences every other copy in sync; whoever does not answer is taken out.
    async fn fence_others(&self, me: MemberNumber) -> Result<Vec<Copy>, ReconcileError> {
        let in_sync = self.in_sync()?;
        let mut asking = tokio::task::JoinSet::new();
        for member in in_sync.into_iter().filter(|member| *member != me) {
            let (core, partition, grant) = (Arc::clone(self.core), self.partition.0, self.grant);
            asking.spawn(async move {
                let standing = ask_until(&core, member, Fenced { partition, grant }).await;
                (member, standing)
            });
        }
        let mut copies = Vec::new();
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok((member, Some(Ok(standing)))) => copies.push(Copy { member, standing }),
                Ok((member, Some(Err(source @ Refused::Fenced { .. })))) => {
                    let grant = self.grant;
                    return Err(ReconcileError::Refused {
                        member,
                        grant,
                        source,
                    });
                }
                Ok((member, _)) => self.take_out(member).await?,
                Err(_) => return Err(ReconcileError::Past { token: self.token }),
            }
        }
        Ok(copies)
    }

    fn in_sync(&self) -> Result<Vec<MemberNumber>, ReconcileError> {
        let state = self.node.state();
        let control = state.partition(self.partition);
        let control = control.filter(|control| {
            control.epoch == self.token.epoch
                && control
                    .holder
                    .is_some_and(|one| one.session == self.session)
        });
        let token = self.token;
        control
            .map(|control| control.in_sync.clone())
            .ok_or(ReconcileError::Past { token })
    }

    /// Takes over the records that another copy has beyond this one's.
    async fn take_over(&self, here: &Standing, longest: &Copy) -> Result<Standing, ReconcileError> {
        let member = longest.member;
        let lacks = || ReconcileError::Lacks {
            partition: self.partition,
            here: here.position,
            member,
            there: longest.standing.position,
        };
        let question = Recent {
            partition: self.partition.0,
            grant: self.grant,
            after: here.position,
        };
        let answer = self.core.ask(member, question, CARRY);
        let records = match answer.await {
            Ok(Ok(records)) => records,
            Ok(Err(_)) => return Err(lacks()),
            Err(source) => return Err(ReconcileError::Unheard { member, source }),
        };
        let section = Section {
            partition: self.partition.0,
            grant: self.grant,
            after: here.position,
            records,
            stable: 0,
        };
        let received = self.core.store.run(|reply| Job::Receive {
            sections: vec![section],
            reply,
        });
        if received.await?.iter().any(Result::is_err) {
            return Err(lacks());
        }
        let partition = self.partition.0;
        let meta = self.core.reading(move |store| store.meta(partition));
        let meta = meta.await?.unwrap_or_default();
        if meta.position != longest.standing.position {
            return Err(lacks());
        }
        Ok(meta.standing())
    }

    /// What brings a copy to where this one stands; `None` when that is not kept any more.
    async fn missing(
        &self,
        here: &Standing,
        copy: &Copy,
    ) -> Result<Option<Append>, ReconcileError> {
        let (partition, after) = (self.partition.0, copy.standing.position);
        let recent = self
            .core
            .reading(move |store| store.recent(partition, after));
        Ok(recent.await?.ok().map(|records| Append {
            sections: vec![Section {
                partition: self.partition.0,
                grant: self.grant,
                after: copy.standing.position,
                records,
                stable: here.stable,
            }],
        }))
    }

    async fn take_out(&self, member: MemberNumber) -> Result<(), ReconcileError> {
        let lag = Lag {
            member,
            token: self.token,
            grant: self.grant,
        };
        self.core
            .take_out(&lag)
            .await
            .map_err(|source| ReconcileError::Stuck { member, source })
    }
}

/// Asks a member to fence its copy until it answers, at most for [`ANSWER`].
async fn ask_until(
    core: &Core,
    member: MemberNumber,
    question: Fenced,
) -> Option<Verdict<Standing>> {
    let begun = Instant::now();
    loop {
        match core.ask(member, question.clone(), QUESTION).await {
            Ok(verdict) => return Some(verdict),
            Err(error) if begun.elapsed() + PAUSE >= ANSWER => {
                tracing::warn!(%member, %error, "a copy in sync does not answer");
                return None;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests;
