//! `ck migrate`: the table of a cluster of the Go library becomes the first table of one here.

mod source;
mod target;

use std::collections::BTreeMap;
use std::io::{self, Write};

use ck_client::{Client, ClientConfig};
use clap::Args;
use comfy_table::Cell;
use serde::Serialize;

use super::online::{REQUEST_TIMEOUT, operate};
use crate::args::Connection;
use crate::exit::{Done, Failure, warn};
use crate::output::{Output, count, figure, table, write_table};
use source::Source;
use target::Names;

/// Take over the table of a running cluster of the Go library, key for key.
///
/// Every key stays in its partition, and every partition on its nodes, in the same order: nothing is
/// copied. Start a node here for each node there, beside it, with the flags that --look prints; they
/// wait for their partitions. A difference that keeps the table from being taken over is named, and
/// nothing is changed then. Asked a second time, nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck migrate --from http://go-node:8080 --look
  ck migrate --from http://go-node:8080 --dry-run
  ck migrate --from http://go-node:8080 --rename old-1=node-1 --rename old-2=node-2")]
pub(crate) struct MigrateArgs {
    /// Address of any node of the other cluster.
    #[arg(long, value_name = "URL")]
    from: String,
    /// What a node of the other cluster is called here, where the names differ.
    #[arg(long, value_name = "THERE=HERE", value_parser = renamed)]
    rename: Vec<(String, String)>,
    /// Only say what the other cluster has, and how nodes are to be started here.
    #[arg(long, conflicts_with_all = ["dry_run", "rename"])]
    look: bool,
    /// Check everything; change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What the other cluster has.
#[derive(Debug, Serialize)]
struct Look<'a> {
    cluster: &'a str,
    partitions: usize,
    replication_factor: u64,
    hash: &'static str,
    nodes: Vec<LookNode<'a>>,
    /// What every node is to be started with here.
    flags: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LookNode<'a> {
    id: &'a str,
    primaries: usize,
    replicas: usize,
    services: &'a BTreeMap<String, String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Migrated<'a> {
    cluster: &'a str,
    partitions: usize,
    dry_run: bool,
    /// Whether this run did it; false with --dry-run, or when it was done before.
    taken_over: bool,
    incarnation: u64,
    version: u64,
    warnings: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &MigrateArgs, output: Output) -> Done {
    let timeout = args.connection.timeout.unwrap_or(REQUEST_TIMEOUT);
    let config = ClientConfig::new([args.from.clone()]).with_timeout(timeout);
    let names = Names::new(&args.rename)?;
    operate(&args.connection, async |client: Client| {
        // No token of ours goes to the other cluster.
        let there = Client::new(config).map_err(|error| Failure::Usage(error.into()))?;
        let source = source::read(&there).await?;
        if args.look {
            return look(&source, output);
        }
        migrate(args, &client, &source, &names, output).await
    })
}

async fn migrate(
    args: &MigrateArgs,
    client: &Client,
    source: &Source,
    names: &Names,
    output: Output,
) -> Done {
    let here = client.cluster().await?;
    let fit = target::fits(source, names, &here)?;
    let (mut taken_over, mut version) = (false, here.version);
    if !args.dry_run && !fit.done {
        let created = client.create_partitions_as(fit.table).await?;
        (taken_over, version) = (created.created, created.partitions.version);
    }
    fit.warnings.iter().for_each(|warning| warn(warning));
    let migrated = Migrated {
        cluster: &source.name,
        partitions: source.rows.len(),
        dry_run: args.dry_run,
        taken_over,
        incarnation: here.incarnation,
        version,
        warnings: fit.warnings,
    };
    output.show(&migrated, |out| {
        let what = match (fit.done, taken_over) {
            (true, _) => "have been taken over before; nothing changes",
            (false, true) => "taken over",
            (false, false) => "can be taken over; nothing was changed",
        };
        let partitions = count(source.rows.len() as u64, "partition", "partitions");
        writeln!(
            out,
            "{partitions} of {} {what}, version {}.{version}",
            source.name, here.incarnation
        )
    })
}

fn look(source: &Source, output: Output) -> Done {
    let held = |node: &str| {
        let primaries = source.rows.iter().filter(|row| row[0] == node).count();
        let copies = source
            .rows
            .iter()
            .filter(|row| row.iter().any(|one| one == node));
        (primaries, copies.count() - primaries)
    };
    let nodes = source.nodes.iter().map(|(id, services)| {
        let (primaries, replicas) = held(id);
        LookNode {
            id,
            primaries,
            replicas,
            services,
        }
    });
    let look = Look {
        cluster: &source.name,
        partitions: source.rows.len(),
        replication_factor: source.replication_factor,
        hash: target::HASH,
        nodes: nodes.collect(),
        flags: target::flags(source),
    };
    output.show(&look, |out| write_look(out, &look))
}

fn write_look(out: &mut dyn Write, look: &Look<'_>) -> io::Result<()> {
    let partitions = count(look.partitions as u64, "partition", "partitions");
    writeln!(
        out,
        "{}: {partitions}, replication factor {}, keys by {}",
        look.cluster, look.replication_factor, look.hash
    )?;
    writeln!(out)?;
    let mut nodes = table(["node", "primaries", "replicas", "services"]);
    for node in &look.nodes {
        let services: Vec<String> = node
            .services
            .iter()
            .map(|(name, address)| format!("{name}={address}"))
            .collect();
        nodes.add_row(vec![
            Cell::new(node.id),
            figure(node.primaries),
            figure(node.replicas),
            Cell::new(services.join(" ")),
        ]);
    }
    write_table(out, &nodes)?;
    writeln!(out)?;
    writeln!(out, "start each of them here, under the same --id, with")?;
    writeln!(out, "  {}", look.flags.join(" "))
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((there, here)) if !there.is_empty() && !here.is_empty() => {
            Ok((there.to_owned(), here.to_owned()))
        }
        _ => Err(format!(
            "{text:?} is no pair of names; write it as THERE=HERE"
        )),
    }
}
