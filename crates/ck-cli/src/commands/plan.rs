//! `ck create` and `ck rebalance`.

use std::io::{self, Write};

use ck_api::RebalanceAnswer;
use ck_client::Client;
use clap::Args;

use super::moves::{self, Change};
use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, count};

/// Create the partitions, once; when they exist, nothing changes.
///
/// Needed only where nodes were started with `--no-auto-create`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck create")]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Creates the partitions.
pub(crate) fn create(args: &CreateArgs, output: Output) -> Done {
    let created = with_client(&args.connection, async |client: Client| {
        client.create_partitions().await
    })?;
    let list = &created.partitions;
    output.show(list, |out| {
        let partitions = count(list.count, "partition", "partitions");
        let what = if created.created {
            "created"
        } else {
            "existed already"
        };
        writeln!(
            out,
            "{partitions} {what}, version {}.{}",
            list.incarnation, list.version
        )
    })
}

/// Plan over the nodes of now, and begin to carry the plan out.
///
/// To look at a plan before it is carried out: `ck plan`, then `ck apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck rebalance --dry-run
  ck rebalance")]
pub(crate) struct RebalanceArgs {
    /// Show what would move; change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Rebalances.
pub(crate) fn rebalance(args: &RebalanceArgs, output: Output) -> Done {
    let answer = with_client(&args.connection, async |client: Client| {
        client.rebalance(args.dry_run).await
    })?;
    output.show(&answer, |out| write_plan(out, &answer))
}

fn write_plan(out: &mut dyn Write, plan: &RebalanceAnswer) -> io::Result<()> {
    let what = match (plan.dry_run, plan.applied) {
        (true, _) => "planned only",
        (false, true) => "begun",
        (false, false) => "nothing to change",
    };
    let least = if plan.optimal {
        "proved to be the fewest".to_owned()
    } else {
        format!("at most {} above the fewest", plan.gap)
    };
    writeln!(
        out,
        "{what}: {} to move ({least}; lower bound {}), {}",
        count(plan.copies_moved, "copy", "copies"),
        plan.lower_bound,
        count(
            plan.primaries_changed,
            "primary changes",
            "primaries change"
        ),
    )?;
    writeln!(out, "version {}.{}", plan.incarnation, plan.version)?;
    if plan.applied {
        writeln!(out, "`ck plan current` shows how far it is")?;
    }
    if plan.degraded {
        writeln!(
            out,
            "degraded: there are fewer nodes or failure domains than asked for"
        )?;
    }
    let changes = plan.moves.iter().map(|moved| Change {
        moved,
        round: None,
        why: &[],
    });
    moves::write(out, changes, plan.moves_left_out)
}
