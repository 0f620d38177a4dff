//! `ck status`: the cluster at a glance, and what is wrong with it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use ck_api::{
    ClusterAnswer, HandlerCall, HealthDetailed, PartitionStats, PlanUnderWay, TransferList,
};
use ck_client::{Client, Readiness};
use clap::Args;
use serde::Serialize;

use super::nodes::node_table;
use super::online::with_client;
use crate::args::Connection;
use crate::exit::Done;
use crate::output::{Output, count, partition_number, runs, write_item, write_table};

/// Failures shown; `--json` has up to 100.
const FAILING_SHOWN: usize = 3;

/// Nodes, and runs of partitions, that are named in a sentence.
const NAMED_MAX: usize = 8;

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
    /// The plan under way; null when there is none.
    plan: Option<&'a PlanUnderWay>,
    /// How many nodes have each status.
    nodes: BTreeMap<&'a str, u64>,
    /// How many partitions have each state.
    partitions: BTreeMap<&'a str, u64>,
}

/// Shows the cluster at a glance.
pub(crate) fn run(args: &StatusArgs, output: Output) -> Done {
    let (cluster, stats, readiness, health, transfers) =
        with_client(&args.connection, async |client: Client| {
            let cluster = client.cluster().await?;
            Ok((
                cluster,
                client.partition_stats().await?,
                client.ready().await?,
                client.health_detailed().await?,
                client.transfers().await?,
            ))
        })?;
    let status = status(&cluster, &readiness, &health, &transfers);
    output.show(&status, |out| write(out, &status, &cluster, &stats))
}

fn status<'a>(
    answer: &'a ClusterAnswer,
    readiness: &'a Readiness,
    health: &'a HealthDetailed,
    transfers: &'a TransferList,
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
        braked: transfers.braked,
        paused: transfers.plan.as_ref().is_some_and(|plan| plan.paused),
        plan: transfers.plan.as_ref(),
        nodes,
        partitions,
    }
}

fn write(
    out: &mut dyn Write,
    status: &Status<'_>,
    answer: &ClusterAnswer,
    stats: &PartitionStats,
) -> io::Result<()> {
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
    write_trouble(out, status, answer)?;
    writeln!(out)?;
    write_table(out, &node_table(&answer.cluster.nodes, stats))
}

/// What is amiss and what to do about it, a paragraph each; nothing where all is well.
fn write_trouble(
    out: &mut dyn Write,
    status: &Status<'_>,
    answer: &ClusterAnswer,
) -> io::Result<()> {
    if let Some(down) = down(answer) {
        write_item(out, "down        ", &down)?;
    }
    for (state, label, why, next) in [
        (
            "unavailable",
            "unavailable ",
            "have no live copy with every write",
            "start the nodes that `ck explain ID` names",
        ),
        (
            "degraded",
            "degraded    ",
            "lack a copy, or have one that is down or behind",
            "`ck explain ID` says which",
        ),
    ] {
        if let Some(which) = in_state(answer, state) {
            write_item(out, label, &format!("{which} {why}; {next}"))?;
        }
    }
    if status.braked {
        let why = "many nodes were lost at once: promotions go on, nothing is moved; \
                   `ck resume --brake` releases it";
        write_item(out, "brake       ", why)?;
    }
    if let Some(plan) = status.plan {
        let next = if plan.paused {
            "paused by an operator; `ck resume` lets it go on"
        } else {
            "`ck plan current` shows it"
        };
        let (done, trigger, actor) = (plan.done, &plan.trigger, &plan.actor);
        let total = count(plan.total, "partition", "partitions");
        let what = format!("{trigger}, by {actor}: {done} of {total} done; {next}");
        write_item(out, "plan        ", &what)?;
    }
    for call in status.failing.iter().take(FAILING_SHOWN) {
        let what = format!(
            "{} of {} failed {} times in a row: {}",
            call.call, call.partition, call.failures, call.error
        );
        write_item(out, "failing     ", &what)?;
    }
    Ok(())
}

/// The nodes that are down, and what becomes of what they hold.
fn down(answer: &ClusterAnswer) -> Option<String> {
    let nodes = answer.cluster.nodes.iter();
    let down: Vec<&str> = nodes
        .filter(|node| node.status == "down")
        .map(|node| node.id.as_str())
        .collect();
    let first = *down.first()?;
    let mut named = down
        .iter()
        .take(NAMED_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if down.len() > NAMED_MAX {
        named = format!("{named} and {} more", down.len() - NAMED_MAX);
    }
    let grace = Duration::from_millis(answer.cluster.config.rejoin_grace_ms);
    Some(format!(
        "{named}; start again what is to come back, `ck remove {first}` is for what never will. \
         What is away for {grace:?} has its copies made elsewhere, where others can hold them"
    ))
}

/// How many partitions are in a state, and which.
fn in_state(answer: &ClusterAnswer, state: &str) -> Option<String> {
    let partitions = answer.cluster.partition_map.partitions.iter();
    let mut numbers: Vec<u32> = partitions
        .filter(|(_, partition)| partition.state == state)
        .filter_map(|(id, _)| partition_number(id))
        .collect();
    numbers.sort_unstable();
    match numbers.as_slice() {
        [] => None,
        [only] => Some(format!("1 partition ({only})")),
        many => {
            let which = runs(many.iter().copied(), NAMED_MAX);
            Some(format!("{} partitions ({which})", many.len()))
        }
    }
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
