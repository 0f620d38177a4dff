//! `ck status`: the cluster at a glance, and what is wrong with it.

use std::collections::BTreeMap;
use std::io::Write;

use ck_api::{ClusterAnswer, HandlerCall, HealthDetailed, PartitionStats};
use ck_client::{Client, ClientError, Readiness};
use clap::Args;
use serde::Serialize;

use super::nodes::node_table;
use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, write_item, write_table};

/// Failures shown; `--json` has up to 100.
const FAILING_SHOWN: usize = 3;

/// Show the cluster at a glance: leader, nodes, partitions, and what is amiss.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck status
  ck status --server http://127.0.0.1:8080,http://127.0.0.1:8081 --json")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    connection: Connection,
}

/// What `ck status --json` prints.
#[derive(Serialize)]
struct Status<'a> {
    /// The cluster's name.
    cluster: &'a str,
    /// The cluster's UUID.
    uuid: &'a str,
    incarnation: u64,
    version: u64,
    /// The consensus leader's id; empty while there is none.
    leader: &'a str,
    /// Whether the node that was asked is ready.
    ready: bool,
    /// Why it is not.
    reasons: &'a [String],
    /// What the application of the node that was asked failed at, the most failures first.
    failing: Vec<&'a HandlerCall>,
    /// Whether the brake holds moves back, because many nodes were lost at once.
    braked: bool,
    /// Whether the plan under way is held back by an operator.
    paused: bool,
    /// How many nodes have each status.
    nodes: BTreeMap<&'a str, u64>,
    /// How many partitions have each state.
    partitions: BTreeMap<&'a str, u64>,
}

/// Shows the cluster at a glance.
pub(crate) fn run(args: &StatusArgs, output: Output) -> Done {
    let (cluster, stats, readiness, health, held) =
        with_client(&args.connection, async |client: Client| {
            let cluster = client.cluster().await?;
            Ok((
                cluster,
                client.partition_stats().await?,
                client.ready().await?,
                client.health_detailed().await?,
                held_back(&client).await?,
            ))
        })?;
    let status = status(&cluster, &readiness, &health, held);
    output.show(&status, |out| write(out, &status, &cluster, &stats))
}

/// What holds moves back: the brake, and an operator who paused the plan under way.
async fn held_back(client: &Client) -> Result<(bool, bool), ClientError> {
    let braked = client.transfers().await?.braked;
    let paused = match client.plan("current").await {
        Ok(plan) => plan.status == "paused",
        // There is none, or none can be told now; whether the node is ready says the rest.
        Err(ClientError::Problem(_)) => false,
        Err(error) => return Err(error),
    };
    Ok((braked, paused))
}

fn status<'a>(
    answer: &'a ClusterAnswer,
    readiness: &'a Readiness,
    health: &'a HealthDetailed,
    (braked, paused): (bool, bool),
) -> Status<'a> {
    let mut nodes = BTreeMap::new();
    for node in &answer.cluster.nodes {
        *nodes.entry(node.status.as_str()).or_default() += 1;
    }
    let mut partitions = BTreeMap::new();
    for partition in answer.cluster.partition_map.partitions.values() {
        *partitions.entry(partition.state.as_str()).or_default() += 1;
    }
    let (ready, reasons): (bool, &[String]) = match readiness {
        Readiness::Ready(_) => (true, &[]),
        Readiness::NotReady(not) => (false, &not.reasons),
    };
    Status {
        cluster: &answer.cluster.name,
        uuid: &answer.cluster.uuid,
        incarnation: answer.incarnation,
        version: answer.version,
        leader: &answer.leader,
        ready,
        reasons,
        failing: health
            .handler
            .iter()
            .filter(|call| call.failures > 0)
            .collect(),
        braked,
        paused,
        nodes,
        partitions,
    }
}

fn write(
    out: &mut dyn Write,
    status: &Status<'_>,
    answer: &ClusterAnswer,
    stats: &PartitionStats,
) -> std::io::Result<()> {
    let leader = if status.leader.is_empty() {
        "none at present"
    } else {
        status.leader
    };
    writeln!(out, "cluster     {} ({})", status.cluster, status.uuid)?;
    writeln!(out, "version     {}.{}", status.incarnation, status.version)?;
    writeln!(out, "leader      {leader}")?;
    writeln!(out, "nodes       {}", tally(&status.nodes, "none"))?;
    writeln!(
        out,
        "partitions  {}",
        tally(&status.partitions, "not created yet; `ck create` does")
    )?;
    writeln!(
        out,
        "ready       {}",
        if status.ready { "yes" } else { "no" }
    )?;
    for reason in status.reasons {
        write_item(out, "            ", reason)?;
    }
    if status.braked {
        let why = "many nodes were lost at once: promotions go on, nothing is moved; \
                   `ck resume --brake` releases it";
        write_item(out, "brake       ", why)?;
    }
    if status.paused {
        write_item(
            out,
            "plan        ",
            "paused by an operator; `ck resume` lets it go on",
        )?;
    }
    let unavailable = status.partitions.get("unavailable");
    if let Some(number) = unavailable.filter(|number| **number > 0) {
        let why = format!(
            "{number} without a live copy that has everything; `ck partitions --state unavailable`, \
             then `ck explain` one"
        );
        write_item(out, "unavailable ", &why)?;
    }
    for call in status.failing.iter().take(FAILING_SHOWN) {
        let what = format!(
            "{} of {} failed {} times in a row: {}",
            call.call, call.partition, call.failures, call.error
        );
        write_item(out, "failing     ", &what)?;
    }
    writeln!(out)?;
    write_table(out, &node_table(&answer.cluster.nodes, stats))
}

fn tally(counts: &BTreeMap<&str, u64>, none: &str) -> String {
    if counts.is_empty() {
        return none.to_owned();
    }
    let total: u64 = counts.values().sum();
    let each: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    format!("{total}: {}", each.join(", "))
}
