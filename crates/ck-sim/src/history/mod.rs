//! Checks a history that was recorded outside: overlapping owners, one grant to two nodes, epochs
//! that fall, stale writes, acknowledged writes that are lost, and whether the operations of clients
//! are linearizable.
//!
//! A history is a line of JSON for each thing seen or done, in any order. What was seen is a [`Line`]:
//!
//! | `seen` | by whom | says |
//! | --- | --- | --- |
//! | `owns` | a node | it owned the partition at that time, under that epoch |
//! | `lost` | a node | it no longer did |
//! | `accepted` | a resource | it accepted a write under that epoch |
//! | `acknowledged` | a client | `write` was acknowledged under that epoch |
//! | `absent` | a reader | `write` was looked for under that epoch, and was not there |
//!
//! What a client of a key-value service did is an [`Operation`]: `put`, `get`, `delete` or `cas` of a
//! key that was absent before the history began. Each key's operations must have an order in which each
//! sees what the one before left, and in which none comes before another that had ended when it
//! started. One whose outcome is unknown may have happened at any time after its start, or never. What
//! cannot be decided within [`Limits::states`] is told as such, never as right.
//!
//! Times are nanoseconds of one clock, that of the machine that recorded it; ownerships seen on
//! machines with other clocks cannot be compared. What was not recorded is not checked: a node that
//! never says `lost` owns to the end, unless it says `owns` under a newer epoch.
//!
//! ```
//! use ck_sim::history::{Limits, check};
//! let history = r#"
//! {"at":10,"node":"a","seen":"owns","partition":0,"epoch":1,"incarnation":1}
//! {"at":40,"node":"a","seen":"lost","partition":0,"epoch":1,"incarnation":1}
//! {"at":30,"node":"b","seen":"owns","partition":0,"epoch":2,"incarnation":1}
//! "#;
//! let report = check(history.as_bytes(), Limits::default())?;
//! assert_eq!(report.problems[0].to_string(),
//!     "partition-0: a under 1.0.1 from 10 to 40 overlaps b under 1.0.2 from 30 to the end");
//! assert_eq!(report.problems[0].lines(), [2, 4]);
//! # Ok::<(), ck_sim::history::HistoryError>(())
//! ```

mod changes;
mod find;
mod operation;
mod problem;
mod register;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use ck_control::{FencingToken, Incarnation};
use ck_core::{Epoch, PartitionId};
use serde::{Deserialize, Serialize};

pub use operation::{Kind, Operation, OperationError, Outcome};
pub use problem::{Anomaly, Problem, Tenure};
use register::Registers;

/// Most bytes of a line.
pub const LINE_BYTES_MAX: u64 = 64 << 10;

/// Most lines of a history that tell something.
pub const LINES_MAX: usize = 20_000_000;

/// How much a check may tell and look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most problems reported. Default 20.
    pub problems: usize,
    /// Most states looked at for one key, some 100 bytes of memory each while it is looked at.
    /// Default 2,000,000.
    pub states: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            problems: 20,
            states: 2_000_000,
        }
    }
}

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
    /// A write was acknowledged to a client.
    Acknowledged,
    /// A write was looked for and was not there.
    Absent,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When, in nanoseconds of the recorder's clock.
    pub at: u64,
    /// Who saw it; of `owns` and `lost`, the node itself.
    pub node: String,
    /// What was seen.
    pub seen: Seen,
    /// The partition.
    pub partition: PartitionId,
    /// The grant.
    pub epoch: Epoch,
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// Which write, of `acknowledged` and `absent`: a name that is used once in a partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<String>,
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
    /// The fields of an operation do not go together.
    #[error("line {line} of the history: {source}")]
    Operation {
        /// The line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: OperationError,
    },
    /// A line about a write does not name it.
    #[error("line {line} of the history has no `write`; name what was acknowledged or is absent")]
    NoWrite {
        /// The line, from 1.
        line: u64,
    },
    /// A line is too long.
    #[error("line {line} of the history has more than {max} bytes; split it")]
    TooLong {
        /// The line, from 1.
        line: u64,
        /// Most bytes.
        max: u64,
    },
    /// There are too many lines.
    #[error("line {line} of the history is one too many, {max} are read; check it in parts")]
    TooMany {
        /// The line, from 1.
        line: u64,
        /// Most lines.
        max: usize,
    },
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Times of ownership found.
    pub tenures: u64,
    /// Writes that a resource accepted.
    pub accepted: u64,
    /// Writes that were acknowledged, by `acknowledged` lines and as operations.
    pub acknowledged: u64,
    /// Operations of clients.
    pub operations: u64,
    /// Of these, those whose outcome nobody knows.
    pub unknown: u64,
    /// Keys they were about.
    pub keys: u64,
    /// Changes of a primary: from the end of one time of ownership to the beginning of the next.
    pub changes: u64,
    /// Operations that ran during a change of their partition's primary.
    pub overlapping: u64,
    /// Acknowledged writes that were not there later.
    pub lost_writes: u64,
    /// Keys, percent-encoded, whose operations could not be put in order, nor be shown to have none,
    /// within the limit.
    pub undecided: Vec<String>,
    /// Whether anything was told that could be wrong.
    pub is_telling: bool,
    /// What must not be, at most as many as were asked for.
    pub problems: Vec<Problem>,
    /// How many there are; of overlaps in one partition, at most one more than were asked for.
    pub found: u64,
}

