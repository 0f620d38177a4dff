//! `ck dev`: a whole cluster on this machine, in one command.

mod banner;
mod child;
mod temporary;
mod terminal;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use ck_core::spec::PARTITIONS_MAX;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::{Done, Failure};
use crate::output::Output;
use child::{Launch, News, Node};
use temporary::Temporary;
use terminal::Keys;

/// Peer ports are this much above HTTP ports, as of `ck serve`.
const PEER_OFFSET: u16 = 2_000;

/// Most copies of a partition here, as by default elsewhere.
const REPLICATION_FACTOR: u16 = 3;

/// After this long, what is waited for is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time the nodes get to stop by themselves when their data is kept.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Run a whole cluster on this machine: real nodes, real consensus, one command.
///
/// Prints the addresses once it is ready. Press q or Ctrl-C to stop it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck dev
  ck dev --nodes 5 --partitions 256 --http-base 9000 --keep ./cluster")]
pub(crate) struct DevArgs {
    /// Number of nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Number of partitions.
    #[arg(long, default_value_t = 64, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARTITIONS_MAX)))]
    partitions: u32,
    /// HTTP port of the first node; the others follow, peers are 2,000 above.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    http_base: u16,
    /// Keep the data here, and go on with it the next time. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// File with the tokens that callers must show, as of `ck serve`.
    #[arg(long, env = "CK_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where the nodes keep their data.
enum Directory {
    Kept(PathBuf),
    Temporary(Temporary),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// Runs the cluster until it is told to stop.
pub(crate) fn run(args: &DevArgs, output: Output) -> Done {
    let directory = match &args.keep {
        Some(path) => Directory::Kept(kept(path, args.http_base)?),
        None => {
            let root = std::env::temp_dir();
            temporary::clear_stale(&root);
            Directory::Temporary(
                Temporary::make(&root)
                    .context("cannot make a temporary directory; name one with --keep")?,
            )
        }
    };
    let addresses = addresses(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args, &addresses, &directory, output))
}

/// The directory of `--keep`, which remembers the ports: the nodes know each other by them.
fn kept(path: &Path, http_base: u16) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let cannot = || format!("cannot use --keep {shown}");
    std::fs::create_dir_all(path).with_context(cannot)?;
    let path = path.canonicalize().with_context(cannot)?;
    let marker = path.join("http-base");
    match std::fs::read_to_string(&marker) {
        Ok(former) if former.trim() != http_base.to_string() => Err(Failure::usage(format!(
            "--keep {shown} was made with --http-base {}, not {http_base}; use that, or another \
             directory",
            former.trim()
        ))),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::write(&marker, format!("{http_base}\n")).with_context(cannot)?;
            Ok(path)
        }
        Err(error) => Err(anyhow::Error::from(error).context(cannot()).into()),
    }
}

/// The HTTP addresses, all free, their peer ports too.
fn addresses(args: &DevArgs) -> Result<Vec<SocketAddr>, Failure> {
    let highest = u32::from(args.http_base) + u32::from(args.nodes) - 1 + u32::from(PEER_OFFSET);
    if args.http_base == 0 || highest > u32::from(u16::MAX) {
        let most = u32::from(u16::MAX) + 1 - u32::from(PEER_OFFSET) - u32::from(args.nodes);
        return Err(Failure::usage(format!(
            "--http-base {} leaves no room for {} nodes; use 1 to {most}",
            args.http_base, args.nodes
        )));
    }
    let ports = args.http_base..args.http_base + args.nodes;
    for port in ports
        .clone()
        .chain(ports.clone().map(|port| port + PEER_OFFSET))
    {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            Failure::failed(format!(
                "port {port} cannot be used: {error}; choose others with --http-base"
            ))
        })?;
    }
    Ok(ports
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .collect())
}

