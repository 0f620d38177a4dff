//! What a primary keeps in memory of the tasks of one partition: where each stands, and which comes
//! next. Of tasks from before its grant it counts those whose turn has not come (`backlog`). It holds no payload, writes nothing and reads no clock, so it is tested by itself.
//!
//! A change of a task goes in three steps: it is *begun* here, which keeps everybody else off it;
//! its record is written; then it is *put* as it was written, or *given back* when nothing was.

mod backlog;
mod phase;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use ck_kv::Stamp;

use crate::name::{QueueName, Receipt};
use crate::record::{DeadReason, Head};

pub(crate) use backlog::Backlog;
pub(crate) use phase::Phase;

/// Tasks that are done, and remembered for their idempotency keys, in one partition.
pub(crate) const DONE_MAX: usize = 1_024;

/// Tasks one partition keeps. What is kept of each in memory is some 200 bytes.
pub(crate) const TASKS_MAX: usize = 1 << 20;

/// A task that somebody has begun to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) number: u64,
    pub(crate) queue: QueueName,
    /// The record that is changed.
    pub(crate) stamp: Stamp,
    pub(crate) head: Head,
}

/// Why a task cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such task")]
    Unknown,
    #[error("it is not leased")]
    NotLeased,
    #[error("another lease has begun since, or it was given back")]
    Superseded,
    #[error("it is not dead")]
    NotDead,
    #[error("it is being changed")]
    Busy,
}

/// How many tasks of a queue there are, by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counts {
    pub(crate) ready: u64,
    pub(crate) delayed: u64,
    pub(crate) leased: u64,
    pub(crate) dead: u64,
}

/// A dead task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) number: u64,
    pub(crate) attempts: u32,
    pub(crate) reason: DeadReason,
}

#[derive(Debug)]
struct Entry {
    queue: QueueName,
    stamp: Stamp,
    head: Head,
    phase: Phase,
    /// Somebody has begun to change it, so it is in none of the lists.
    begun: bool,
}

/// One queue's share of the partition.
#[derive(Debug, Default)]
struct Lists {
    ready: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    counts: Counts,
}

/// The tasks of one partition.
#[derive(Debug, Default)]
pub(crate) struct Index {
    tasks: BTreeMap<u64, Entry>,
    queues: BTreeMap<QueueName, Lists>,
    /// When a delay or a lease ends.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Leased as often as may be, and the last lease has run out.
    spent: BTreeSet<u64>,
    done: BTreeSet<u64>,
    /// What is in the store alone.
    backlog: Backlog,
    /// Tasks by what their producers repeat them under; absent number: on its way.
    remembered: HashMap<(QueueName, Bytes), Option<u64>>,
}

/// What an enqueue under an idempotency key finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing. From now on it is on its way.
    First,
    /// The same one is on its way.
    UnderWay,
    /// This task, done perhaps.
    Known(u64),
}

impl Index {
    /// Takes in a task as it was written, new or changed; its delay or lease begins now.
    pub(crate) fn put(
        &mut self,
        number: u64,
        queue: &QueueName,
        stamp: Stamp,
        head: Head,
        now: Instant,
    ) {
        self.remove(number);
        if let Some(key) = &head.idempotency {
            let key = (queue.clone(), key.clone());
            self.remembered.insert(key, Some(number));
        }
        let entry = Entry {
            queue: queue.clone(),
            stamp,
            phase: Phase::of(head.kept, now),
            head,
            begun: false,
        };
        let lists = self.queues.entry(queue.clone()).or_default();
        if let Some(count) = entry.phase.count(&mut lists.counts) {
            *count += 1;
        }
        self.tasks.insert(number, entry);
        self.link(number);
    }

    /// Forgets a task that is not kept any more.
    pub(crate) fn remove(&mut self, number: u64) {
        self.unlink(number);
        let Some(entry) = self.tasks.remove(&number) else {
            return;
        };
        if let Some(lists) = self.queues.get_mut(&entry.queue) {
            if let Some(count) = entry.phase.count(&mut lists.counts) {
                *count -= 1;
            }
            if lists.counts == Counts::default() {
                self.queues.remove(&entry.queue);
            }
        }
        if let Some(key) = entry.head.idempotency {
            self.remembered.remove(&(entry.queue, key));
        }
    }