/// Reads a history and reports what is wrong with it, within limits.
///
/// # Errors
/// [`HistoryError`] when a line cannot be read.
pub fn check(history: impl BufRead, limits: Limits) -> Result<Report, HistoryError> {
    let mut read = Read::default();
    read.all(history)?;
    let Read {
        mut lines,
        registers,
        ..
    } = read;
    lines.sort_by_key(|(_, line)| line.at);
    let count = |seen| lines.iter().filter(|(_, line)| line.seen == seen).count() as u64;
    let tenures = find::tenures(&lines);
    let changes = changes::changes(&tenures);
    let mut report = Report {
        lines: read.read,
        accepted: count(Seen::Accepted),
        acknowledged: count(Seen::Acknowledged) + registers.acknowledged,
        tenures: tenures.values().map(|all| all.len() as u64).sum(),
        operations: registers.operations,
        unknown: registers.unknown,
        keys: registers.keys(),
        changes: changes.count(),
        overlapping: changes.overlapping(&registers.spans),
        is_telling: !lines.is_empty() || registers.telling > 0,
        ..Report::default()
    };
    let mut problems = find::stale(&lines);
    let lost = find::lost(&lines);
    report.lost_writes = lost.len() as u64;
    problems.extend(lost);
    for all in tenures.values() {
        problems.extend(find::clashes(all, limits.problems));
        problems.extend(find::fallen(all));
    }
    let verdict = registers.check(&limits);
    problems.extend(verdict.problems);
    report.lost_writes += verdict.lost_writes;
    report.undecided = verdict.undecided;
    report.found = problems.len() as u64;
    problems.truncate(limits.problems);
    report.problems = problems;
    Ok(report)
}

/// Which of the two a line is.
#[derive(Deserialize)]
struct Which<'a> {
    #[serde(borrow)]
    op: Option<&'a serde_json::value::RawValue>,
}

/// What was read so far.
#[derive(Default)]
struct Read {
    read: u64,
    lines: Vec<(u64, Line)>,
    registers: Registers,
}

impl Read {
    /// Every line that tells something, with its number.
    fn all(&mut self, mut history: impl BufRead) -> Result<(), HistoryError> {
        let mut text = Vec::new();
        let mut line = 0;
        loop {
            text.clear();
            line += 1;
            let mut limited = std::io::Read::take(&mut history, LINE_BYTES_MAX + 1);
            let read = limited.read_until(b'\n', &mut text);
            if read.map_err(|source| HistoryError::Read { line, source })? == 0 {
                self.read = line - 1;
                return Ok(());
            }
            if text.len() as u64 > LINE_BYTES_MAX {
                let max = LINE_BYTES_MAX;
                return Err(HistoryError::TooLong { line, max });
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            if self.lines.len() as u64 + self.registers.operations == LINES_MAX as u64 {
                let max = LINES_MAX;
                return Err(HistoryError::TooMany { line, max });
            }
            self.line(line, &text)?;
        }
    }

    fn line(&mut self, line: u64, text: &[u8]) -> Result<(), HistoryError> {
        let invalid = |source| HistoryError::Line { line, source };
        let which: Which<'_> = serde_json::from_slice(text).map_err(invalid)?;
        if which.op.is_some() {
            let operation: Operation = serde_json::from_slice(text).map_err(invalid)?;
            let valid = operation.validate();
            valid.map_err(|source| HistoryError::Operation { line, source })?;
            self.registers.push(line, operation);
            return Ok(());
        }
        let parsed: Line = serde_json::from_slice(text).map_err(invalid)?;
        let named = matches!(parsed.seen, Seen::Acknowledged | Seen::Absent);
        if named && parsed.write.is_none() {
            return Err(HistoryError::NoWrite { line });
        }
        self.lines.push((line, parsed));
        Ok(())
    }
}
