//! Sending to one member: one batch under way, over all partitions that have something for it.

mod courier;

pub(crate) use courier::{AskError, FRAME_BYTES_MAX, PEER_PATH};

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ck_node::{MemberNumber, PartitionId};
use ck_serve::CourierError;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::kv::Core;
use crate::planted::Bug;
use crate::wire::{Append, Refused, Section};

/// Bytes of a batch, about; one record may be larger.
const BATCH_BYTES: usize = 1 << 20;

/// Time a member has for a batch.
const SILENCE: Duration = Duration::from_millis(1_500);

/// A member that errs for so long is taken out of sync where something waits for it.
const ERRORS: Duration = Duration::from_millis(500);

/// Pause after a failure, doubled by each in a row up to the longest.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(160);

/// What is to be sent to one member.
#[derive(Debug)]
pub(crate) struct Peer {
    member: MemberNumber,
    /// Partitions that have something for it.
    waiting: Mutex<BTreeSet<u32>>,
    wake: Notify,
    task: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Peer {
    /// Begins to send to a member.
    pub(crate) fn start(core: &Arc<Core>, member: MemberNumber) -> Arc<Self> {
        let peer = Arc::new(Self {
            member,
            waiting: Mutex::default(),
            wake: Notify::new(),
            task: Mutex::new(None),
        });
        let sender = Sender {
            core: Arc::downgrade(core),
            peer: Arc::clone(&peer),
            failing: None,
            next: 0,
        };
        let task = tokio::spawn(sender.run());
        *peer.task.lock() = Some(task.abort_handle());
        peer
    }

    /// A partition has something for it.
    pub(crate) fn wake(&self, partition: PartitionId) {
        self.waiting.lock().insert(partition.0);
        self.wake.notify_one();
    }

    /// The member is none any more.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Failures in a row.
#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Instant,
    pause: Duration,
}

struct Sender {
    core: Weak<Core>,
    peer: Arc<Peer>,
    failing: Option<Failing>,
    /// The partition the next batch begins with.
    next: u32,
}

impl Sender {
    async fn run(mut self) {
        loop {
            self.peer.wake.notified().await;
            if Bug::LostWrite.is_on() {
                tokio::time::sleep(LATE).await;
            }
            loop {
                let Some(core) = self.core.upgrade() else {
                    return;
                };
                let sections = self.collect(&core);
                if sections.is_empty() {
                    break;
                }
                self.deliver(&core, sections).await;
            }
        }
    }

    /// As much as fits into a batch, beginning behind the partition that came last. A partition that
    /// may have more stays in the list.
    fn collect(&mut self, core: &Arc<Core>) -> Vec<Section> {
        let mut waiting = std::mem::take(&mut *self.peer.waiting.lock());
        let behind = waiting.split_off(&self.next);
        let mut sections = Vec::new();
        let mut left = Vec::new();
        let mut bytes = 0;
        for partition in behind.into_iter().chain(waiting) {
            if bytes >= BATCH_BYTES || sections.len() >= SECTIONS_MAX {
                left.push(partition);
                continue;
            }
            let part = core.part(PartitionId(partition));
            if let Some(section) = part.take(self.peer.member, BATCH_BYTES - bytes) {
                bytes += section
                    .records
                    .iter()
                    .map(|one| one.weight())
                    .sum::<usize>();
                sections.push(section);
                left.push(partition);
                self.next = partition + 1;
            }
        }
        self.peer.waiting.lock().extend(left);
        sections
    }

    async fn deliver(&mut self, core: &Arc<Core>, sections: Vec<Section>) {
        let sent: Vec<_> = sections
            .iter()
            .map(|one| (one.partition, one.grant))
            .collect();
        let size: usize = sections
            .iter()
            .flat_map(|one| &one.records)
            .map(|one| one.weight())
            .sum();
        // A large batch takes its time on a slow disk.
        let within = SILENCE + Duration::from_millis(size as u64 >> 12);
        let append = Append { sections };
        let reply = core.ask(self.peer.member, append, within);
        match reply.await {
            Ok(reply) if reply.verdicts.len() == sent.len() => {
                self.failing = None;
                let mut busy = false;
                for ((partition, grant), verdict) in sent.into_iter().zip(reply.verdicts) {
                    let part = core.part(PartitionId(partition));
                    match verdict {
                        Ok(ack) => part.acked(grant, self.peer.member, ack.position),
                        Err(why) => {
                            busy |= why == Refused::Busy;
                            if part.not_acked(grant, self.peer.member, why) {
                                core.take_out_if_lagging(&part, self.peer.member);
                            } else {
                                self.peer.wake(part.id);
                            }
                        }
                    }
                }
                if busy {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Ok(_) => self.failed(core, &sent, &AskError::Malformed).await,
            Err(error) => self.failed(core, &sent, &error).await,
        }
    }

    async fn failed(
        &mut self,
        core: &Arc<Core>,
        sent: &[(u32, crate::stamp::Grant)],
        error: &AskError,
    ) {
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: Instant::now(),
            pause: PAUSE,
        });
        tracing::debug!(member = %self.peer.member, %error, "a batch was not answered");
        let pause = failing.pause;
        failing.pause = (pause * 2).min(PAUSE_MAX);
        let silent = matches!(error, AskError::Courier(CourierError::Silent { .. }));
        let too_long = silent || failing.since.elapsed() >= ERRORS;
        for (partition, _) in sent {
            let part = core.part(PartitionId(*partition));
            part.rewind(self.peer.member);
            self.peer.wake(part.id);
        }
        if too_long {
            for part in core.parts() {
                core.take_out_if_lagging(&part, self.peer.member);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// How much later records are sent where they are acknowledged before.
const LATE: Duration = Duration::from_millis(400);

/// Partitions in one batch.
const SECTIONS_MAX: usize = 256;
