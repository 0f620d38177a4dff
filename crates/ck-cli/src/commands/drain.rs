//! `ck drain`, `ck cordon`, `ck uncordon`.

use ck_api::NodeAnswer;
use ck_client::{Client, ClientError, NodeOrder};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::online::{operate, too_few_holders, with_client};
use super::waiting::{Waiting, waits_for};
use crate::args::Connection;
use crate::exit::{Done, Failure, warn};
use crate::output::{Output, count};

/// Empty a node: its copies and its primary roles move to the others.
///
/// It stays a member and takes nothing new, until `ck uncordon`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck drain node-3 --wait
  ck drain node-3 --wait && ck remove node-3")]
pub(crate) struct DrainArgs {
    /// The node's id.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    /// Wait until it is empty.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Give a node nothing new; what it has stays.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck cordon node-3")]
pub(crate) struct CordonArgs {
    /// The node's id.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    connection: Connection,
}

/// Let a node take its share again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck uncordon node-3")]
pub(crate) struct UncordonArgs {
    /// The node's id.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    connection: Connection,
}

/// Empties a node.
pub(crate) fn drain(args: &DrainArgs, output: Output) -> Done {
    let within = args.connection.timeout;
    let answer = operate(&args.connection, async |client: Client| {
        let answer = client.order_node(&args.node, NodeOrder::Drain).await?;
        // Draining goes on without it; said before the wait, while it can be taken back.
        if let Some(warning) = client
            .cluster()
            .await
            .ok()
            .as_ref()
            .and_then(too_few_holders)
        {
            warn(&warning);
        }
        // Where nothing is planned by itself, the plan that empties it is asked for.
        let by_itself = client.config().await?.config.auto_rebalance;
        if !by_itself {
            plan(&client).await?;
        }
        if !args.wait {
            return Ok(answer);
        }
        let what = format!("draining {}", args.node);
        let waiting = Waiting::new(output, &what, within);
        emptied(&client, &answer, by_itself, waiting).await
    })?;
    output.show(&answer, |out| {
        let node = &answer.node.id;
        match copies(&answer) {
            0 => writeln!(
                out,
                "{node} is empty and takes nothing new; `ck uncordon {node}`"
            ),
            _ => writeln!(
                out,
                "{node} is draining: {} left; `ck drain {node} --wait` waits",
                held(&answer)
            ),
        }
    })
}

/// Waits until a node holds nothing.
async fn emptied(
    client: &Client,
    before: &NodeAnswer,
    by_itself: bool,
    mut waiting: Waiting,
) -> Result<NodeAnswer, Failure> {
    let (node, total) = (before.node.id.as_str(), copies(before));
    let mut left = total;
    loop {
        match client.node(node).await {
            Ok(answer) if copies(&answer) == 0 => return Ok(answer),
            Ok(answer) if answer.node.status == "active" => {
                let message = format!("{node} was taken back before it was empty");
                return Err(Failure::Refused(anyhow::Error::msg(message)));
            }
            Ok(answer) => left = copies(&answer),
            Err(error) if waiting.may_retry(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let moves = client.transfers().await.map(|list| list.transfers);
        let moves = moves.unwrap_or_default();
        if moves.is_empty() && !by_itself {
            plan(client).await?;
        }
        let moves = waits_for(&moves);
        let done = total.saturating_sub(left);
        waiting.look_again(done, total, &moves).await?;
    }
}

/// Asks for a plan, unless one is being carried out, which comes first.
async fn plan(client: &Client) -> Result<(), Failure> {
    let under_way = |error: &ClientError| {
        let problem = error.problem();
        problem.is_some_and(|problem| problem.code == "rebalance-under-way")
    };
    match client.rebalance(false).await {
        Err(error) if !under_way(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Copies a node holds, primaries included.
pub(super) const fn copies(answer: &NodeAnswer) -> u64 {
    answer.primaries + answer.replicas
}

fn held(answer: &NodeAnswer) -> String {
    let primaries = count(answer.primaries, "primary", "primaries");
    let replicas = count(answer.replicas, "replica", "replicas");
    format!("{primaries} and {replicas}")
}

/// Gives a node nothing new.
pub(crate) fn cordon(args: &CordonArgs, output: Output) -> Done {
    let answer = with_client(&args.connection, async |client: Client| {
        client.order_node(&args.node, NodeOrder::Cordon).await
    })?;
    output.show(&answer, |out| {
        let node = &answer.node.id;
        writeln!(out, "{node} takes nothing new; it keeps {}", held(&answer))
    })
}

/// Lets a node take its share again.
pub(crate) fn uncordon(args: &UncordonArgs, output: Output) -> Done {
    let answer = with_client(&args.connection, async |client: Client| {
        client.order_node(&args.node, NodeOrder::Uncordon).await
    })?;
    output.show(&answer, |out| {
        writeln!(out, "{} takes its share again", answer.node.id)
    })
}
