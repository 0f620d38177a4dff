//! `ck remove`.

use ck_api::Removed;
use ck_client::{Client, ClientError};
use clap::Args;
use serde::Serialize;

use super::drain::copies;
use super::online::{operate, too_few_holders};
use super::waiting::{Waiting, waits_for};
use crate::args::Connection;
use crate::exit::{Done, Failure, warn};
use crate::output::{Output, count};

/// What a cluster says of a node that still has to be emptied.
const DRAINING: &str = "draining";

/// What `ck remove --json` prints.
#[derive(Serialize)]
struct RemovedShown {
    #[serde(flatten)]
    removed: Removed,
    /// What to mend now; absent when nothing is amiss.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// Take a node out of the cluster for good; its copies are planned onto the others.
///
/// A node that is up is emptied first, and this waits for it. A node that comes back under the same
/// id with another disk needs this first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck remove node-3")]
pub(crate) struct RemoveArgs {
    /// The node's id.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    /// Do not wait for a node that still has to be emptied: begin it, and exit with 4.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Removes a node.
pub(crate) fn run(args: &RemoveArgs, output: Output) -> Done {
    let (removed, cluster) = operate(&args.connection, async |client: Client| {
        let removed = removed(&client, args, output).await?;
        // The node is gone; that nobody tells of the others now is no failure of it.
        Ok((removed, client.cluster().await.ok()))
    })?;
    let stay = count(removed.node_count, "node stays", "nodes stay");
    let warning = cluster.as_ref().and_then(too_few_holders);
    if let Some(warning) = &warning {
        warn(warning);
    }
    let shown = RemovedShown { removed, warning };
    let removed = &shown.removed;
    output.show(&shown, |out| {
        writeln!(out, "{} is no member any more; {stay}", removed.node)
    })
}

/// Asks until the node is gone.
async fn removed(client: &Client, args: &RemoveArgs, output: Output) -> Result<Removed, Failure> {
    let mut waiting: Option<Waiting> = None;
    let mut total = 0;
    loop {
        match client.remove_node(&args.node).await {
            Ok(removed) => return Ok(removed),
            // It went while we waited, or by an attempt whose answer was lost.
            Err(error) if waiting.is_some() && is(&error, "node-unknown") => {
                return gone(client, &args.node).await;
            }
            Err(error) if !args.no_wait && goes_on(&error, waiting.as_ref()) => {}
            Err(error) => return Err(error.into()),
        }
        let left = client.node(&args.node).await;
        let left = left.map(|answer| copies(&answer)).unwrap_or(total);
        let waiting = waiting.get_or_insert_with(|| {
            total = left;
            let what = format!("emptying {}", args.node);
            Waiting::new(output, &what, args.connection.timeout)
        });
        let moves = client.transfers().await.map(|list| list.transfers);
        let moves = waits_for(&moves.unwrap_or_default());
        let done = total.saturating_sub(left);
        waiting.look_again(done, total, &moves).await?;
    }
}

fn is(error: &ClientError, code: &str) -> bool {
    error.problem().is_some_and(|problem| problem.code == code)
}

/// Whether the removal is under way, and asking again tells its end.
fn goes_on(error: &ClientError, waiting: Option<&Waiting>) -> bool {
    let may_retry = || waiting.is_none_or(|waiting| waiting.may_retry(error));
    is(error, DRAINING) || (error.is_outcome_unknown() && error.exit_code() == 3 && may_retry())
}

async fn gone(client: &Client, node: &str) -> Result<Removed, Failure> {
    let answer = client.cluster().await?;
    Ok(Removed {
        node: node.to_owned(),
        node_count: answer.cluster.nodes.len() as u64,
        incarnation: answer.incarnation,
        version: answer.version,
    })
}
