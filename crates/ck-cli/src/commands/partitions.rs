//! `ck partitions`, `ck partition`, `ck stats`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ck_api::{Balance, PartitionAnswer, PartitionList};
use ck_client::{Client, PartitionQuery};
use clap::Args;
use comfy_table::Cell;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, count, figure, state, table, write_table};

/// List the partitions: their primary, replicas and state.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck partitions
  ck partitions --node node-1 --state degraded")]
pub(crate) struct PartitionsArgs {
    /// Only those of which this node holds a copy.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only those in this state.
    #[arg(long, value_parser = ["stable", "moving", "degraded", "unavailable"])]
    state: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Lists the partitions.
pub(crate) fn list(args: &PartitionsArgs, output: Output) -> Done {
    let query = PartitionQuery {
        node: args.node.clone(),
        state: args.state.clone(),
        ..PartitionQuery::default()
    };
    let list = with_client(&args.connection, async |client: Client| {
        client.partitions(&query).await
    })?;
    output.show(&list, |out| write_list(out, &list))
}

/// The list for a person.
pub(super) fn write_list(out: &mut dyn Write, list: &PartitionList) -> io::Result<()> {
    let mut table = table(["partition", "primary", "replicas", "epoch", "state"]);
    for partition in &list.partitions {
        table.add_row(vec![
            Cell::new(&partition.id),
            Cell::new(or_dash(&partition.primary_node)),
            Cell::new(or_dash(&partition.replica_nodes.join(", "))),
            figure(partition.epoch),
            state(&partition.state),
        ]);
    }
    write_table(out, &table)?;
    let shown = count(list.count, "partition", "partitions");
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for partition in &list.partitions {
        *states.entry(partition.state.as_str()).or_default() += 1;
    }
    let states = states
        .iter()
        .map(|(state, count)| format!(", {count} {state}"));
    writeln!(
        out,
        "{shown}, version {}.{}{}",
        list.incarnation,
        list.version,
        states.collect::<String>()
    )
}

/// Show one partition: its copies, their state, and any move.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck partition partition-3")]
pub(crate) struct PartitionArgs {
    /// The partition, as `partition-3` or `3`.
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// Shows one partition.
pub(crate) fn one(args: &PartitionArgs, output: Output) -> Done {
    let answer = with_client(&args.connection, async |client: Client| {
        client.partition(&args.id).await
    })?;
    output.show(&answer, |out| write_one(out, &answer))
}

/// One partition for a person.
pub(super) fn write_one(out: &mut dyn Write, answer: &PartitionAnswer) -> io::Result<()> {
    writeln!(out, "partition  {}", answer.id)?;
    let address = |address: &str| {
        if address.is_empty() {
            String::new()
        } else {
            format!(" at {address}")
        }
    };
    let primary = or_dash(&answer.primary_node);
    writeln!(
        out,
        "primary    {primary}{}",
        address(&answer.primary_address)
    )?;
    let replicas: Vec<String> = answer
        .replica_nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let known = answer.replica_addresses.get(at).map_or("", String::as_str);
            format!("{node}{}", address(known))
        })
        .collect();
    writeln!(out, "replicas   {}", or_dash(&replicas.join(", ")))?;
    writeln!(
        out,
        "state      {}, epoch {}, version {}.{}",
        answer.state, answer.epoch, answer.incarnation, answer.version
    )?;
    if let Some(transfer) = &answer.transfer {
        let from = transfer.from.as_deref().unwrap_or("nowhere");
        writeln!(
            out,
            "moving     from {from} to {}: {}",
            transfer.to, transfer.stage
        )?;
    }
    if let Some(copies) = &answer.replicas {
        writeln!(out)?;
        let mut table = table(["node", "role", "in sync", "status", "address"]);
        for copy in copies {
            table.add_row(vec![
                Cell::new(&copy.node),
                Cell::new(&copy.role),
                state(if copy.in_sync { "yes" } else { "no" }),
                state(&copy.status),
                Cell::new(or_dash(&copy.address)),
            ]);
        }
        write_table(out, &table)?;
    }
    Ok(())
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Show how evenly copies and primaries are spread over nodes and failure domains.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck stats --json")]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Shows the balance.
pub(crate) fn stats(args: &StatsArgs, output: Output) -> Done {
    let stats = with_client(&args.connection, async |client: Client| {
        client.partition_stats().await
    })?;
    output.show(&stats, |out| {
        writeln!(
            out,
            "{}: {} in flight, {} under-replicated, {} unavailable",
            count(stats.total_partitions, "partition", "partitions"),
            stats.in_flight,
            stats.under_replicated,
            stats.unavailable
        )?;
        write_balance(out, "copies", stats.copies)?;
        write_balance(out, "primaries", stats.primaries)?;
        writeln!(out)?;
        let mut nodes = table(["node", "primaries", "replicas"]);
        for (node, primaries) in &stats.partitions_per_node {
            let replicas = stats
                .replicas_per_node
                .get(node)
                .copied()
                .unwrap_or_default();
            nodes.add_row(vec![Cell::new(node), figure(primaries), figure(replicas)]);
        }
        write_table(out, &nodes)?;
        if stats.domains.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut domains = table(["domain", "nodes", "copies", "primaries"]);
        for (name, domain) in &stats.domains {
            domains.add_row(vec![
                Cell::new(name),
                figure(domain.nodes),
                figure(domain.copies),
                figure(domain.primaries),
            ]);
        }
        write_table(out, &domains)
    })
}

fn write_balance(out: &mut dyn Write, what: &str, balance: Balance) -> io::Result<()> {
    let Balance {
        min,
        max,
        max_over_share_permille,
        off_share,
    } = balance;
    let (whole, part) = (
        max_over_share_permille / 1000,
        max_over_share_permille % 1000,
    );
    writeln!(
        out,
        "{what}: {min} to {max} a node, the fullest at {whole}.{part:03} of its share, {off_share} \
         off their share"
    )
}
