//! `ck check`: whether a recorded history keeps what is promised.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use ck_sim::history::{self, Report};
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

Exit codes: 0 nothing wrong, 1 something is, 2 the history cannot be read.";

/// Check a recorded history: overlapping owners, epochs that fall, stale and lost writes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CheckArgs {
    /// The history, one JSON object a line; `-` reads it from standard input.
    #[arg(value_name = "HISTORY")]
    history: PathBuf,
    /// Most problems to print.
    #[arg(long, value_name = "N", default_value_t = 20)]
    problems: u16,
}

#[derive(Serialize)]
struct Answer {
    lines: u64,
    ownerships: u64,
    accepted: u64,
    acknowledged: u64,
    found: u64,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    kind: &'static str,
    partition: String,
    lines: [u64; 2],
    message: String,
}

impl From<&history::Problem> for Problem {
    fn from(problem: &history::Problem) -> Self {
        Self {
            kind: problem.kind(),
            partition: problem.partition().to_string(),
            lines: problem.lines(),
            message: problem.to_string(),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs, output: Output) -> Done {
    let report = read(&args.history, args.problems)?;
    let answer = Answer {
        lines: report.lines,
        ownerships: report.tenures,
        accepted: report.accepted,
        acknowledged: report.acknowledged,
        found: report.found,
        problems: report.problems.iter().map(Problem::from).collect(),
    };
    output.show(&answer, |out| show(out, &answer))?;
    if answer.found == 0 {
        return Ok(());
    }
    let found = count(answer.found, "problem", "problems");
    let history = args.history.display();
    Err(Failure::failed(format!("{history} has {found}")))
}

fn read(path: &Path, problems: u16) -> Result<Report, Failure> {
    let shown = path.display();
    let history: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path);
        let file = file.map_err(|why| Failure::usage(format!("cannot read {shown}: {why}")))?;
        Box::new(BufReader::new(file))
    };
    history::check(history, problems.into()).map_err(|why| Failure::Usage(why.into()))
}

fn show(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    for problem in &answer.problems {
        let [one, other] = problem.lines;
        let Problem { kind, message, .. } = problem;
        writeln!(out, "{kind}, lines {one} and {other}: {message}")?;
    }
    let left = answer.found - answer.problems.len() as u64;
    if left > 0 {
        writeln!(out, "and {left} more")?;
    }
    let lines = count(answer.lines, "line", "lines");
    let ownerships = count(answer.ownerships, "ownership", "ownerships");
    let writes = count(answer.accepted + answer.acknowledged, "write", "writes");
    let found = match answer.found {
        0 => "nothing wrong".to_string(),
        found => count(found, "problem", "problems"),
    };
    writeln!(out, "{lines}, {ownerships}, {writes}: {found}")
}
