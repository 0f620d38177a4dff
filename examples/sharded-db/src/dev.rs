//! A whole cluster on this machine, each node a process of its own.

use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use futures_util::future::{join_all, select_all};
use tokio::process::{Child, Command};

/// Time the nodes get to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Run several nodes on this machine; Ctrl-C stops them.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Number of nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Number of partitions.
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    partitions: u32,
    /// HTTP port of the first node; the others follow, peers are 2,000 above.
    #[arg(long, default_value_t = 8080, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=63_500))]
    http_base: u16,
    /// Where the data is kept, with which the next start goes on.
    #[arg(long, default_value = "clusterkit-data/sql-dev", value_name = "DIR")]
    data: PathBuf,
}

/// Time after which the terminal has not told the nodes to stop, or they are not getting on.
const TERMINAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the cluster ended.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("cannot start node-{node}: {source}")]
    Start { node: u16, source: io::Error },
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
    #[error("node-{node} has ended ({status}); its last lines say why")]
    Ended {
        node: usize,
        status: std::process::ExitStatus,
    },
}

/// Runs the nodes until they are told to stop, or one of them ends.
#[expect(clippy::print_stderr, reason = "why a command failed")]
pub(crate) fn run(args: &DevArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(DevError::from)
        .and_then(|one| one.block_on(live(args)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn live(args: &DevArgs) -> Result<(), DevError> {
    let addresses: Vec<_> = (0..args.nodes)
        .map(|at| format!("127.0.0.1:{}", args.http_base + at))
        .collect();
    let mut nodes = Vec::new();
    for (number, address) in (1..).zip(&addresses) {
        let started = start(args, number, address, &addresses.join(","));
        nodes.push(started.map_err(|source| DevError::Start {
            node: number,
            source,
        })?);
    }
    // As long as these are open the nodes run on.
    let held: Vec<_> = nodes.iter_mut().map(|node| node.stdin.take()).collect();
    let ended = {
        let waits = nodes.iter_mut().map(|node| Box::pin(node.wait()));
        tokio::select! {
            (status, at, _) = select_all(waits) => Some((status?, at + 1)),
            stop = tokio::signal::ctrl_c() => {
                stop?;
                None
            }
        }
    };
    if ended.is_none() {
        // The terminal has told the nodes, too, which take a second word for impatience.
        let waits = nodes.iter_mut().map(|node| Box::pin(node.wait()));
        let _ = tokio::time::timeout(TERMINAL_TIMEOUT, join_all(waits)).await;
    }
    drop(held);
    for node in &mut nodes {
        let _ = tokio::time::timeout(STOP_TIMEOUT, node.wait()).await;
    }
    match ended {
        Some((status, node)) => Err(DevError::Ended { node, status }),
        None => Ok(()),
    }
}

/// A node that dies with this process.
fn start(args: &DevArgs, number: u16, address: &str, join: &str) -> io::Result<Child> {
    let id = format!("node-{number}");
    Command::new(std::env::current_exe()?)
        .args(["--id", &id, "--http", address, "--join", join])
        .arg("--data")
        .arg(args.data.join(&id))
        .args(["--partitions", &args.partitions.to_string()])
        .arg("--exit-with-stdin")
        .env_remove("KNOWN_NODES")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}
