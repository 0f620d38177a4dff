//! An application on ClusterKit, as small as one can be: start it in three terminals.
//!
//! Each process embeds a node. It waits until three nodes are there, creates the partitions,
//! and prints the owners of a few keys, the partitions it holds itself, and how they are spread.
//! The HTTP interface of the node is served beside it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this example does"
)]

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use ck_core::NodeId;
use ck_http::{Server, Surface, SurfaceConfig, loopback_hosts};
use ck_node::{Config, Event, EventKind, Handle, Node, OnFatal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Nodes to wait for: as many as there are copies of a partition.
const NODES: usize = 3;

/// Peers listen this much above the HTTP port, so that one address names a node.
const PEER_OFFSET: u16 = 2_000;

/// Keys of an imaginary application.
const KEYS: [&str; 4] = ["user:1001", "user:1002", "order:5001", "product:abc123"];

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else {
        return ExitCode::SUCCESS;
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Some errors tell their cause themselves.
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    eprintln!("error: {text}");
    let refused = REFUSALS.iter().any(|refusal| text.contains(refusal));
    ExitCode::from(if refused { 4 } else { 1 })
}

async fn run() -> Result<(), Box<dyn Error>> {
    let id = env::var("NODE_ID").map_err(|_| "set NODE_ID, such as node-1")?;
    let http = env::var("HTTP_ADDR").unwrap_or_else(|_| ":8080".to_owned());
    let known = env::var("KNOWN_NODES").unwrap_or_default();

    // From here on an interrupt is kept until it is asked for.
    let mut interrupts = signal(SignalKind::interrupt())?;
    // Bound before the node starts, so that a taken port is an error and not a surprise.
    let server = Server::bind(&address(&http)).await?;
    let node = Node::start(config(&id, &server.local_address().to_string(), &known)?).await?;
    let hosts = Some(loopback_hosts([]));
    let surface = SurfaceConfig {
        hosts,
        ..SurfaceConfig::default()
    };
    let surface = Surface::new(surface, Arc::new(node.clone()))?;
    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(surface, async {
        let _ = closed.await;
    }));
    println!("{id}: http://{}, waiting for {NODES} nodes", address(&http));

    node.on_event(print_event);
    let live = async {
        // Why the node ended is the better reason, so it is looked at first.
        tokio::select! {
            biased;
            ended = node.terminated() => return Err(ended.into()),
            told = tell(&node) => told?,
        }
        println!("\n{id}: Ctrl-C stops this node; the others go on, and it may come back");
        Err(node.terminated().await.into())
    };
    tokio::select! {
        ended = live => return ended,
        _ = interrupts.recv() => {}
    }
    node.stop().await;
    drop(close);
    serving.await?;
    Ok(())
}

/// What the reason holds when the cluster will not have this node, which trying again does not
/// change.
const REFUSALS: [&str; 3] = [
    "the cluster refused ",
    " belongs to cluster ",
    " was removed from the cluster",
];

/// What the node is started with.
fn config(id: &str, http: &str, known: &str) -> Result<Config, Box<dyn Error>> {
    let data = env::var("DATA_DIR").unwrap_or_else(|_| format!("clusterkit-data/{id}"));
    let mut config = Config::new(id.parse()?, data);
    config.cluster_name = "partitions-demo".to_owned();
    config.http_address = http.to_owned();
    config.peer_listen = peer(http)?;
    for other in known
        .split(',')
        .map(str::trim)
        .filter(|other| !other.is_empty())
    {
        config.join.push(peer(&address(other))?);
    }
    config.choices.partitions = Some(16);
    config.choices.replication_factor = Some(3);
    // Said and ended with by `main`.
    config.on_fatal = OnFatal::Report;
    // This application creates them itself, as its guide does.
    config.choices.auto_create = Some(false);
    Ok(config)
}

/// `:8080` is a port of this machine.
fn address(text: &str) -> String {
    if text.starts_with(':') {
        format!("127.0.0.1{text}")
    } else {
        text.to_owned()
    }
}

/// The peer address of the node with that HTTP address.
fn peer(http: &str) -> Result<String, Box<dyn Error>> {
    let (host, port) = http
        .rsplit_once(':')
        .ok_or_else(|| format!("{http:?} has no port"))?;
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    let peer = port
        .checked_add(PEER_OFFSET)
        .ok_or("use an HTTP port up to 63535")?;
    let host = if host == "localhost" {
        "127.0.0.1"
    } else {
        host
    };
    Ok(format!("{host}:{peer}"))
}

/// Waits for the nodes, creates the partitions, and says who owns what.
async fn tell(node: &Handle) -> Result<(), Box<dyn Error>> {
    let mut events = node.events();
    while node.nodes().len() < NODES {
        events.next().await.ok_or("the node has ended")?;
    }
    // Whoever is first creates them; for the others they exist.
    while let Err(error) = node.create_partitions().await {
        if !error.is_retryable() {
            return Err(error.into());
        }
        // Nobody leads at present, say; a change of that is an event.
        events.next().await.ok_or("the node has ended")?;
    }
    node.ready().await?;

    let me = node.node_id();
    println!("\n{me}: who owns what");
    for key in KEYS {
        let partition = node
            .partition_for_key(key.as_bytes())
            .ok_or("no partitions")?;
        let primary = partition.primary.as_ref().map_or("nobody", NodeId::as_str);
        let replicas: Vec<&str> = partition.replicas.iter().map(NodeId::as_str).collect();
        println!(
            "  {key:<16} {:<13} primary {primary}, replicas {}",
            partition.id,
            replicas.join(", ")
        );
    }

    let mine = node.partitions_of(me.as_str());
    let (primary, replica): (Vec<_>, Vec<_>) = mine
        .iter()
        .partition(|partition| partition.primary.as_ref() == Some(me));
    let numbers = |list: &[&ck_node::Partition]| {
        let all: Vec<String> = list
            .iter()
            .map(|partition| partition.id.0.to_string())
            .collect();
        all.join(" ")
    };
    println!(
        "\n{me}: primary of {} partitions: {}",
        primary.len(),
        numbers(&primary)
    );
    println!(
        "{me}: replica of {} partitions: {}",
        replica.len(),
        numbers(&replica)
    );

    let spread = node.distribution();
    println!("\n{me}: {} partitions", spread.partitions);
    let replicas: BTreeMap<_, _> = spread.replicas.iter().collect();
    for (id, primaries) in &spread.primaries {
        println!(
            "  {id:<8} {primaries:>3} primaries {:>3} replicas",
            replicas[id]
        );
    }
    Ok(())
}

fn print_event(event: &Event) {
    match &event.kind {
        EventKind::Joined {
            node, cluster_size, ..
        } => {
            println!("+ {node} joined, {cluster_size} nodes");
        }
        EventKind::Left { node, .. } => println!("- {node} left"),
        EventKind::RebalanceCompleted { trigger, .. } => {
            println!("* rebalanced because of {trigger:?}");
        }
        _ => {}
    }
}