fn start_all(
    args: &DevArgs,
    addresses: &[SocketAddr],
    directory: &Path,
    news: &mpsc::Sender<News>,
) -> Result<Vec<Node>, Failure> {
    let program = std::env::current_exe().context("cannot find the program that runs")?;
    let join: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut flags = vec![
        "--join".to_owned(),
        join.join(","),
        "--partitions".to_owned(),
        args.partitions.to_string(),
        "--replication-factor".to_owned(),
        args.nodes.min(REPLICATION_FACTOR).to_string(),
    ];
    if let Some(file) = &args.token_file {
        flags.extend(["--token-file".to_owned(), file.display().to_string()]);
    }
    addresses
        .iter()
        .enumerate()
        .map(|(at, http)| {
            let id = format!("node-{}", at + 1);
            let data = directory.join(&id);
            let launch = Launch {
                program: &program,
                id,
                http: *http,
                data,
                flags: &flags,
            };
            let node = Node::start(at, launch, news.clone());
            Ok(node.with_context(|| format!("cannot start {}", program.display()))?)
        })
        .collect()
}

async fn serve(
    args: &DevArgs,
    addresses: &[SocketAddr],
    directory: &Directory,
    output: Output,
) -> Done {
    let begun = Instant::now();
    let (sender, mut news) = mpsc::channel(64);
    let (pressed, mut quit) = mpsc::channel(1);
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut nodes = start_all(args, addresses, directory.path(), &sender)?;
    let keys = Keys::watch(pressed.clone());
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    let mut announced = false;
    let mut failed = None;
    let mut impatient = false;
    while nodes.iter().any(|node| node.running) {
        tokio::select! {
            Some(what) = news.recv() => match what {
                News::Ended { at, status, tail } if !announced => {
                    // Some flag or its data keeps it from ever being ready.
                    nodes[at].running = false;
                    failed = Some(banner::early_end(&nodes[at], &status, &tail));
                    break;
                }
                what => note(&mut nodes, args.token_file.as_deref(), what),
            },
            Some(()) = quit.recv() => break,
            _ = interrupts.recv() => break,
            _ = terminations.recv() => break,
            () = &mut patience, if !announced && !impatient => {
                impatient = true;
                banner::still_waiting(&nodes);
            }
        }
        if !announced && nodes.iter().all(|node| node.ready && node.running) {
            announced = true;
            let kept = matches!(directory, Directory::Kept(_));
            let place = banner::Place {
                directory: directory.path(),
                kept,
                token_file: args.token_file.as_deref(),
            };
            banner::show(&nodes, &place, begun.elapsed(), keys.is_some(), output).await?;
        }
    }
    let all_ended = nodes.iter().all(|node| !node.running);
    drop(keys);
    if matches!(directory, Directory::Kept(_)) {
        nodes.iter().for_each(Node::stop);
        tokio::select! {
            () = ended(&mut nodes, &mut news) => {}
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
            () = tokio::time::sleep(STOP_TIMEOUT) => {}
        }
    }
    // Data that is thrown away needs no farewell.
    nodes.iter_mut().for_each(Node::kill);
    ended(&mut nodes, &mut news).await;
    match failed {
        Some(failure) => Err(failure),
        None if all_ended => Err(Failure::failed("all nodes have ended; see above")),
        None => Ok(()),
    }
}

/// Waits until all nodes have ended.
async fn ended(nodes: &mut [Node], news: &mut mpsc::Receiver<News>) {
    while nodes.iter().any(|node| node.running) {
        let Some(what) = news.recv().await else {
            return;
        };
        end(nodes, &what);
    }
}

fn note(nodes: &mut [Node], token_file: Option<&Path>, news: News) {
    end(nodes, &news);
    match news {
        News::Ready { at } => nodes[at].ready = true,
        News::Ended { at, status, tail } => banner::ended(nodes, at, token_file, &status, &tail),
    }
}

fn end(nodes: &mut [Node], news: &News) {
    if let News::Ended { at, .. } = news {
        nodes[*at].running = false;
    }
}
