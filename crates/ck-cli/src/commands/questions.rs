//! `ck may-stop`, `ck explain`, `ck why-not`, `ck history`.

use std::io::{self, Write};
use std::time::SystemTime;

use ck_api::{Explanation, MayStop};
use ck_client::Client;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use comfy_table::Cell;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::{Done, Failure};
use crate::output::{
    Output, ago, count, figure, partition_number, runs, state, table, write_item, write_table,
};

/// Runs of partitions named at most.
const NAMED_MAX: usize = 8;

/// Tell whether a node may be stopped now: exit code 0 when it may, 4 when not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck may-stop node-3 && systemctl stop ck@node-3")]
pub(crate) struct MayStopArgs {
    /// The node's id.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    connection: Connection,
}

/// Tells whether a node may be stopped.
pub(crate) fn may_stop(args: &MayStopArgs, output: Output) -> Done {
    let answer = with_client(&args.connection, async |client: Client| {
        client.may_stop(&args.node).await
    })?;
    output.show(&answer, |out| write_may_stop(out, &answer))?;
    if answer.allowed {
        return Ok(());
    }
    let message = format!("{} must not be stopped now; wait, or drain it", answer.node);
    Err(Failure::Refused(anyhow::Error::msg(message)))
}

fn write_may_stop(out: &mut dyn Write, answer: &MayStop) -> io::Result<()> {
    if answer.allowed {
        return writeln!(out, "{} may be stopped", answer.node);
    }
    for reason in &answer.reasons {
        write_item(out, "- ", reason)?;
    }
    let blocking = &answer.blocking_partitions;
    if !blocking.is_empty() {
        let named = runs(
            blocking.iter().filter_map(|id| partition_number(id)),
            NAMED_MAX,
        );
        let all = blocking.len() as u64 + answer.blocking_left_out;
        let what = format!("by {}: {named}", count(all, "partition", "partitions"));
        write_item(out, "blocked ", &what)?;
    }
    Ok(())
}

/// Tell why a partition is where it is and as it is, and what it waits for.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck explain partition-3")]
pub(crate) struct ExplainArgs {
    /// The partition, as `partition-3` or `3`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// Explains a partition.
pub(crate) fn explain(args: &ExplainArgs, output: Output) -> Done {
    let told = with_client(&args.connection, async |client: Client| {
        client.explain(&args.id).await
    })?;
    output.show(&told, |out| write_explained(out, &told))
}

fn write_explained(out: &mut dyn Write, told: &Explanation) -> io::Result<()> {
    let primary = told.primary.as_deref().unwrap_or("nobody");
    writeln!(out, "{} is {}", told.id, told.state)?;
    writeln!(
        out,
        "{primary} may act on it, at epoch {}; version {}.{}",
        told.epoch, told.incarnation, told.version
    )?;
    for reason in &told.reasons {
        write_item(out, "- ", reason)?;
    }
    if let Some(plan) = &told.plan {
        let reached = if plan.reached { ", which it has" } else { "" };
        writeln!(
            out,
            "the plan under way ({}, by {}) wants {}{reached}",
            plan.trigger,
            plan.actor,
            plan.nodes.join(", ")
        )?;
    }
    writeln!(out)?;
    let mut rows = table(["node", "role", "in sync", "status"]);
    for copy in &told.copies {
        let in_sync = match (copy.in_sync, copy.unproven, told.last_known) {
            (true, true, _) => "unproven",
            (true, _, true) => "last known",
            (true, ..) => "yes",
            _ => "no",
        };
        rows.add_row(vec![
            Cell::new(&copy.node),
            Cell::new(&copy.role),
            state(in_sync),
            state(&copy.status),
        ]);
    }
    write_table(out, &rows)
}

/// Tell why a node does not have a partition, or not its primary role.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck why-not partition-3 node-4")]
pub(crate) struct WhyNotArgs {
    /// The partition, as `partition-3` or `3`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// The node's id.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    connection: Connection,
}

/// Tells why a node does not have a partition.
pub(crate) fn why_not(args: &WhyNotArgs, output: Output) -> Done {
    let told = with_client(&args.connection, async |client: Client| {
        client.why_not(&args.id, &args.node).await
    })?;
    output.show(&told, |out| {
        let what = match (told.is_primary, told.has_copy) {
            (true, _) => "is the primary",
            (false, true) => "has a copy, and is not the primary",
            (false, false) => "has no copy",
        };
        writeln!(out, "{} {what} of {}", told.node, told.id)?;
        for reason in &told.reasons {
            write_item(out, "- ", reason)?;
        }
        Ok(())
    })
}

/// Show who changed what, when: the newest commands that were accepted, oldest of them first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ck history\n  ck history --from 120 --to 140")]
pub(crate) struct HistoryArgs {
    /// Only from this version on, as `12` or `1.12`.
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,
    /// Only up to this version.
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// At most so many, 1 to 1,000: the first ones with --from, else the newest.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows the history.
pub(crate) fn history(args: &HistoryArgs, output: Output) -> Done {
    let history = with_client(&args.connection, async |client: Client| {
        let (from, to) = (args.from.as_deref(), args.to.as_deref());
        client.history(from, to, args.limit).await
    })?;
    output.show(&history, |out| {
        let now = SystemTime::now();
        let mut rows = table(["version", "at (utc)", "ago", "by", "command", "what"]);
        for entry in &history.entries {
            rows.add_row(vec![
                figure(entry.version),
                // To the second; the rest is in the JSON.
                Cell::new(
                    entry
                        .at
                        .split('.')
                        .next()
                        .unwrap_or_default()
                        .replace('T', " "),
                ),
                figure(ago(entry.at_ms, now)),
                Cell::new(&entry.actor),
                Cell::new(&entry.kind),
                Cell::new(&entry.summary),
            ]);
        }
        write_table(out, &rows)?;
        let shown = count(history.count, "command", "commands");
        let more = match (history.has_more, &args.from) {
            (false, _) => "",
            (true, Some(_)) => "; more follow",
            (true, None) => "; older ones are left out, see --from",
        };
        writeln!(
            out,
            "{shown}{more}; kept from version {}.{} on",
            history.incarnation, history.oldest
        )
    })
}
