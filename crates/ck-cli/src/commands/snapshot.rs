//! `ck snapshot`: a placement as text to be reviewed, and held against what was reviewed.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::place;
use crate::exit::{Done, Failure};
use crate::output::{Output, count};

/// Lines shown around a difference.
const CONTEXT: usize = 2;

/// How long the shortest difference is looked for; after that, any.
const SEARCH: Duration = Duration::from_secs(2);

const EXAMPLE: &str = "\
Examples:
  ck snapshot --spec cluster.toml > placement.txt
  ck snapshot --spec cluster.toml --check placement.txt

The spec is that of `ck place`. Commit the text: what changes a placement then shows in a review.";

/// Print a placement as text that reads well in a review, or check it against such a text.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct SnapshotArgs {
    /// The spec, TOML or JSON; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// The text as reviewed; the command prints what differs and fails with 1 if anything does.
    #[arg(long, value_name = "GOLDEN")]
    check: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    /// Absent where nothing is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<bool>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &SnapshotArgs, output: Output) -> Done {
    let request = place::read_spec(&args.spec)?;
    let text = request.plan()?.table.text().to_string();
    let Some(file) = &args.check else {
        let answer = Answer {
            matches: None,
            text,
            difference: None,
        };
        return output.show(&answer, |out| out.write_all(answer.text.as_bytes()));
    };
    let shown = file.display();
    let golden = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    // A checkout may have changed the ends of lines.
    let golden = golden.replace("\r\n", "\n");
    let difference = (golden != text).then(|| Difference::between(&golden, &text));
    let answer = Answer {
        matches: Some(difference.is_none()),
        text,
        difference: difference.as_ref().map(|found| found.text.clone()),
    };
    output.show(&answer, |out| match &difference {
        Some(found) => out.write_all(found.text.as_bytes()),
        None => matches(out, request.spec.partitions()),
    })?;
    let Some(difference) = difference else {
        return Ok(());
    };
    let (less, more) = (difference.removed, difference.added);
    Err(Failure::failed(format!(
        "the placement differs from {shown}: {less} of its lines are gone, {more} are new; \
         review, then write it anew with `ck snapshot`"
    )))
}

fn matches(out: &mut dyn Write, partitions: u32) -> io::Result<()> {
    let partitions = count(partitions.into(), "partition", "partitions");
    writeln!(out, "{partitions} placed as reviewed")
}

struct Difference {
    text: String,
    removed: usize,
    added: usize,
}

impl Difference {
    fn between(golden: &str, text: &str) -> Self {
        let diff = TextDiff::configure()
            .timeout(SEARCH)
            .diff_lines(golden, text);
        let lines = |tag| diff.iter_all_changes().filter(|c| c.tag() == tag).count();
        Self {
            removed: lines(ChangeTag::Delete),
            added: lines(ChangeTag::Insert),
            text: diff
                .unified_diff()
                .context_radius(CONTEXT)
                .header("reviewed", "placed")
                .to_string(),
        }
    }
}
