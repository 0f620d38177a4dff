//! The few operations that already have no order, out of many.
//!
//! Each step keeps "no order" and makes the history weaker. What ended before some time is left out, and
//! anything may have been there by then; of what went on at that time, reads are left out and writes
//! may have happened at any time after their start, or never. What happened after the first impossible
//! answer is left out. At last the rest is given up likewise, one after another and in halves, as
//! in Zeller and Hildebrandt's delta debugging ("Simplifying and Isolating Failure-Inducing Input", 2002).

use super::search::{Answer, search};
use super::{ABSENT, ANYTHING, Event, OPEN, Register, Value};

/// Most searches for one key.
const SEARCHES_MAX: usize = 500;

/// Most operations that are told, the last ones, where no fewer were found.
const TOLD_MAX: usize = 64;

/// How much may still be looked at.
struct Budget {
    /// States of one search.
    each: usize,
    /// States of all.
    all: usize,
    searches: usize,
}

impl Budget {
    /// Whether it is shown that the register has no order.
    fn shows_none(&mut self, register: &Register, first: Value) -> bool {
        if self.searches == 0 || self.all == 0 {
            return false;
        }
        self.searches -= 1;
        let states = self.each.min(self.all);
        let (answer, cost) = search(&register.done, &register.open, first, states);
        self.all = self.all.saturating_sub(cost);
        answer == Answer::Impossible
    }
}

/// Operations of a register that has no order, which have none by themselves, in order of start.
pub(super) fn smallest(register: &Register, states_max: usize) -> Vec<Event> {
    let mut budget = Budget {
        each: states_max,
        all: states_max.saturating_mul(2),
        searches: SEARCHES_MAX,
    };
    let (kept, first) = last_part(register, &mut budget);
    let kept = first_impossible(&kept, first, &mut budget);
    let (mut kept, first) = last_start(kept, first, &mut budget);
    let mut chunk = kept.done.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < kept.done.len() {
            let weaker = without(&kept, from, chunk);
            if budget.shows_none(&weaker, first) {
                kept = weaker;
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
    let told = kept.done.len().saturating_sub(TOLD_MAX);
    kept.done.split_off(told)
}

/// The last part that has no order, at most about twice as long as it has to be: what comes before
/// would be searched again and again.
fn last_part(register: &Register, budget: &mut Budget) -> (Register, Value) {
    let size = register.done.len();
    let mut length = 8;
    while length < size {
        let part = since(register, register.done[size - length].start);
        if budget.shows_none(&part, ANYTHING) {
            return (part, ANYTHING);
        }
        length *= 2;
    }
    (until(register, OPEN), ABSENT)
}

/// The register as it was known when it first had no order, or as near to that as can be shown.
fn first_impossible(register: &Register, first: Value, budget: &mut Budget) -> Register {
    let mut ends: Vec<u64> = register.done.iter().map(|event| event.end).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut low, mut high) = (0, ends.len().saturating_sub(1));
    while low < high {
        let middle = low.midpoint(high);
        if budget.shows_none(&until(register, ends[middle]), first) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    until(register, ends.get(high).copied().unwrap_or(OPEN))
}

/// What is left when it begins as late as possible, and what may have been there.
fn last_start(register: Register, first: Value, budget: &mut Budget) -> (Register, Value) {
    let starts: Vec<u64> = register.done.iter().map(|event| event.start).collect();
    let (mut low, mut high) = (0, starts.len());
    // The last start that is known to do is below `low`.
    while low < high {
        let middle = low.midpoint(high);
        if budget.shows_none(&since(&register, starts[middle]), ANYTHING) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    match low.checked_sub(1) {
        Some(at) => (since(&register, starts[at]), ANYTHING),
        None => (register, first),
    }
}

/// What started at that time or later, and what may have happened since.
fn since(register: &Register, time: u64) -> Register {
    let mut kept = Register {
        done: Vec::new(),
        open: register.open.clone(),
    };
    for event in &register.done {
        if event.start >= time {
            kept.done.push(*event);
        } else if event.end >= time {
            kept.give_up(*event);
        }
    }
    kept.settled()
}

/// What was known at that time: what had not ended may have happened.
fn until(register: &Register, time: u64) -> Register {
    let started = |event: &&Event| event.start <= time;
    let mut kept = Register {
        done: Vec::new(),
        open: register.open.iter().filter(started).copied().collect(),
    };
    for event in register.done.iter().filter(started) {
        if event.end <= time {
            kept.done.push(*event);
        } else {
            kept.give_up(*event);
        }
    }
    kept.settled()
}

/// The register with `count` operations given up.
fn without(register: &Register, from: usize, count: usize) -> Register {
    let to = register.done.len().min(from + count);
    let mut kept = Register {
        done: [&register.done[..from], &register.done[to..]].concat(),
        open: register.open.clone(),
    };
    for event in &register.done[from..to] {
        kept.give_up(*event);
    }
    kept.settled()
}

impl Register {
    /// In order, and with what nobody sees any more made one.
    fn settled(mut self) -> Self {
        self.open.sort_by_key(|event| (event.start, event.line));
        self.merge_unseen();
        self
    }

    fn give_up(&mut self, event: Event) {
        if !event.step.is_read() {
            self.open.push(Event { end: OPEN, ..event });
        }
    }
}
