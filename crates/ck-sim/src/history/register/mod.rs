//! Whether the operations on each key could have happened one after another.
//!
//! Each key is a register of its own, and a history is linearizable if and only if that of each key is
//! (locality: Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent Objects",
//! 1990, theorem 1). Two rules that need no search come first and tell most of what goes wrong in the
//! fewest lines; what they do not object to is searched.

mod rules;
mod search;
mod smallest;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use ck_core::PartitionId;

use super::operation::{Kind, Operation, Outcome};
use super::{Limits, Problem};
use search::Answer;

/// A value, by its number in the history; 0 is an absent key.
type Value = u32;

const ABSENT: Value = 0;

/// Stands for all values that nobody saw: which one it was makes no difference to any reader.
const UNSEEN: Value = 1;

/// Stands for whatever is there, until somebody sees it.
const ANYTHING: Value = Value::MAX;

/// What an operation that had an effect or saw something did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Saw this value.
    Read(Value),
    /// Wrote this value, whatever was there.
    Write(Value),
    /// Wrote the second value where the first was.
    Swap(Value, Value),
    /// Saw something else than this value.
    Differs(Value),
}

impl Step {
    /// The value it leaves in a register with `state`, or nothing where it cannot happen.
    fn apply(self, state: Value) -> Option<Value> {
        let is = |value| state == value || state == ANYTHING;
        match self {
            Self::Read(seen) => is(seen).then_some(seen),
            Self::Write(value) => Some(value),
            Self::Swap(expected, value) => is(expected).then_some(value),
            Self::Differs(expected) => (expected != state).then_some(state),
        }
    }

    const fn is_read(self) -> bool {
        matches!(self, Self::Read(_) | Self::Differs(_))
    }

    /// What it writes, if it writes.
    const fn written(self) -> Option<Value> {
        match self {
            Self::Write(value) | Self::Swap(_, value) => Some(value),
            Self::Read(_) | Self::Differs(_) => None,
        }
    }

    /// What was there for certain when it happened.
    const fn seen(self) -> Option<Value> {
        match self {
            Self::Read(value) | Self::Swap(value, _) => Some(value),
            Self::Write(_) | Self::Differs(_) => None,
        }
    }
}

/// An operation that took effect, or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Event {
    step: Step,
    start: u64,
    /// `OPEN` where nobody knows whether it took effect, or will.
    end: u64,
    /// Where it stands in the history.
    line: u64,
}

/// The end of what may yet happen.
const OPEN: u64 = u64::MAX;

/// The operations on one key.
#[derive(Debug, Default)]
struct Register {
    /// Those that took effect, in order of their start.
    done: Vec<Event>,
    /// Those that may, in order of their start.
    open: Vec<Event>,
}

/// All operations of a history.
#[derive(Debug, Default)]
pub(super) struct Registers {
    values: HashMap<String, Value>,
    keys: BTreeMap<Vec<u8>, Register>,
    /// Of operations whose partition is known: partition, start, end.
    pub(super) spans: Vec<(PartitionId, u64, u64)>,
    pub(super) operations: u64,
    pub(super) unknown: u64,
    pub(super) acknowledged: u64,
    /// Those that say something about a key: answered with ok or with a mismatch.
    pub(super) telling: u64,
}

/// What was found out about all keys.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) problems: Vec<Problem>,
    pub(super) lost_writes: u64,
    /// Keys, percent-encoded, that could not be decided.
    pub(super) undecided: Vec<String>,
}

impl Registers {
    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Takes an operation that was found valid.
    pub(super) fn push(&mut self, line: u64, operation: Operation) {
        let Operation {
            op, start, outcome, ..
        } = operation;
        self.operations += 1;
        if let Some(partition) = operation.partition {
            let end = operation.end.unwrap_or(start);
            self.spans.push((partition, start, end));
        }
        let writes = op != Kind::Get;
        match outcome {
            Outcome::Ok => {
                self.telling += 1;
                self.acknowledged += u64::from(writes);
            }
            Outcome::Mismatch => self.telling += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Failed => {}
        }
        let key = operation.key_bytes().unwrap_or_default();
        let value = self.value(operation.value);
        let expected = self.value(operation.expected);
        let register = self.keys.entry(key).or_default();
        let step = match (op, outcome) {
            (_, Outcome::Mismatch) => Step::Differs(expected),
            (Kind::Get, _) => Step::Read(value),
            (Kind::Put | Kind::Delete, _) => Step::Write(value),
            (Kind::Cas, _) => Step::Swap(expected, value),
        };
        let event = |end| Event {
            step,
            start,
            end,
            line,
        };
        match (outcome, operation.end) {
            (Outcome::Ok | Outcome::Mismatch, Some(end)) => register.done.push(event(end)),
            (Outcome::Unknown, _) if writes => register.open.push(event(OPEN)),
            _ => {}
        }
    }

    fn value(&mut self, value: Option<String>) -> Value {
        let Some(value) = value else { return ABSENT };
        let next = self.values.len() as Value + UNSEEN + 1;
        *self.values.entry(value).or_insert(next)
    }

    /// Checks every key.
    pub(super) fn check(self, limits: &Limits) -> Verdict {
        let mut verdict = Verdict::default();
        for (key, mut register) in self.keys {
            register.done.sort_by_key(|event| (event.start, event.line));
            register.open.sort_by_key(|event| (event.start, event.line));
            register.merge_unseen();
            register.check(&key, limits, &mut verdict);
        }
        verdict
    }
}

impl Register {
    /// Makes one value of those that nobody saw or expected.
    fn merge_unseen(&mut self) {
        let mut known = HashSet::from([ABSENT]);
        for event in self.done.iter().chain(&self.open) {
            known.extend(event.step.seen());
            if let Step::Differs(expected) = event.step {
                known.insert(expected);
            }
        }
        let merged = |value| {
            if known.contains(&value) {
                value
            } else {
                UNSEEN
            }
        };
        for event in self.done.iter_mut().chain(&mut self.open) {
            event.step = match event.step {
                Step::Write(value) => Step::Write(merged(value)),
                Step::Swap(expected, value) => Step::Swap(expected, merged(value)),
                read => read,
            };
        }
    }

    fn check(&self, key: &[u8], limits: &Limits, verdict: &mut Verdict) {
        let found = rules::check(self);
        verdict.lost_writes += found.lost_writes;
        if !found.anomalies.is_empty() {
            let problems = found.anomalies.into_iter();
            verdict
                .problems
                .extend(problems.map(|anomaly| anomaly.problem(key)));
            return;
        }
        let (answer, _) = search::search(&self.done, &self.open, ABSENT, limits.states);
        match answer {
            Answer::Linearizable => {}
            Answer::Undecided => verdict.undecided.push(shown(key)),
            Answer::Impossible => {
                let events = smallest::smallest(self, limits.states);
                verdict.problems.push(rules::order_problem(key, &events));
            }
        }
    }
}

/// A key as it stands in paths and histories.
pub(super) fn shown(key: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
