//! What `ck dev` says: where the nodes are and what to try, and what went wrong.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use ck_client::{Client, ClientConfig, read_token};
use owo_colors::OwoColorize;
use serde::{Deserialize, Serialize};

use super::PEER_OFFSET;
use super::child::Node;
use crate::exit::{Done, Failure};
use crate::output::{Output, count};

/// A key to try; its owner is asked for.
const KEY: &str = "user:1001";

/// Where the data is, and whether it stays.
pub(super) struct Place<'a> {
    pub(super) directory: &'a Path,
    pub(super) kept: bool,
    pub(super) token_file: Option<&'a Path>,
}

/// What `ck dev --json` prints once the cluster is ready.
#[derive(Serialize)]
struct Ready<'a> {
    nodes: Vec<ReadyNode<'a>>,
    partitions: u64,
    replication_factor: u32,
    /// Where the data is; deleted at the end unless `--keep` named it.
    directory: String,
    ready_ms: u128,
}

#[derive(Serialize)]
struct ReadyNode<'a> {
    id: &'a str,
    pid: u32,
    http: String,
    peer: String,
    data: String,
}

/// What `ck serve --json` says last when it fails.
#[derive(Deserialize)]
struct Reason {
    error: ReasonError,
}

#[derive(Deserialize)]
struct ReasonError {
    message: String,
}

/// Says that the cluster is ready, where it is, and what to try.
pub(super) async fn show(
    nodes: &[Node],
    place: &Place<'_>,
    took: Duration,
    keys: bool,
    output: Output,
) -> Done {
    let client = client(nodes, place)?;
    let cluster = client.cluster().await?;
    let owner = client.partition_for_key(KEY.as_bytes()).await?;
    let partitions = cluster.cluster.partition_map.partitions.len() as u64;
    let config = &cluster.cluster.config;
    let ready = Ready {
        nodes: nodes.iter().map(ready_node).collect(),
        partitions,
        replication_factor: config.replication_factor,
        directory: place.directory.display().to_string(),
        ready_ms: took.as_millis(),
    };
    output.show(&ready, |out| {
        writeln!(
            out,
            "{} with {}, {} of each, ready in {:.1} s\n",
            count(nodes.len() as u64, "node", "nodes"),
            count(partitions, "partition", "partitions"),
            count(config.replication_factor.into(), "copy", "copies"),
            took.as_secs_f64()
        )?;
        for node in nodes {
            writeln!(out, "  {}  http://{}  pid {}", node.id, node.http, node.pid)?;
        }
        let address = |at: usize| nodes[at % nodes.len()].http;
        writeln!(out, "\nthe dashboard is at http://{}/ui", address(0))?;
        writeln!(out, "\ntry")?;
        let mut copies = vec![owner.primary_node.as_str()];
        copies.extend(owner.replica_nodes.iter().map(String::as_str));
        let first = format!("curl 'http://{}/partitions/key?key={KEY}'", address(0));
        writeln!(out, "  {first}    # {}: {}", owner.id, copies.join(", "))?;
        writeln!(out, "  curl http://{}/partitions/stats", address(1))?;
        writeln!(out, "  curl http://{}/cluster\n", address(2))?;
        let directory = place.directory.display();
        let fate = if place.kept {
            "kept"
        } else {
            "deleted at the end; --keep DIR keeps it"
        };
        writeln!(out, "data in {directory}, {fate}")?;
        writeln!(
            out,
            "{}",
            if keys {
                "press q or Ctrl-C to stop"
            } else {
                "Ctrl-C stops"
            }
        )
    })
}

fn client(nodes: &[Node], place: &Place<'_>) -> Result<Client, Failure> {
    let mut config = ClientConfig::new(nodes.iter().map(|node| node.http.to_string()));
    if let Some(file) = place.token_file {
        config = config.with_token(read_token(file).map_err(anyhow::Error::from)?);
    }
    Client::new(config).map_err(|error| Failure::failed(error.to_string()))
}

fn ready_node(node: &Node) -> ReadyNode<'_> {
    let peer = std::net::SocketAddr::new(node.http.ip(), node.http.port() + PEER_OFFSET);
    ReadyNode {
        id: &node.id,
        pid: node.pid,
        http: node.http.to_string(),
        peer: peer.to_string(),
        data: node.data.display().to_string(),
    }
}

/// Says which nodes are not ready yet.
pub(super) fn still_waiting(nodes: &[Node]) {
    let late: Vec<&str> = nodes
        .iter()
        .filter(|node| node.running && !node.ready)
        .map(|node| node.id.as_str())
        .collect();
    if let Some(first) = nodes.iter().find(|node| node.running) {
        say(&format!(
            "still waiting for {}; `curl http://{}/ready` says what for",
            late.join(", "),
            first.http
        ));
    }
}

/// Says that a node ended by itself, what it had to say, and how it is started again.
pub(super) fn ended(
    nodes: &[Node],
    at: usize,
    token_file: Option<&Path>,
    status: &io::Result<ExitStatus>,
    tail: &[String],
) {
    let node = &nodes[at];
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    say(&format!(
        "{} {} (pid {}): {how}",
        "ended:".red().bold(),
        node.id,
        node.pid
    ));
    match reason(tail) {
        Some(reason) => say(&format!("  {reason}")),
        None => tail.iter().for_each(|line| say(&format!("  {line}"))),
    }
    if let Some(other) = nodes.iter().find(|other| other.running) {
        say(&format!(
            "start it again with\n  {}",
            again(node, other, token_file)
        ));
    }
}

/// The command that starts a node again, beside this one.
fn again(node: &Node, other: &Node, token_file: Option<&Path>) -> String {
    let (id, http, join, data) = (&node.id, node.http, other.http, node.data.display());
    let mut command = format!("ck serve --id {id} --http {http} --join {join} --data {data}");
    if let Some(file) = token_file {
        command.push_str(&format!(" --token-file {}", file.display()));
    }
    command
}

/// The last line is the reason; what was logged before it stands in for one that is missing.
fn reason(tail: &[String]) -> Option<String> {
    let reason: Reason = serde_json::from_str(tail.last()?).ok()?;
    Some(reason.error.message)
}

/// Why a cluster does not become ready of which a node has ended.
pub(super) fn early_end(node: &Node, status: &io::Result<ExitStatus>, tail: &[String]) -> Failure {
    let code = status.as_ref().ok().and_then(ExitStatus::code);
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let why = reason(tail).unwrap_or_else(|| tail.join("; "));
    let message = format!(
        "{} ended before the cluster was ready ({how}): {why}",
        node.id
    );
    match code {
        Some(2) => Failure::usage(message),
        Some(4) => Failure::Refused(anyhow::Error::msg(message)),
        _ => Failure::failed(message),
    }
}

fn say(line: &str) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{line}");
}
