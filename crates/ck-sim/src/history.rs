//! Checks a history that was recorded outside: overlapping owners and stale writes.
//!
//! A history is a line of JSON for each thing seen. Times are nanoseconds of one clock, that of the
//! machine that recorded it; ownerships seen on machines with other clocks cannot be compared.
//!
//! ```
//! use ck_sim::history::check;
//! let history = r#"
//! {"at":10,"node":"a","seen":"owns","partition":0,"epoch":1,"incarnation":1}
//! {"at":40,"node":"a","seen":"lost","partition":0,"epoch":1,"incarnation":1}
//! {"at":30,"node":"b","seen":"owns","partition":0,"epoch":2,"incarnation":1}
//! "#;
//! let report = check(history.as_bytes(), 10)?;
//! assert_eq!(report.problems[0].to_string(),
//!     "partition-0: a under 1.0.1 from 10 to 40 overlaps b under 1.0.2 from 30 to the end");
//! # Ok::<(), ck_sim::history::HistoryError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use ck_control::{FencingToken, Incarnation};
use ck_core::{Epoch, PartitionId};
use serde::{Deserialize, Serialize};

/// Most bytes of a line.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// The node owned the partition at that time.
    Owns,
    /// The node no longer owned it at that time.
    Lost,
    /// A resource accepted a write under the token.
    Accepted,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When, in nanoseconds of the recorder's clock.
    pub at: u64,
    /// The node.
    pub node: String,
    /// What was seen.
    pub seen: Seen,
    /// The partition.
    pub partition: PartitionId,
    /// The grant.
    pub epoch: Epoch,
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
}

impl Line {
    const fn token(&self) -> FencingToken {
        FencingToken {
            incarnation: self.incarnation,
            partition: self.partition,
            epoch: self.epoch,
        }
    }
}

/// A history that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Reading failed.
    #[error("line {line} of the history cannot be read")]
    Read {
        /// The line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is no line of a history.
    #[error(
        "line {line} of the history is not valid: {source}; write one JSON object on each line"
    )]
    Line {
        /// The line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line is too long.
    #[error("line {line} of the history has more than {max} bytes; split it")]
    TooLong {
        /// The line, from 1.
        line: u64,
        /// Most bytes.
        max: u64,
    },
}

/// A time in which a node owned a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// The node.
    pub node: String,
    /// Under what.
    pub token: FencingToken,
    /// Since when it is known.
    pub from: u64,
    /// Until when it is known; absent when nobody saw it end.
    pub until: Option<u64>,
}

impl fmt::Display for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node, token, from, ..
        } = self;
        write!(f, "{node} under {token} from {from} to ")?;
        match self.until {
            Some(until) => write!(f, "{until}"),
            None => f.write_str("the end"),
        }
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Two nodes owned a partition at the same time.
    Overlap(Tenure, Tenure),
    /// Two nodes were granted the same epoch.
    TwoGrants(Tenure, Tenure),
    /// A resource accepted a token after a newer one.
    Stale {
        /// When.
        at: u64,
        /// The token.
        got: FencingToken,
        /// The newest accepted before.
        newest: FencingToken,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap(one, other) => {
                write!(f, "{}: {one} overlaps {other}", one.token.partition)
            }
            Self::TwoGrants(one, other) => {
                write!(
                    f,
                    "{}: granted twice, {one} and {other}",
                    one.token.partition
                )
            }
            Self::Stale { at, got, newest } => {
                write!(
                    f,
                    "{}: {got} was accepted at {at} after {newest}",
                    got.partition
                )
            }
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Times of ownership found.
    pub tenures: u64,
    /// What must not be, at most as many as were asked for.
    pub problems: Vec<Problem>,
}

/// Reads a history and reports at most `problems_max` problems.
///
/// # Errors
/// [`HistoryError`] when a line cannot be read.
pub fn check(mut history: impl BufRead, problems_max: usize) -> Result<Report, HistoryError> {
    let mut report = Report::default();
    let mut lines = Vec::new();
    let mut text = String::new();
    loop {
        text.clear();
        let line = report.lines + 1;
        let mut limited = std::io::Read::take(&mut history, LINE_BYTES_MAX + 1);
        let read = limited.read_line(&mut text);
        if read.map_err(|source| HistoryError::Read { line, source })? == 0 {
            break;
        }
        report.lines = line;
        if text.len() as u64 > LINE_BYTES_MAX {
            let max = LINE_BYTES_MAX;
            return Err(HistoryError::TooLong { line, max });
        }
        if text.trim().is_empty() {
            continue;
        }
        let parsed = serde_json::from_str(&text);
        lines.push(parsed.map_err(|source| HistoryError::Line { line, source })?);
    }
    lines.sort_by_key(|line: &Line| line.at);
    let tenures = tenures(&lines);
    report.tenures = tenures.values().map(|all| all.len() as u64).sum();
    report.problems.extend(stale(&lines));
    for all in tenures.values() {
        report.problems.extend(clashes(all));
    }
    report.problems.truncate(problems_max);
    Ok(report)
}

