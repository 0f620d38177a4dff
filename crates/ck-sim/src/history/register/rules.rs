//! What can be told without a search: values that nobody wrote, and values that had been replaced.

use std::collections::{HashMap, HashSet};

use super::{ABSENT, Event, OPEN, Register, Value, shown};
use crate::history::problem::{Anomaly, Problem};

/// Most writes of an old value that are named, the newest.
const WRITERS_SHOWN: usize = 8;

/// Something wrong with one key, before it has the key's name.
pub(super) struct Found {
    anomaly: Anomaly,
    /// What proves it, in order of start.
    events: Vec<Event>,
}

impl Found {
    pub(super) fn problem(&self, key: &[u8]) -> Problem {
        problem(key, self.anomaly, &self.events)
    }
}

/// What the rules found on one key.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) anomalies: Vec<Found>,
    pub(super) lost_writes: u64,
}

/// No order exists for these.
pub(super) fn order_problem(key: &[u8], events: &[Event]) -> Problem {
    problem(key, Anomaly::NotLinearizable, events)
}

fn problem(key: &[u8], anomaly: Anomaly, events: &[Event]) -> Problem {
    let from = events.iter().map(|event| event.start).min();
    let ends = events.iter().map(|event| event.end);
    let to = ends.filter(|end| *end != OPEN).max();
    Problem::Register {
        key: shown(key),
        anomaly,
        lines: events.iter().map(|event| event.line).collect(),
        from: from.unwrap_or(0),
        to: to.unwrap_or(0),
    }
}

/// Writers of a value in order of their start, each with the latest end up to there.
#[derive(Default)]
struct Writers {
    events: Vec<Event>,
    latest: Vec<u64>,
}

impl Writers {
    fn push(&mut self, event: Event) {
        let latest = self.latest.last().copied().unwrap_or(0);
        self.latest.push(latest.max(event.end));
        self.events.push(event);
    }

    /// The latest end of those that started by then.
    fn latest_end(&self, by: u64) -> Option<u64> {
        let started = self.events.partition_point(|event| event.start <= by);
        self.latest.get(started.checked_sub(1)?).copied()
    }
}

pub(super) fn check(register: &Register) -> Findings {
    let writers = writers(register);
    let newest = newest_ended(register);
    let last_seen = last_seen(register);
    let mut findings = Findings::default();
    // By line, so that one loss counts once.
    let mut lost: HashSet<u64> = HashSet::new();
    for reader in &register.done {
        let Some(seen) = reader.step.seen() else {
            continue;
        };
        let written = writers.get(&seen);
        let latest = written.and_then(|writers| writers.latest_end(reader.end));
        if latest.is_none() && seen != ABSENT {
            findings.anomalies.push(Found {
                anomaly: Anomaly::UnwrittenRead,
                events: vec![*reader],
            });
            continue;
        }
        let ended = newest.partition_point(|(end, _)| *end < reader.start);
        let Some((_, between)) = ended.checked_sub(1).map(|at| newest[at]) else {
            continue;
        };
        // Every write of what was seen had ended before another began, which had ended by now. An
        // absent key may also be one that nobody had written yet.
        let replaced = match latest {
            Some(latest) => latest < between.start,
            None => true,
        };
        if !replaced {
            continue;
        }
        let value = between.step.written().unwrap_or(ABSENT);
        let is_there = last_seen
            .get(&value)
            .is_some_and(|end| *end >= reader.start);
        let anomaly = if is_there {
            Anomaly::StaleRead
        } else {
            findings.lost_writes += u64::from(lost.insert(between.line));
            Anomaly::LostWrite
        };
        let started = written.map_or(&[][..], |writers| &writers.events);
        let ended = started.iter().filter(|event| event.end < between.start);
        let ended: Vec<Event> = ended.copied().collect();
        let newest = &ended[ended.len().saturating_sub(WRITERS_SHOWN)..];
        let events = [newest, &[between, *reader]].concat();
        findings.anomalies.push(Found { anomaly, events });
    }
    findings
}

fn writers(register: &Register) -> HashMap<Value, Writers> {
    let mut all: Vec<Event> = register
        .done
        .iter()
        .chain(&register.open)
        .copied()
        .collect();
    all.sort_by_key(|event| event.start);
    let mut writers: HashMap<Value, Writers> = HashMap::new();
    for event in all {
        if let Some(value) = event.step.written() {
            writers.entry(value).or_default().push(event);
        }
    }
    writers
}

/// By the end of each write: of those ended by then, the one that started last.
fn newest_ended(register: &Register) -> Vec<(u64, Event)> {
    let done = register.done.iter().copied();
    let mut ended: Vec<(u64, Event)> = done
        .filter(|event| event.step.written().is_some())
        .map(|event| (event.end, event))
        .collect();
    ended.sort_by_key(|(end, _)| *end);
    let mut newest: Option<Event> = None;
    for (_, event) in &mut ended {
        match newest {
            Some(one) if one.start >= event.start => *event = one,
            _ => newest = Some(*event),
        }
    }
    ended
}

/// When each value was seen last.
fn last_seen(register: &Register) -> HashMap<Value, u64> {
    let mut last = HashMap::new();
    for event in &register.done {
        if let Some(value) = event.step.seen() {
            let end: &mut u64 = last.entry(value).or_default();
            *end = event.end.max(*end);
        }
    }
    last
}
