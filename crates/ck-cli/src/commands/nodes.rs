//! `ck nodes` and `ck remove`.

use ck_api::{Node, NodePage, PartitionStats, Removed};
use ck_client::{Client, ClientError};
use clap::Args;
use comfy_table::{Cell, Table};
use serde::Serialize;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::{Done, warn};
use crate::output::{Output, count, figure, state, table, write_table};

/// Nodes asked for at a time: the most a page holds.
const PAGE: u64 = 1_000;

/// Most nodes a topology may have.
const NODES_MAX: u64 = 65_536;

/// List the nodes: where they are, how they are, what they hold.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck nodes --server http://127.0.0.1:8080")]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Lists the nodes.
pub(crate) fn run(args: &NodesArgs, output: Output) -> Done {
    let (page, stats) = with_client(&args.connection, async |client: Client| {
        Ok((all(&client).await?, client.partition_stats().await?))
    })?;
    output.show(&page, |out| {
        write_table(out, &node_table(&page.nodes, &stats))
    })
}

/// All nodes as one page.
pub(super) async fn all(client: &Client) -> Result<NodePage, ClientError> {
    let mut page = client.nodes(PAGE, 0).await?;
    while page.has_more && (page.nodes.len() as u64) < NODES_MAX {
        let next = client.nodes(PAGE, page.nodes.len() as u64).await?;
        if next.nodes.is_empty() {
            break;
        }
        page.nodes.extend(next.nodes);
        page.has_more = next.has_more;
        page.next_offset = next.next_offset;
        page.total = next.total;
    }
    Ok(page)
}

/// The nodes with their figures, for a person.
pub(super) fn node_table(nodes: &[Node], stats: &PartitionStats) -> Table {
    let mut table = table([
        "node",
        "status",
        "role",
        "address",
        "domain",
        "weight",
        "primaries",
        "replicas",
        "services",
    ]);
    let mut nodes: Vec<&Node> = nodes.iter().collect();
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    for node in nodes {
        let held = |counts: &std::collections::BTreeMap<String, u64>| {
            figure(counts.get(&node.id).copied().unwrap_or_default())
        };
        let services: Vec<String> = node
            .services
            .iter()
            .map(|(name, address)| format!("{name}={address}"))
            .collect();
        table.add_row(vec![
            Cell::new(&node.id),
            state(&node.status),
            Cell::new(if node.leader { "leader" } else { "" }),
            Cell::new(if node.ip.is_empty() { "-" } else { &node.ip }),
            Cell::new(node.domain.as_deref().unwrap_or("-")),
            figure(node.weight),
            held(&stats.partitions_per_node),
            held(&stats.replicas_per_node),
            Cell::new(if services.is_empty() {
                "-".to_owned()
            } else {
                services.join(" ")
            }),
        ]);
    }
    table
}

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
/// A node that comes back under the same id with another disk needs this first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck remove node-3")]
pub(crate) struct RemoveArgs {
    /// The node's id.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    connection: Connection,
}

/// Removes a node.
pub(crate) fn remove(args: &RemoveArgs, output: Output) -> Done {
    let (removed, copies) = with_client(&args.connection, async |client: Client| {
        let removed = client.remove_node(&args.node).await?;
        // The node is gone; that nobody tells the replication factor now is no failure of it.
        let copies = client.cluster().await.ok();
        Ok((
            removed,
            copies.map(|answer| answer.cluster.config.replication_factor),
        ))
    })?;
    let stay = count(removed.node_count, "node stays", "nodes stay");
    let copies = copies.filter(|copies| u64::from(*copies) > removed.node_count);
    let warning = copies.map(|copies| {
        format!(
            "{stay}, fewer than the replication factor {copies}: partitions have fewer copies \
             until a node joins"
        )
    });
    if let Some(warning) = &warning {
        warn(warning);
    }
    let shown = RemovedShown { removed, warning };
    let removed = &shown.removed;
    output.show(&shown, |out| {
        writeln!(out, "{} is no member any more; {stay}", removed.node)
    })
}
