//! `ck create` and `ck rebalance`.

use std::io::{self, Write};

use ck_api::{Move, RebalanceAnswer};
use ck_client::Client;
use clap::Args;
use comfy_table::Cell;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, count, table, write_table};

/// Rows shown; `--json` shows those the server lists.
pub(super) const MOVES_SHOWN: usize = 64;

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
    if plan.moves.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = table(["partition", "copy to", "drop from", "primary"]);
    for change in plan.moves.iter().take(MOVES_SHOWN) {
        rows.add_row(move_cells(change));
    }
    write_table(out, &rows)?;
    let left_out = plan.moves.len().saturating_sub(MOVES_SHOWN) as u64 + plan.moves_left_out;
    if left_out > 0 {
        writeln!(out, "… and {left_out} more; --json prints up to 1,000")?;
    }
    Ok(())
}

/// One changed partition: what it is, where copies go, and its primary.
pub(super) fn move_cells(change: &Move) -> Vec<Cell> {
    let dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let primary = if change.old_primary == change.new_primary {
        dash(&change.new_primary)
    } else {
        format!(
            "{} → {}",
            dash(&change.old_primary),
            dash(&change.new_primary)
        )
    };
    vec![
        Cell::new(&change.partition),
        Cell::new(dash(&change.copy_to.join(", "))),
        Cell::new(dash(&change.drop_from.join(", "))),
        Cell::new(primary),
    ]
}
