//! The calls of the handler: which run, which wait for room, and in which order they get it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use ck_core::PartitionId;

use crate::agent::{AgentOutput, Call, CallId};

/// What one node asks of its handler at once, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlerLimits {
    /// Most calls of `become_primary` that run at a time, most of `prepare` and `catch_up` together, and
    /// most of `become_replica` and `clean_up` together, 1 or more; further ones wait, first come, first
    /// served. Default 64.
    ///
    /// Apart, so that copies that hang keep nothing from being served, and clean-ups that hang, which
    /// have no deadline, keep nothing from being copied. `release` and `lease_lost` are not counted and
    /// wait for nobody: others wait for them.
    pub calls_max: u32,
    /// Time after which a `become_primary` that has not returned is cancelled, counts as failed, and
    /// is made again, with back-off. Default 30 s.
    ///
    /// Its partition has no primary meanwhile. Longer than the longest an honest one takes.
    pub become_primary: Duration,
}

impl Default for HandlerLimits {
    fn default() -> Self {
        Self {
            calls_max: 64,
            become_primary: Duration::from_secs(30),
        }
    }
}

/// Calls that share their room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Serving,
    Copying,
    Rest,
}

/// Who runs and who waits in one lane.
#[derive(Debug, Clone, Default)]
struct Queue {
    running: u32,
    /// In their order; one that has stopped waiting keeps its place until it is its turn.
    waiting: VecDeque<PartitionId>,
    waits: BTreeSet<PartitionId>,
}

/// Calls that run, and partitions that wait to make one.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) limits: HandlerLimits,
    newest: u64,
    running: BTreeMap<CallId, (PartitionId, Option<Lane>)>,
    queues: BTreeMap<Lane, Queue>,
}

impl Line {
    pub(super) const fn new(limits: HandlerLimits) -> Self {
        Self {
            limits,
            newest: 0,
            running: BTreeMap::new(),
            queues: BTreeMap::new(),
        }
    }

    /// Whether a call may be made now: it is not counted, or there is room and nobody came before.
    pub(super) fn admits(&self, call: Call, is_first: bool) -> bool {
        let queue = lane(call).and_then(|lane| self.queues.get(&lane));
        queue.is_none_or(|queue| {
            queue.running < self.limits.calls_max && (is_first || queue.waiting.is_empty())
        })
    }

    /// A partition waits for room in a lane.
    pub(super) fn wait(&mut self, partition: PartitionId, lane: Lane) {
        let queue = self.queues.entry(lane).or_default();
        if queue.waits.insert(partition) {
            queue.waiting.push_back(partition);
        }
    }

    /// The first that waits, where there is room for it.
    pub(super) fn next(&mut self) -> Option<(PartitionId, Lane)> {
        let max = self.limits.calls_max;
        let mut roomy = self.queues.iter_mut().filter(|(_, one)| one.running < max);
        roomy.find_map(|(lane, queue)| {
            let partition = queue.waiting.pop_front()?;
            queue.waits.remove(&partition);
            Some((partition, *lane))
        })
    }

    /// Makes a call.
    pub(super) fn begin(
        &mut self,
        partition: PartitionId,
        call: Call,
        outputs: &mut VecDeque<AgentOutput>,
    ) -> CallId {
        self.newest += 1;
        let (id, lane) = (CallId(self.newest), lane(call));
        if let Some(lane) = lane {
            self.queues.entry(lane).or_default().running += 1;
        }
        self.running.insert(id, (partition, lane));
        outputs.push_back(AgentOutput::Call {
            id,
            partition,
            call,
        });
        id
    }

    /// A call has ended; tells whose it was.
    pub(super) fn ended(&mut self, id: CallId) -> Option<PartitionId> {
        let (partition, lane) = self.running.remove(&id)?;
        if let Some(queue) = lane.and_then(|lane| self.queues.get_mut(&lane)) {
            queue.running -= 1;
        }
        Some(partition)
    }
}

/// The lane of a call; `None` when it waits for nobody.
pub(super) const fn lane(call: Call) -> Option<Lane> {
    match call {
        Call::Release { .. } => None,
        Call::BecomePrimary { .. } => Some(Lane::Serving),
        Call::Prepare { .. } | Call::CatchUp { .. } => Some(Lane::Copying),
        Call::BecomeReplica | Call::CleanUp => Some(Lane::Rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberNumber, TransferId};

    /// A clean-up has no deadline: one that hangs keeps others of its kind waiting, and nothing else.
    #[test]
    fn clean_ups_that_hang_keep_nothing_from_being_copied_or_served() {
        let mut line = Line::new(HandlerLimits {
            calls_max: 1,
            ..HandlerLimits::default()
        });
        let mut outputs = VecDeque::new();
        line.begin(PartitionId(0), Call::CleanUp, &mut outputs);
        assert!(!line.admits(Call::BecomeReplica, false));
        let copying = Call::Prepare {
            transfer: TransferId(1),
            source: MemberNumber(2),
        };
        assert!(line.admits(copying, false));
        line.begin(PartitionId(1), copying, &mut outputs);
        assert!(!line.admits(copying, false));
        let serving = Call::BecomePrimary {
            token: crate::FencingToken {
                incarnation: crate::Incarnation(1),
                partition: PartitionId(2),
                epoch: ck_core::Epoch(1),
            },
        };
        assert!(line.admits(serving, false));
    }
}
