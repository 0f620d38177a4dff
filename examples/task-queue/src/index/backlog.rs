//! The tasks that the store has and that are not in memory yet: a new primary counts them, and reads
//! one when its turn has come.
//!
//! Whoever changes a task has it in memory first, so what is here stands in the store as it stood when
//! the role began.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_kv::Stamp;

use super::{Counts, Index};
use crate::marks::{ALL, DONE, Of, TIMED};
use crate::name::QueueName;
use crate::record::{Head, Kept};

/// What of a queue is not in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) counts: Counts,
    /// The last ready task that was read in order, and the last dead one; 0 for none.
    pub(crate) ready_read: u64,
    pub(crate) dead_read: u64,
}

/// What is not in memory.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Numbers from here on were given since: those tasks are in memory.
    horizon: u64,
    pub(super) queues: BTreeMap<QueueName, Share>,
    /// Tasks that are not in memory.
    pub(super) tasks: u64,
    /// Of those, what is done, and the last that was read in order.
    pub(crate) done: u64,
    pub(crate) done_read: u64,
    /// Of those, what is delayed or leased, and the place of the last that was read in order.
    pub(crate) timed: u64,
    pub(crate) timed_read: Bytes,
    /// How long after the role began the next of them is due, as far as that is known.
    pub(crate) due_next: Duration,
    /// Numbers that were read, also of tasks that are gone since: none is read twice.
    read: BTreeSet<u64>,
}

impl Backlog {
    /// As the store counts its groups of marks.
    pub(crate) fn new(groups: &[(Bytes, u64)], horizon: u64) -> Self {
        let mut backlog = Self {
            horizon,
            ..Self::default()
        };
        for (group, count) in groups {
            match &**group {
                ALL => backlog.tasks = *count,
                DONE => backlog.done = *count,
                TIMED => backlog.timed = *count,
                other => {
                    if let Some((of, queue)) = Of::read(other)
                        && of != Of::Repeated
                    {
                        let share = backlog.queues.entry(queue).or_default();
                        *share.counts.of(of) = *count;
                    }
                }
            }
        }
        backlog
    }

    /// Tasks that are not in memory.
    pub(crate) const fn len(&self) -> u64 {
        self.tasks
    }

    /// Whether a task may be among these.
    pub(crate) fn may_have(&self, number: u64) -> bool {
        self.tasks > 0 && number < self.horizon && !self.read.contains(&number)
    }

    /// A task is in memory from now on. False when it was before, or is none of these.
    pub(super) fn take(&mut self, number: u64, queue: &QueueName, head: &Head) -> bool {
        if !self.may_have(number) {
            return false;
        }
        self.read.insert(number);
        self.tasks = self.tasks.saturating_sub(1);
        let of = match head.kept {
            Kept::Ready => Of::Ready,
            Kept::Delayed { .. } => Of::Delayed,
            Kept::Leased { .. } => Of::Leased,
            Kept::Dead { .. } => Of::Dead,
            Kept::Done => {
                self.done = self.done.saturating_sub(1);
                return true;
            }
        };
        if matches!(of, Of::Delayed | Of::Leased) {
            self.timed = self.timed.saturating_sub(1);
        }
        if let Some(share) = self.queues.get_mut(queue) {
            let count = share.counts.of(of);
            *count = count.saturating_sub(1);
            if share.counts == Counts::default() {
                self.queues.remove(queue);
            }
        }
        true
    }

    /// What of a queue is not in memory.
    pub(crate) fn share(&self, queue: &QueueName) -> Share {
        self.queues.get(queue).copied().unwrap_or_default()
    }

    pub(crate) fn share_mut(&mut self, queue: &QueueName) -> Option<&mut Share> {
        self.queues.get_mut(queue)
    }
}

impl Index {
    /// Nothing is in memory yet.
    pub(crate) fn new(backlog: Backlog) -> Self {
        Self {
            backlog,
            ..Self::default()
        }
    }

    pub(crate) const fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(crate) const fn backlog_mut(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    /// Takes in a task as the store has it, unless it was read before. Its delay or lease began then.
    pub(crate) fn load(
        &mut self,
        number: u64,
        queue: &QueueName,
        stamp: Stamp,
        head: Head,
        began: Instant,
    ) {
        if self.backlog.take(number, queue, &head) {
            self.put(number, queue, stamp, head, began);
        }
    }

    /// Ready tasks of a queue in memory with numbers up to that one, `most` at most.
    pub(crate) fn ready_up_to(&self, queue: &QueueName, last: u64, most: usize) -> usize {
        let lists = self.queues.get(queue).into_iter();
        let ready = lists.flat_map(|lists| lists.ready.range(..=last));
        ready.take(most).count()
    }

    /// Tasks that are done and kept.
    pub(crate) fn done_len(&self) -> usize {
        self.done.len() + usize::try_from(self.backlog.done).unwrap_or(usize::MAX)
    }

    /// Tasks that are kept, done ones included.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len() + usize::try_from(self.backlog.tasks).unwrap_or(usize::MAX)
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            ready: self.ready + other.ready,
            delayed: self.delayed + other.delayed,
            leased: self.leased + other.leased,
            dead: self.dead + other.dead,
        }
    }
}

impl Counts {
    const fn of(&mut self, of: Of) -> &mut u64 {
        match of {
            Of::Ready | Of::Repeated => &mut self.ready,
            Of::Delayed => &mut self.delayed,
            Of::Leased => &mut self.leased,
            Of::Dead => &mut self.dead,
        }
    }
}
