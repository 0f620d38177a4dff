//! The search for an order.
//!
//! It is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the memory of
//! Lowe ("Testing for Linearizability", 2017): an operation may come next if no other that is left had
//! ended before it started, and a set of operations that are done, together with what the register
//! then holds, is looked at once. Four things that hold of registers keep it short:
//!
//! - a read that fits comes next, since it changes nothing and may not fit later;
//! - of writes that leave the same, the one that ended first comes first: exchanging two of them
//!   breaks no order that holds;
//! - what may never have happened is tried only where somebody who is next saw its effect, directly or
//!   through others that may never have happened: elsewhere it can be left out;
//! - of such operations that do the same, the one that started first comes first;
//! - whoever has found no order with some of them left finds none with fewer left.

use std::collections::HashMap;

use super::{ABSENT, Event, Step, Value};

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is an order.
    Linearizable,
    /// There is none.
    Impossible,
    /// More was to be looked at than allowed.
    Undecided,
}

/// Looks for an order of all that is `done` and any of what is `open` in a register that holds `first`,
/// in at most `states_max` states; tells in how many.
pub(super) fn search(
    done: &[Event],
    open: &[Event],
    first: Value,
    states_max: usize,
) -> (Answer, usize) {
    let mut search = Search::new(done, open);
    search.state = first;
    let answer = search.run(states_max);
    (answer, search.seen.cost)
}

/// Operations that may have happened and do the same, in order of their start.
struct Group {
    step: Step,
    events: Vec<usize>,
    /// How many of them have happened: always the first ones.
    used: usize,
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Done(usize),
    Open(usize),
}

struct Frame {
    choices: Vec<Choice>,
    next: usize,
    trail: usize,
    state: Value,
}

struct Search<'a> {
    done: &'a [Event],
    open: &'a [Event],
    /// What is left of `done`, as a ring through its length.
    next: Vec<usize>,
    previous: Vec<usize>,
    groups: Vec<Group>,
    by_result: HashMap<Value, Vec<usize>>,
    state: Value,
    mark: u128,
    used: Used,
    trail: Vec<Choice>,
    seen: Seen,
}

/// Which of what may have happened has, a bit each.
type Used = Box<[u64]>;

/// What was looked at: by the mark of what is done and the value, the least sets that were used.
///
/// Marks have 128 bits: that two of 2^26 sets share one has a chance below 2^-76.
#[derive(Default)]
struct Seen {
    sets: HashMap<(u128, Value), Vec<Used>>,
    /// How many states were new, each counted as many times as its set fills 16 words.
    cost: usize,
}

impl Seen {
    /// Whether nothing at least as good was looked at before.
    fn insert(&mut self, mark: u128, state: Value, used: &Used) -> bool {
        let within = |one: &Used, other: &Used| {
            let mut pairs = one.iter().zip(other);
            pairs.all(|(one, other)| one & !other == 0)
        };
        let sets = self.sets.entry((mark, state)).or_default();
        if sets.iter().any(|one| within(one, used)) {
            return false;
        }
        sets.retain(|one| !within(used, one));
        sets.push(used.clone());
        self.cost += 1 + used.len() / 16;
        true
    }
}

