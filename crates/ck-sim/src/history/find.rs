//! Looks for what must not be, in lines ordered by their time.

use std::collections::BTreeMap;

use ck_control::FencingToken;
use ck_core::PartitionId;

use super::{Line, Problem, Seen, Tenure};

/// Writes accepted after a newer token.
pub(super) fn stale(lines: &[(u64, Line)]) -> Vec<Problem> {
    let mut newest: BTreeMap<PartitionId, (FencingToken, u64)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, line) in lines.iter().filter(|(_, one)| one.seen == Seen::Accepted) {
        let (at, got) = (line.at, line.token());
        let (newest, said) = newest.entry(line.partition).or_insert((got, *number));
        if got < *newest {
            problems.push(Problem::Stale {
                at,
                got,
                newest: *newest,
                lines: [*said, *number],
            });
        } else if got > *newest {
            (*newest, *said) = (got, *number);
        }
    }
    problems
}

/// Writes that were not there after they were acknowledged.
pub(super) fn lost(lines: &[(u64, Line)]) -> Vec<Problem> {
    let mut known: BTreeMap<(PartitionId, &str), (u64, u64, FencingToken)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, line) in lines {
        let Some(write) = line.write.as_deref() else {
            continue;
        };
        let key = (line.partition, write);
        match line.seen {
            Seen::Acknowledged => {
                known.entry(key).or_insert((*number, line.at, line.token()));
            }
            Seen::Absent => {
                // Seen at the same instant, nobody can tell which came first.
                let before = known.get(&key).filter(|(_, at, _)| *at < line.at);
                if let Some((said, at, token)) = before {
                    problems.push(Problem::LostWrite {
                        write: write.to_string(),
                        acknowledged: (*at, *token),
                        absent: (line.at, line.token()),
                        lines: [*said, *number],
                    });
                }
            }
            _ => {}
        }
    }
    problems
}

/// The times of ownership of each partition, in order of their beginning.
pub(super) fn tenures(lines: &[(u64, Line)]) -> BTreeMap<PartitionId, Vec<Tenure>> {
    let mut found: BTreeMap<PartitionId, Vec<Tenure>> = BTreeMap::new();
    // Where each node's newest time of ownership of a partition stands, if it has not ended.
    let mut open: BTreeMap<(PartitionId, &str), usize> = BTreeMap::new();
    for (number, line) in lines {
        let tenures = found.entry(line.partition).or_default();
        let key = (line.partition, line.node.as_str());
        let running = open.get(&key).copied();
        match line.seen {
            Seen::Owns => {
                if let Some(at) = running {
                    if tenures[at].token == line.token() {
                        continue;
                    }
                    tenures[at].until = Some(line.at);
                }
                open.insert(key, tenures.len());
                tenures.push(Tenure {
                    node: line.node.clone(),
                    token: line.token(),
                    from: line.at,
                    until: None,
                    line: *number,
                });
            }
            Seen::Lost => {
                if let Some(at) = running.filter(|at| tenures[*at].token == line.token()) {
                    tenures[at].until = Some(line.at);
                    open.remove(&key);
                }
            }
            _ => {}
        }
    }
    found.retain(|_, tenures| !tenures.is_empty());
    found
}

/// Compares each with those that had not ended when it began; at most `most` overlaps.
pub(super) fn clashes(tenures: &[Tenure], most: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut open: Vec<&Tenure> = Vec::new();
    let mut granted: BTreeMap<FencingToken, &Tenure> = BTreeMap::new();
    for tenure in tenures {
        open.retain(|one| one.until.is_none_or(|until| until > tenure.from));
        for other in open.iter().filter(|one| one.node != tenure.node) {
            if problems.len() <= most {
                problems.push(Problem::Overlap((*other).clone(), tenure.clone()));
            }
        }
        let first = *granted.entry(tenure.token).or_insert(tenure);
        if first.node != tenure.node {
            problems.push(Problem::TwoGrants(first.clone(), tenure.clone()));
        }
        open.push(tenure);
    }
    problems
}

/// Those that begin under an older token than one before.
pub(super) fn fallen(tenures: &[Tenure]) -> Vec<Problem> {
    let mut newest: Option<&Tenure> = None;
    let mut problems = Vec::new();
    for tenure in tenures {
        match newest {
            Some(before) if tenure.token < before.token => {
                problems.push(Problem::EpochFell(before.clone(), tenure.clone()));
            }
            _ => newest = Some(tenure),
        }
    }
    problems
}
