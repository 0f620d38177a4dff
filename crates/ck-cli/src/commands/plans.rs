//! `ck plan` and `ck apply`: a plan as data, looked at and carried out.

use std::io::{self, Write};

use ck_api::Plan;
use ck_client::Client;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::moves::{self, Change};
use super::online::{operate, with_client};
use super::waiting::{Waiting, waits_for};
use crate::args::Connection;
use crate::exit::{Done, Failure};
use crate::output::{Output, count, partition_number, runs, write_item};

/// Runs of lost partitions that are named; `--json` names all.
const LOST_RUNS: usize = 8;

/// Show what a plan over the nodes of now would move, when, why and at what cost.
///
/// Nothing changes. The plan is kept by the server that answered, which also applies it. With the
/// id of a plan, or `current` for the one under way, shows how far that is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck plan
  ck plan current")]
pub(crate) struct PlanArgs {
    /// A plan made before, or `current`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    plan: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Plans, or shows a plan.
pub(crate) fn plan(args: &PlanArgs, output: Output) -> Done {
    let plan = with_client(&args.connection, async |client: Client| match &args.plan {
        Some(id) => client.plan(id).await,
        None => client.preview_plan().await,
    })?;
    output.show(&plan, |out| write_plan(out, &plan))
}

/// Carry out a plan that was made with `ck plan`, and wait until it is done.
///
/// Refused when anything it depends on has changed since: plan again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck apply plan-19aba1f3c00-0
  ck apply plan-19aba1f3c00-0 --no-wait")]
pub(crate) struct ApplyArgs {
    /// The plan's id.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    plan: String,
    /// Only begin it.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Carries a plan out.
pub(crate) fn apply(args: &ApplyArgs, output: Output) -> Done {
    let within = args.connection.timeout;
    let plan = operate(&args.connection, async |client: Client| {
        let plan = client.plan(&args.plan).await?;
        let begun = client.apply_plan(&plan).await?;
        if args.no_wait {
            return Ok(begun);
        }
        let what = format!("carrying out {}", args.plan);
        carried_out(&client, begun, Waiting::new(output, &what, within)).await
    })?;
    output.show(&plan, |out| {
        let copies = count(plan.copies_moved, "copy", "copies");
        let what = match plan.status.as_str() {
            "done" => format!("done: {copies} moved"),
            "empty" => "nothing to change".to_owned(),
            _ => format!(
                "begun: {copies} to move; `ck plan {}` shows how far it is",
                plan.id
            ),
        };
        writeln!(out, "{what}")
    })
}

/// Waits for a plan's end.
async fn carried_out(
    client: &Client,
    mut plan: Plan,
    mut waiting: Waiting,
) -> Result<Plan, Failure> {
    let mut seen = (0, plan.partitions_changed);
    loop {
        let moves = match &plan.progress {
            Some(progress) => {
                seen = (progress.done, progress.total);
                waits_for(&progress.transfers)
            }
            None => String::new(),
        };
        let moves = match plan.status.as_str() {
            "under-way" => moves,
            "paused" => "paused; `ck resume`".to_owned(),
            "ended" => {
                let message = format!(
                    "the plan was given up after {} of {} partitions; `ck plan` makes another",
                    seen.0, seen.1
                );
                return Err(Failure::failed(message));
            }
            _ => return Ok(plan),
        };
        waiting.look_again(seen.0, seen.1, &moves).await?;
        match client.plan(&plan.id).await {
            Ok(next) => plan = next,
            Err(error) if waiting.may_retry(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A plan for a person.
pub(super) fn write_plan(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let least = if plan.optimal {
        "proved to be the fewest".to_owned()
    } else {
        format!("at most {} above the fewest", plan.gap)
    };
    writeln!(out, "plan     {}, {}", plan.id, plan.status)?;
    writeln!(
        out,
        "version  {}.{}, trigger {}",
        plan.incarnation, plan.base, plan.trigger
    )?;
    let copies = count(plan.copies_moved, "copy", "copies");
    let primaries = count(
        plan.primaries_changed,
        "primary changes",
        "primaries change",
    );
    let bound = plan.lower_bound;
    let cost = format!("{copies} to move ({least}; lower bound {bound}), {primaries}");
    write_item(out, "cost     ", &cost)?;
    let transfers = count(plan.transfers_per_node, "transfer", "transfers");
    let (rounds, why) = (plan.rounds, &plan.rounds_bound);
    write_item(
        out,
        "rounds   ",
        &format!("{rounds} at {transfers} at once a node: {why}"),
    )?;
    if let Some(progress) = &plan.progress {
        let moves = waits_for(&progress.transfers);
        let colon = if moves.is_empty() { "" } else { "; " };
        let (done, actor) = (progress.done, &progress.actor);
        let total = count(progress.total, "partition", "partitions");
        let told = format!("{done} of {total}, begun by {actor}{colon}{moves}");
        write_item(out, "done     ", &told)?;
    }
    if plan.degraded {
        writeln!(
            out,
            "degraded: there are fewer nodes or failure domains than asked for"
        )?;
    }
    if !plan.partitions_lost.is_empty() {
        let lost = &plan.partitions_lost;
        let numbers = runs(lost.iter().filter_map(|id| partition_number(id)), LOST_RUNS);
        let lost = count(lost.len() as u64, "partition", "partitions");
        writeln!(out, "lost     no copy can be read of {lost}: {numbers}")?;
    }
    let changes = plan.moves.iter().map(|one| Change {
        moved: &one.change,
        round: Some(one.round),
        why: &one.why,
    });
    moves::write(out, changes, plan.moves_left_out)?;
    if plan.status == "preview" {
        writeln!(out)?;
        writeln!(out, "`ck apply {}` carries it out", plan.id)?;
    }
    Ok(())
}