impl<'a> Search<'a> {
    fn new(done: &'a [Event], open: &'a [Event]) -> Self {
        let size = done.len();
        let mut groups: Vec<Group> = Vec::new();
        let mut by_step: HashMap<Step, usize> = HashMap::new();
        for (at, event) in open.iter().enumerate() {
            let group = *by_step.entry(event.step).or_insert_with(|| {
                let (step, events, used) = (event.step, Vec::new(), 0);
                groups.push(Group { step, events, used });
                groups.len() - 1
            });
            groups[group].events.push(at);
        }
        let mut by_result: HashMap<Value, Vec<usize>> = HashMap::new();
        for (at, group) in groups.iter().enumerate() {
            let result = group.step.written();
            by_result
                .entry(result.unwrap_or(ABSENT))
                .or_default()
                .push(at);
        }
        Self {
            done,
            open,
            next: (1..=size).chain([0]).collect(),
            previous: [size].into_iter().chain(0..size).collect(),
            groups,
            by_result,
            state: ABSENT,
            mark: 0,
            used: vec![0; open.len().div_ceil(64)].into(),
            trail: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn run(&mut self, states_max: usize) -> Answer {
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            let choices = self.look();
            if self.next[self.done.len()] == self.done.len() {
                return Answer::Linearizable;
            }
            if self.seen.insert(self.mark, self.state, &self.used) {
                if self.seen.cost > states_max {
                    return Answer::Undecided;
                }
                let (trail, state) = (self.trail.len(), self.state);
                frames.push(Frame {
                    choices,
                    next: 0,
                    trail,
                    state,
                });
            }
            loop {
                let Some(frame) = frames.last_mut() else {
                    return Answer::Impossible;
                };
                let (trail, choice) = (frame.trail, frame.choices.get(frame.next).copied());
                self.state = frame.state;
                frame.next += 1;
                self.undo(trail);
                if let Some(choice) = choice {
                    self.take(choice);
                    break;
                }
                frames.pop();
            }
        }
    }

    /// Takes every read that fits, and tells what else may come next.
    fn look(&mut self) -> Vec<Choice> {
        let size = self.done.len();
        let mut first_end = super::OPEN;
        let mut writes: Vec<usize> = Vec::new();
        let mut wanted: Vec<Value> = Vec::new();
        let mut wants_another = false;
        let mut at = self.next[size];
        while at != size {
            let Event {
                step, start, end, ..
            } = self.done[at];
            if start > first_end {
                break;
            }
            let following = self.next[at];
            let result = step.apply(self.state);
            let fits = result.is_some();
            // It changes something where it tells what was there.
            if step.is_read() && result == Some(self.state) {
                self.take(Choice::Done(at));
                at = following;
                continue;
            }
            first_end = first_end.min(end);
            match step {
                _ if fits => self.prefer(&mut writes, at),
                Step::Differs(_) => wants_another = true,
                _ => wanted.extend(step.seen()),
            }
            at = following;
        }
        writes.sort_by_key(|at| self.done[*at].end);
        let mut choices: Vec<Choice> = writes.into_iter().map(Choice::Done).collect();
        self.open_choices(first_end, wanted, wants_another, &mut choices);
        choices
    }

    /// Adds a write, unless one that does the same ended before; replaces one that ended later.
    fn prefer(&self, writes: &mut Vec<usize>, at: usize) {
        let step = self.done[at].step;
        let same = writes.iter_mut().find(|one| self.done[**one].step == step);
        match same {
            Some(one) if self.done[at].end < self.done[*one].end => *one = at,
            Some(_) => {}
            None => writes.push(at),
        }
    }

    /// What may never have happened and somebody who is next saw the effect of.
    fn open_choices(
        &self,
        first_end: u64,
        mut wanted: Vec<Value>,
        wants_another: bool,
        choices: &mut Vec<Choice>,
    ) {
        if self.groups.is_empty() {
            return;
        }
        let may = |group: &Group| {
            let event = group.events.get(group.used);
            event.is_some_and(|at| self.open[*at].start <= first_end)
        };
        let fits = |group: &Group| {
            let result = group.step.apply(self.state);
            result.is_some_and(|result| result != self.state)
        };
        if wants_another {
            let all = self.groups.iter().enumerate();
            let all = all.filter(|(_, group)| may(group) && fits(group));
            choices.extend(all.map(|(at, _)| Choice::Open(at)));
        }
        let mut at = 0;
        while let Some(result) = wanted.get(at).copied() {
            at += 1;
            if wanted[..at - 1].contains(&result) {
                continue;
            }
            for at in self.by_result.get(&result).into_iter().flatten() {
                let group = &self.groups[*at];
                if !may(group) {
                    continue;
                }
                if fits(group) && !wants_another {
                    choices.push(Choice::Open(*at));
                } else if let Step::Swap(expected, _) = group.step {
                    wanted.push(expected);
                }
            }
        }
    }

    fn take(&mut self, choice: Choice) {
        let step = match choice {
            Choice::Done(at) => {
                let (before, after) = (self.previous[at], self.next[at]);
                self.next[before] = after;
                self.previous[after] = before;
                self.mark ^= mark(at);
                self.done[at].step
            }
            Choice::Open(group) => {
                let Group { step, events, used } = &mut self.groups[group];
                let at = events[*used];
                *used += 1;
                self.used[at / 64] ^= 1 << (at % 64);
                *step
            }
        };
        self.trail.push(choice);
        if let Some(state) = step.apply(self.state) {
            self.state = state;
        }
    }

    /// Takes back, newest first, until `length` are left. What the register held is not restored.
    fn undo(&mut self, length: usize) {
        while self.trail.len() > length {
            match self.trail.pop() {
                Some(Choice::Done(at)) => {
                    let (before, after) = (self.previous[at], self.next[at]);
                    self.next[before] = at;
                    self.previous[after] = at;
                    self.mark ^= mark(at);
                }
                Some(Choice::Open(group)) => {
                    let Group { events, used, .. } = &mut self.groups[group];
                    *used -= 1;
                    let at = events[*used];
                    self.used[at / 64] ^= 1 << (at % 64);
                }
                None => return,
            }
        }
    }
}

/// 128 bits that stand for the operation in the mark of a set.
fn mark(number: usize) -> u128 {
    let mut random = crate::random::Random::new(number as u64, 0);
    u128::from(random.next()) << 64 | u128::from(random.next())
}
