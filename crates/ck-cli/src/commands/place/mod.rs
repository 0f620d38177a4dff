//! `ck place`: plan offline, without any server.

mod progress;
mod question;
mod report;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ck_spec::{Answer, Refusal, Request, answer_lines};
use clap::Args;

use crate::exit::{Done, Failure};
use crate::output::Output;
use progress::Progress;
use question::Question;

/// Largest spec, in a file or on a line: 512 MiB, some ten million partitions.
const SPEC_BYTES_MAX: u64 = 512 << 20;

const EXAMPLE: &str = "\
Examples:
  ck place --spec cluster.toml
  ck place --spec cluster.json --json
  ck place --batch < specs.jsonl > plans.jsonl
  ck place --spec cluster.json --explain partition-7
  ck place --spec cluster.json --why-not partition-7 n4

A spec, in TOML or JSON with the same fields:
  partitions = 256
  replication_factor = 3
  spread = 2                  # failure domains a partition must touch; default 1
  tolerance_permille = 0      # how far a node may be off its share, to move less
  strategy = \"balanced\"       # or ring, rendezvous, rendezvous-md5
  hash = \"xxh3\"               # or md5-mod; what `ck key --spec` maps keys with
  [[nodes]]
  id = \"n1\"
  weight = 1                  # default 1
  domain = \"eu-1a\"            # default: a domain of its own
  state = \"active\"            # or cordoned, draining, down

`previous` holds the table to start from, as `GET /partitions` or `ck place --json` prints it.";

/// Plan a placement offline: which node holds which partition, and what moving there costs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct PlaceArgs {
    /// The spec, TOML or JSON; `-` reads it from standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    spec: Option<PathBuf>,
    /// Read one JSON spec a line from standard input and answer each on its own line; a refused
    /// one is answered by `{"error":{"code","message","field","value"}}`.
    #[arg(long, conflicts_with = "spec")]
    batch: bool,
    /// Tell why each copy of a partition is where it is, instead of the plan.
    #[arg(long, value_name = "ID", conflicts_with_all = ["batch", "why_not"])]
    explain: Option<String>,
    /// Tell why a node has no copy of a partition, instead of the plan.
    #[arg(long, num_args = 2, value_names = ["ID", "NODE"], conflicts_with = "batch")]
    why_not: Option<Vec<String>>,
}

/// Runs the command.
pub(crate) fn run(args: &PlaceArgs, output: Output) -> Done {
    let Some(file) = &args.spec else {
        let input = io::stdin().lock();
        return Ok(answer_lines(
            input,
            BufWriter::new(io::stdout().lock()),
            SPEC_BYTES_MAX,
        )?);
    };
    let question = Question::read(args.explain.as_deref(), args.why_not.as_deref())?;
    let progress = Progress::new();
    progress.reading(file.metadata().map_or(0, |found| found.len()));
    let request = read_spec(file)?;
    progress.planning(request.spec.partitions(), request.topology.nodes().len());
    let plan = request.plan()?;
    if let Some(question) = question {
        return question.answer(&request, &plan, output);
    }
    if output.json {
        let answer = Answer::new(&request, &plan);
        return output.show(&answer, |_| Ok(()));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    report::write(&mut out, &request, &plan)?;
    out.flush()?;
    Ok(())
}

/// Reads and checks a spec file.
///
/// # Errors
/// When it cannot be read, or holds a spec that is refused.
pub(crate) fn read_spec(file: &Path) -> Result<Request, Failure> {
    let mut text = String::new();
    let shown = file.display();
    let limit = SPEC_BYTES_MAX + 1;
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|open| open.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read the spec {shown}"))?;
    if text.len() as u64 >= limit {
        return Err(Refusal::too_long(SPEC_BYTES_MAX).into());
    }
    let json = file
        .extension()
        .is_some_and(|extension| extension == "json");
    if json {
        return Ok(Request::from_json(
            text.strip_prefix('\u{feff}').unwrap_or(&text),
        )?);
    }
    Ok(Request::from_text(&text)?)
}
