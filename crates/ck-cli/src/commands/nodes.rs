//! `ck nodes`.

use ck_api::{Node, NodePage, PartitionStats};
use ck_client::{Client, ClientError};
use clap::Args;
use comfy_table::{Cell, Table};

use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, figure, state, table, write_table};

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
