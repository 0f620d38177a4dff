//! Checks a history that was recorded outside: overlapping owners, one grant to two nodes, epochs
//! that fall, stale writes, and acknowledged writes that are lost.
//!
//! A history is a line of JSON for each thing seen, in any order:
//!
//! | `seen` | by whom | says |
//! | --- | --- | --- |
//! | `owns` | a node | it owned the partition at that time, under that epoch |
//! | `lost` | a node | it no longer did |
//! | `accepted` | a resource | it accepted a write under that epoch |
//! | `acknowledged` | a client | `write` was acknowledged under that epoch |
//! | `absent` | a reader | `write` was looked for under that epoch, and was not there |
//!
//! Times are nanoseconds of one clock, that of the machine that recorded it; ownerships seen on
//! machines with other clocks cannot be compared. What was not recorded is not checked: a node that
//! never says `lost` owns to the end, unless it says `owns` under a newer epoch.
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
//! assert_eq!(report.problems[0].lines(), [2, 4]);
//! # Ok::<(), ck_sim::history::HistoryError>(())
//! ```

mod find;
mod problem;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use ck_control::{FencingToken, Incarnation};
use ck_core::{Epoch, PartitionId};
use serde::{Deserialize, Serialize};

pub use problem::{Problem, Tenure};

/// Most bytes of a line.
pub const LINE_BYTES_MAX: u64 = 64 << 10;

/// Most lines of a history that tell something.
pub const LINES_MAX: usize = 20_000_000;

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
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// What must not be, at most as many as were asked for.
    pub problems: Vec<Problem>,
    /// How many there are; of overlaps in one partition, at most one more than were asked for.
    pub found: u64,
}

/// Reads a history and reports at most `problems_max` problems.
///
/// # Errors
/// [`HistoryError`] when a line cannot be read.
pub fn check(history: impl BufRead, problems_max: usize) -> Result<Report, HistoryError> {
    let (lines_read, mut lines) = read(history)?;
    lines.sort_by_key(|(_, line)| line.at);
    let count = |seen| lines.iter().filter(|(_, line)| line.seen == seen).count() as u64;
    let mut report = Report {
        lines: lines_read,
        accepted: count(Seen::Accepted),
        acknowledged: count(Seen::Acknowledged),
        ..Report::default()
    };
    let tenures = find::tenures(&lines);
    report.tenures = tenures.values().map(|all| all.len() as u64).sum();
    let mut problems = find::stale(&lines);
    problems.extend(find::lost(&lines));
    for all in tenures.values() {
        problems.extend(find::clashes(all, problems_max));
        problems.extend(find::fallen(all));
    }
    report.found = problems.len() as u64;
    problems.truncate(problems_max);
    report.problems = problems;
    Ok(report)
}

/// Every line that tells something, with its number.
fn read(mut history: impl BufRead) -> Result<(u64, Vec<(u64, Line)>), HistoryError> {
    let mut lines = Vec::new();
    let mut text = Vec::new();
    let mut line = 0;
    loop {
        text.clear();
        line += 1;
        let mut limited = std::io::Read::take(&mut history, LINE_BYTES_MAX + 1);
        let read = limited.read_until(b'\n', &mut text);
        if read.map_err(|source| HistoryError::Read { line, source })? == 0 {
            return Ok((line - 1, lines));
        }
        if text.len() as u64 > LINE_BYTES_MAX {
            let max = LINE_BYTES_MAX;
            return Err(HistoryError::TooLong { line, max });
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let parsed: Result<Line, _> = serde_json::from_slice(&text);
        let parsed = parsed.map_err(|source| HistoryError::Line { line, source })?;
        let named = matches!(parsed.seen, Seen::Acknowledged | Seen::Absent);
        if named && parsed.write.is_none() {
            return Err(HistoryError::NoWrite { line });
        }
        if lines.len() == LINES_MAX {
            let max = LINES_MAX;
            return Err(HistoryError::TooMany { line, max });
        }
        lines.push((line, parsed));
    }
}