    /// What was begun has not been written: it stands where it stood.
    pub(crate) fn give_back(&mut self, number: u64) {
        if let Some(entry) = self.tasks.get_mut(&number) {
            entry.begun = false;
        }
        self.link(number);
    }

    /// Begins to lease the oldest ready tasks of a queue, `most` at most.
    pub(crate) fn begin_lease(
        &mut self,
        queue: &QueueName,
        most: usize,
        now: Instant,
    ) -> Vec<Begun> {
        self.advance(now);
        let Some(lists) = self.queues.get(queue) else {
            return Vec::new();
        };
        let numbers: Vec<_> = lists.ready.iter().copied().take(most).collect();
        self.begin_all(&numbers)
    }

    /// Begins to change a task in the name of a receipt.
    pub(crate) fn begin_of(&mut self, number: u64, receipt: Receipt) -> Result<Begun, Refusal> {
        let entry = self.known(number)?;
        let held = match entry.phase {
            Phase::Leased { receipt, .. } | Phase::Lapsed { receipt } => Some(receipt),
            _ => None,
        };
        match held {
            _ if entry.begun => Err(Refusal::Busy),
            Some(held) if held == receipt => self.begin(number).ok_or(Refusal::Unknown),
            None if entry.head.attempts == 0 => Err(Refusal::NotLeased),
            _ => Err(Refusal::Superseded),
        }
    }

    /// Begins to change a dead task.
    pub(crate) fn begin_dead(&mut self, number: u64) -> Result<Begun, Refusal> {
        let entry = self.known(number)?;
        match entry.phase {
            _ if entry.begun => Err(Refusal::Busy),
            Phase::Dead { .. } => self.begin(number).ok_or(Refusal::Unknown),
            _ => Err(Refusal::NotDead),
        }
    }

    /// Begins to make dead what was leased as often as may be, `most` at most.
    pub(crate) fn begin_spent(&mut self, most: usize) -> Vec<Begun> {
        let numbers: Vec<_> = self.spent.iter().copied().take(most).collect();
        self.begin_all(&numbers)
    }

    /// Begins to forget what was done longest ago, `most` at most, beyond those that are remembered.
    pub(crate) fn begin_forgetting(&mut self, most: usize) -> Vec<Begun> {
        let beyond = self.done_len().saturating_sub(DONE_MAX).min(most);
        let numbers: Vec<_> = self.done.iter().copied().take(beyond).collect();
        self.begin_all(&numbers)
    }

    /// Whether there is something to make dead or to forget.
    pub(crate) fn is_behind(&self) -> bool {
        !self.spent.is_empty() || self.done_len() > DONE_MAX
    }

    /// Ends the delays and leases whose time is up. Returns the queues that have more ready tasks.
    pub(crate) fn advance(&mut self, now: Instant) -> BTreeSet<QueueName> {
        let mut queues = BTreeSet::new();
        while let Some((_, number)) = self.deadlines.first().copied().filter(|one| one.0 <= now) {
            self.unlink(number);
            let Some(entry) = self.tasks.get_mut(&number) else {
                continue;
            };
            let lists = self.queues.entry(entry.queue.clone()).or_default();
            if let Some(count) = entry.phase.count(&mut lists.counts) {
                *count -= 1;
            }
            entry.phase = entry.phase.ended();
            if let Some(count) = entry.phase.count(&mut lists.counts) {
                *count += 1;
            }
            queues.insert(entry.queue.clone());
            self.link(number);
        }
        queues
    }

