//! `ck check`: whether a recorded history keeps what is promised.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use ck_sim::history::{self, Limits, Report};
use clap::Args;
use serde::Serialize;

use crate::exit::{Done, Failure};
use crate::output::{Output, count};

const EXAMPLE: &str = "\
Example:
  ck check history.jsonl

One JSON object on each line, times in nanoseconds of one clock:
  {\"at\":10,\"node\":\"n1\",\"seen\":\"owns\",\"partition\":0,\"epoch\":1,\"incarnation\":1}
`seen` is owns, lost, accepted, acknowledged or absent; the last two name a `write`.
  {\"op\":\"put\",\"client\":\"c1\",\"key\":\"k\",\"value\":\"v\",\"start\":5,\"end\":9,\"outcome\":\"ok\"}
`op` is put, get, delete or cas, `outcome` is ok, mismatch, failed or unknown.

Exit codes: 0 nothing wrong, 1 something is, 2 the history cannot be read or holds nothing to check,
5 some keys could not be decided within --states.";

/// Check a recorded history: overlapping owners, epochs that fall, stale and lost writes, and whether
/// the operations of clients are linearizable.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CheckArgs {
    /// The history, one JSON object a line; `-` reads it from standard input.
    #[arg(value_name = "HISTORY")]
    history: PathBuf,
    /// Most problems to print.
    #[arg(long, value_name = "N", default_value_t = 20)]
    problems: u16,
    /// Most states to look at for each key before it is called undecided.
    #[arg(long, value_name = "N", default_value_t = 2_000_000,
        value_parser = clap::value_parser!(u32).range(1..))]
    states: u32,
}

/// Most undecided keys that are printed; with `--json` all are.
const UNDECIDED_SHOWN: usize = 20;

#[derive(Serialize)]
struct Answer {
    lines: u64,
    ownerships: u64,
    accepted: u64,
    acknowledged: u64,
    operations: u64,
    unknown: u64,
    keys: u64,
    changes: u64,
    overlapping: u64,
    lost_writes: u64,
    undecided: Vec<String>,
    found: u64,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    lines: Vec<u64>,
    message: String,
}

impl From<&history::Problem> for Problem {
    fn from(problem: &history::Problem) -> Self {
        Self {
            kind: problem.kind(),
            partition: problem.partition().map(|id| id.to_string()),
            key: problem.key().map(str::to_owned),
            lines: problem.lines(),
            message: problem.to_string(),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs, output: Output) -> Done {
    let limits = Limits {
        problems: args.problems.into(),
        states: usize::try_from(args.states).unwrap_or(usize::MAX),
    };
    let report = read(&args.history, limits)?;
    let history = args.history.display();
    if !report.is_telling {
        let told = format!(
            "nothing was checked: none of the {} of {history} tells what was seen or answered",
            count(report.lines, "line", "lines")
        );
        return Err(Failure::usage(told));
    }
    let answer = Answer {
        lines: report.lines,
        ownerships: report.tenures,
        accepted: report.accepted,
        acknowledged: report.acknowledged,
        operations: report.operations,
        unknown: report.unknown,
        keys: report.keys,
        changes: report.changes,
        overlapping: report.overlapping,
        lost_writes: report.lost_writes,
        found: report.found,
        problems: report.problems.iter().map(Problem::from).collect(),
        undecided: report.undecided,
    };
    output.show(&answer, |out| show(out, &answer))?;
    if answer.found > 0 {
        let found = count(answer.found, "problem", "problems");
        return Err(Failure::failed(format!("{history} has {found}")));
    }
    if answer.undecided.is_empty() {
        return Ok(());
    }
    let keys = count(answer.undecided.len() as u64, "key", "keys");
    let states = args.states;
    let told =
        format!("{keys} of {history} undecided within {states} states; allow more by --states");
    Err(Failure::undecided(told))
}

fn read(path: &Path, limits: Limits) -> Result<Report, Failure> {
    let shown = path.display();
    let history: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path);
        let file = file.map_err(|why| Failure::usage(format!("cannot read {shown}: {why}")))?;
        Box::new(BufReader::new(file))
    };
    history::check(history, limits).map_err(|why| Failure::Usage(why.into()))
}

fn show(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    for problem in &answer.problems {
        let Problem { kind, message, .. } = problem;
        writeln!(out, "{kind}, {}: {message}", lines(&problem.lines))?;
    }
    let left = answer.found - answer.problems.len() as u64;
    if left > 0 {
        writeln!(out, "and {left} more")?;
    }
    for key in answer.undecided.iter().take(UNDECIDED_SHOWN) {
        writeln!(out, "undecided: key {key}")?;
    }
    let lines = count(answer.lines, "line", "lines");
    let ownerships = count(answer.ownerships, "ownership", "ownerships");
    let writes = count(answer.accepted + answer.acknowledged, "write", "writes");
    if answer.operations > 0 {
        let operations = count(answer.operations, "operation", "operations");
        let keys = count(answer.keys, "key", "keys");
        let changes = count(answer.changes, "change", "changes");
        let Answer {
            unknown,
            overlapping,
            lost_writes,
            ..
        } = answer;
        writeln!(
            out,
            "{operations} on {keys}, {unknown} of unknown outcome, {overlapping} during {changes} of a \
             primary; {lost_writes} acknowledged writes lost"
        )?;
    }
    let found = match (answer.found, answer.undecided.len() as u64) {
        (0, 0) => "nothing wrong".to_string(),
        (0, keys) => count(keys, "key undecided", "keys undecided"),
        (found, _) => count(found, "problem", "problems"),
    };
    writeln!(out, "{lines}, {ownerships}, {writes}: {found}")
}

fn lines(lines: &[u64]) -> String {
    let words: Vec<String> = lines.iter().map(u64::to_string).collect();
    match words.split_last() {
        None => "no line".to_string(),
        Some((last, [])) => format!("line {last}"),
        Some((last, rest)) => format!("lines {} and {last}", rest.join(", ")),
    }
}
