//! `ck-kv dev`: a cluster of its own on this machine, in one command.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Most nodes: their ports follow on one another, and are a machine's to spare.
const NODES_MAX: u16 = 32;

/// Time the nodes have to hand over and stop.
const STOPS: Duration = Duration::from_secs(20);

/// Between two looks at whether they have.
const LOOKS: Duration = Duration::from_millis(50);

/// Run a cluster on this machine until Ctrl-C.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  ck-kv dev
  ck-kv dev --nodes 5 --http-base 9000 -- --partitions 256 --replication async")]
pub struct Dev {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: u16,
    /// HTTP port of the first; the others follow. Peers talk 2,000 above.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    http_base: u16,
    /// Where the data is kept, and found again.
    #[arg(long, default_value = "clusterkit-data/kv", value_name = "DIR")]
    data: PathBuf,
    /// Flags for every node, after `--`.
    #[arg(last = true, value_name = "FLAG")]
    flags: Vec<String>,
}

/// Why a cluster was not started, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// The ports do not fit.
    #[error("{nodes} nodes from port {base} on leave no room for their peer ports; choose a --http-base up to {}", 63_535 - nodes)]
    Ports {
        /// Number of nodes.
        nodes: u16,
        /// The first port.
        base: u16,
    },
    /// The system does not start a process.
    #[error("a node cannot be started: {0}; look at the limits of this machine")]
    System(#[from] io::Error),
    /// A node ended by itself.
    #[error("{node} has ended ({status}); what it printed says why")]
    Ended {
        /// Its id.
        node: String,
        /// How.
        status: std::process::ExitStatus,
    },
}

/// A node: its id and its process, which ends when its standard input does.
struct Running {
    id: String,
    child: Child,
}

/// Runs the cluster until Ctrl-C.
///
/// # Errors
/// [`DevError`]; the other nodes are stopped then as well.
pub fn run(dev: &Dev) -> Result<(), DevError> {
    let (nodes, base) = (dev.nodes, dev.http_base);
    if base > 63_535 - nodes {
        return Err(DevError::Ports { nodes, base });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let program = std::env::current_exe()?;
    let join: Vec<_> = (0..nodes)
        .map(|at| format!("127.0.0.1:{}", base + at))
        .collect();
    let mut running = Vec::new();
    for (at, http) in join.iter().enumerate() {
        let id = format!("node-{}", at + 1);
        let child = Command::new(&program)
            .args(["--exit-with-stdin", "--id", &id, "--http", http, "--data"])
            .arg(dev.data.join(&id))
            .args(["--join", &join.join(",")])
            .args(&dev.flags)
            .stdin(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => running.push(Running { id, child }),
            Err(source) => {
                stop(&mut running);
                return Err(source.into());
            }
        }
    }
    let ended = runtime.block_on(until_ended(&mut running));
    stop(&mut running);
    ended
}

/// Waits for Ctrl-C, or for a node that ends by itself.
async fn until_ended(running: &mut [Running]) -> Result<(), DevError> {
    let mut looks = tokio::time::interval(LOOKS);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            pressed = interrupted.as_mut() => return pressed.map_err(DevError::System),
            _ = looks.tick() => {}
        }
        for node in &mut *running {
            if let Some(status) = node.child.try_wait()? {
                let node = node.id.clone();
                return Err(DevError::Ended { node, status });
            }
        }
    }
}

/// Lets every node stop in good order; whoever does not in time is ended.
fn stop(running: &mut [Running]) {
    for node in &mut *running {
        drop(node.child.stdin.take());
    }
    let begun = std::time::Instant::now();
    for node in running {
        while begun.elapsed() < STOPS && matches!(node.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOKS);
        }
        // Ended already, most of the time.
        let _ = node.child.kill();
        let _ = node.child.wait();
    }
}