    /// What an enqueue under a key finds.
    pub(crate) fn repeat(&mut self, queue: &QueueName, key: &Bytes) -> Repeat {
        match self.remembered.entry((queue.clone(), key.clone())) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(None);
                Repeat::First
            }
            std::collections::hash_map::Entry::Occupied(found) => {
                found.get().map_or(Repeat::UnderWay, Repeat::Known)
            }
        }
    }

    /// The enqueue that was on its way under a key came to nothing.
    pub(crate) fn unrepeat(&mut self, queue: &QueueName, key: &Bytes) {
        let key = (queue.clone(), key.clone());
        if self.remembered.get(&key) == Some(&None) {
            self.remembered.remove(&key);
        }
    }

    /// Whether a queue has a task for a worker.
    pub(crate) fn has_ready(&mut self, queue: &QueueName, now: Instant) -> bool {
        self.advance(now);
        let lists = self.queues.get(queue);
        lists.is_some_and(|lists| !lists.ready.is_empty())
            || self.backlog.share(queue).counts.ready > 0
    }

    /// How many tasks of a queue there are.
    pub(crate) fn counts(&mut self, queue: &QueueName, now: Instant) -> Counts {
        self.advance(now);
        let lists = self.queues.get(queue);
        let here = lists.map(|lists| lists.counts).unwrap_or_default();
        here + self.backlog.share(queue).counts
    }

    /// The oldest dead tasks of a queue, `most` at most.
    pub(crate) fn dead(&self, queue: &QueueName, most: usize) -> Vec<Dead> {
        let lists = self.queues.get(queue).into_iter();
        let numbers = lists.flat_map(|lists| &lists.dead).take(most);
        let shown = numbers.filter_map(|number| {
            let entry = self.tasks.get(number)?;
            let Phase::Dead { reason } = entry.phase else {
                return None;
            };
            Some(Dead {
                number: *number,
                attempts: entry.head.attempts,
                reason,
            })
        });
        shown.collect()
    }

    /// Queue and phase of a task.
    pub(crate) fn look(
        &mut self,
        number: u64,
        now: Instant,
    ) -> Result<(QueueName, Phase), Refusal> {
        self.advance(now);
        let entry = self.known(number)?;
        Ok((entry.queue.clone(), entry.phase))
    }

    /// A task that is there for who asks from outside.
    fn known(&self, number: u64) -> Result<&Entry, Refusal> {
        let entry = self.tasks.get(&number);
        entry
            .filter(|entry| entry.phase != Phase::Done)
            .ok_or(Refusal::Unknown)
    }

    fn begin_all(&mut self, numbers: &[u64]) -> Vec<Begun> {
        numbers.iter().filter_map(|one| self.begin(*one)).collect()
    }

    fn begin(&mut self, number: u64) -> Option<Begun> {
        self.unlink(number);
        let entry = self.tasks.get_mut(&number)?;
        entry.begun = true;
        Some(Begun {
            number,
            queue: entry.queue.clone(),
            stamp: entry.stamp,
            head: entry.head.clone(),
        })
    }

    /// Enters a task in the list of its phase.
    fn link(&mut self, number: u64) {
        let Some(entry) = self.tasks.get(&number).filter(|entry| !entry.begun) else {
            return;
        };
        let lists = self.queues.get_mut(&entry.queue);
        match entry.phase {
            Phase::Delayed { until } | Phase::Leased { until, .. } => {
                self.deadlines.insert((until, number));
            }
            Phase::Lapsed { .. } if entry.head.attempts >= entry.head.attempts_max => {
                self.spent.insert(number);
            }
            Phase::Ready | Phase::Lapsed { .. } => {
                lists.map(|lists| lists.ready.insert(number));
            }
            Phase::Dead { .. } => {
                lists.map(|lists| lists.dead.insert(number));
            }
            Phase::Done => {
                self.done.insert(number);
            }
        }
    }

    /// Takes a task out of whatever list it is in.
    fn unlink(&mut self, number: u64) {
        let Some(entry) = self.tasks.get(&number) else {
            return;
        };
        if let Phase::Delayed { until } | Phase::Leased { until, .. } = entry.phase {
            self.deadlines.remove(&(until, number));
        }
        if let Some(lists) = self.queues.get_mut(&entry.queue) {
            lists.ready.remove(&number);
            lists.dead.remove(&number);
        }
        self.spent.remove(&number);
        self.done.remove(&number);
    }
}

#[cfg(test)]
mod tests;