fn stale(lines: &[Line]) -> Vec<Problem> {
    let mut newest: BTreeMap<PartitionId, FencingToken> = BTreeMap::new();
    let mut problems = Vec::new();
    for line in lines.iter().filter(|line| line.seen == Seen::Accepted) {
        let (at, got) = (line.at, line.token());
        let newest = newest.entry(line.partition).or_insert(got);
        if got < *newest {
            let newest = *newest;
            problems.push(Problem::Stale { at, got, newest });
        } else {
            *newest = got;
        }
    }
    problems
}

/// The times of ownership of each partition, in order of their beginning.
fn tenures(lines: &[Line]) -> BTreeMap<PartitionId, Vec<Tenure>> {
    let mut found: BTreeMap<PartitionId, Vec<Tenure>> = BTreeMap::new();
    for line in lines {
        let tenures = found.entry(line.partition).or_default();
        let token = line.token();
        let open = tenures
            .iter_mut()
            .rev()
            .find(|one| one.node == line.node && one.token == token && one.until.is_none());
        match (line.seen, open) {
            (Seen::Owns, None) => tenures.push(Tenure {
                node: line.node.clone(),
                token,
                from: line.at,
                until: None,
            }),
            (Seen::Lost, Some(open)) => open.until = Some(line.at),
            _ => {}
        }
    }
    found
}

/// Compares each with those that had not ended when it began.
fn clashes(tenures: &[Tenure]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut open: Vec<&Tenure> = Vec::new();
    let mut granted: BTreeMap<FencingToken, &Tenure> = BTreeMap::new();
    for tenure in tenures {
        open.retain(|one| one.until.is_none_or(|until| until > tenure.from));
        for other in open.iter().filter(|one| one.node != tenure.node) {
            problems.push(Problem::Overlap((*other).clone(), tenure.clone()));
        }
        let first = *granted.entry(tenure.token).or_insert(tenure);
        if first.node != tenure.node {
            problems.push(Problem::TwoGrants(first.clone(), tenure.clone()));
        }
        open.push(tenure);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[(u64, &str, &str, u64)]) -> Report {
        let text: Vec<String> = lines
            .iter()
            .map(|(at, node, seen, epoch)| {
                format!(
                    "{{\"at\":{at},\"node\":\"{node}\",\"seen\":\"{seen}\",\"partition\":0,\
                     \"epoch\":{epoch},\"incarnation\":1}}"
                )
            })
            .collect();
        check(text.join("\n").as_bytes(), 10).unwrap()
    }

    #[test]
    fn a_clean_history_has_no_problems_in_any_order_of_its_lines() {
        let report = lines(&[
            (30, "b", "owns", 2),
            (10, "a", "owns", 1),
            (20, "a", "lost", 1),
            (15, "r", "accepted", 1),
            (35, "r", "accepted", 2),
        ]);
        assert_eq!((report.lines, report.tenures), (5, 2));
        assert_eq!(report.problems, []);
    }

    #[test]
    fn overlapping_owners_are_found() {
        let report = lines(&[
            (10, "a", "owns", 1),
            (20, "b", "owns", 2),
            (25, "a", "lost", 1),
        ]);
        assert!(matches!(report.problems[..], [Problem::Overlap(..)]));
    }

    #[test]
    fn one_epoch_granted_to_two_nodes_is_found_though_they_never_overlap() {
        let report = lines(&[
            (10, "a", "owns", 1),
            (15, "a", "lost", 1),
            (20, "b", "owns", 1),
        ]);
        assert!(matches!(report.problems[..], [Problem::TwoGrants(..)]));
    }

    #[test]
    fn a_stale_write_that_was_accepted_is_found() {
        let report = lines(&[(10, "r", "accepted", 2), (11, "r", "accepted", 1)]);
        assert!(matches!(
            report.problems[..],
            [Problem::Stale { at: 11, .. }]
        ));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let error = check("\n{\"at\":1}\n".as_bytes(), 1).unwrap_err();
        assert!(
            error.to_string().starts_with("line 2 of the history"),
            "{error}"
        );
        let long = " ".repeat(70_000);
        let error = check(long.as_bytes(), 1).unwrap_err();
        assert!(matches!(error, HistoryError::TooLong { line: 1, .. }));
    }
}
