//! `ck pause`, `ck resume`, `ck abort`: the plan under way.

use ck_client::{Client, PlanOrder};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, count};

/// Hold the plan under way back. Moves that have begun go on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck pause")]
pub(crate) struct PauseArgs {
    /// The plan's id; refused when another one is under way.
    #[arg(default_value = "current", value_parser = NonEmptyStringValueParser::new())]
    plan: String,
    #[command(flatten)]
    connection: Connection,
}

/// Let a paused plan go on; with --brake, let moves go on after a great loss.
///
/// When many nodes are lost at once, the cluster pulls a brake: promotions go on, and nothing is
/// moved until an operator releases it, or it has been quiet for five minutes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ck resume\n  ck resume --brake")]
pub(crate) struct ResumeArgs {
    /// The plan's id; refused when another one is under way.
    #[arg(default_value = "current", value_parser = NonEmptyStringValueParser::new())]
    plan: String,
    /// Release the brake instead.
    #[arg(long, conflicts_with = "plan")]
    brake: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Give the plan under way up. Moves that have begun go on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck abort")]
pub(crate) struct AbortArgs {
    /// The plan's id; refused when another one is under way.
    #[arg(default_value = "current", value_parser = NonEmptyStringValueParser::new())]
    plan: String,
    #[command(flatten)]
    connection: Connection,
}

/// Holds the plan under way back.
pub(crate) fn pause(args: &PauseArgs, output: Output) -> Done {
    steer(&args.connection, &args.plan, PlanOrder::Pause, output)
}

/// Lets the plan, or everything, go on.
pub(crate) fn resume(args: &ResumeArgs, output: Output) -> Done {
    if !args.brake {
        return steer(&args.connection, &args.plan, PlanOrder::Resume, output);
    }
    let (braked, changed) = with_client(&args.connection, async |client: Client| {
        let braked = client.transfers().await?.braked;
        Ok((braked, client.release_brake().await?))
    })?;
    output.show(&changed, |out| {
        let what = if braked {
            "the brake is released; moves go on"
        } else {
            "the brake was not on; nothing held moves back"
        };
        writeln!(out, "{what}")
    })
}

/// Gives the plan under way up.
pub(crate) fn abort(args: &AbortArgs, output: Output) -> Done {
    steer(&args.connection, &args.plan, PlanOrder::Abort, output)
}

fn steer(connection: &Connection, plan: &str, order: PlanOrder, output: Output) -> Done {
    let (before, plan) = with_client(connection, async |client: Client| {
        // How far it was is told while it is under way, and not any more once it is given up.
        let before = client.plan(plan).await.ok();
        let before = before.and_then(|plan| plan.progress);
        Ok((before, client.order_plan(plan, order).await?))
    })?;
    output.show(&plan, |out| {
        let progress = plan.progress.as_ref().or(before.as_ref());
        let (done, total) = progress.map_or((0, 0), |one| (one.done, one.total));
        let what = match order {
            PlanOrder::Pause => "paused",
            PlanOrder::Resume => "goes on",
            PlanOrder::Abort => "given up",
        };
        let total = count(total, "partition", "partitions");
        writeln!(out, "{} {what} after {done} of {total}", plan.id)
    })
}
