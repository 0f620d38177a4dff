//! What may be asked of the program.

use std::path::PathBuf;
use std::time::Duration;

use ck_load::torture::Torture;
use ck_load::{Consistency, Distribution, Mix, Plan, Protocol};
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  ck-load --servers 127.0.0.1:8080,127.0.0.1:8081 --clients 64 --mix get:90,put:10
  ck-load --rate 5000 --mix put:1 --value-bytes 1000 --plot throughput.svg
  ck-load --servers 127.0.0.1:8080 --ca certs/ca.pem --token-file tokens
  ck-load --clients 8 --keys 16 --mix get:5,put:3,cas:2 --history history.jsonl && ck check history.jsonl

Exit codes: 0 done, 1 failed, 2 usage.";

const TORTURE: &str = "\
Examples:
  ck-load torture --kv target/release/ck-kv --runs 10 --seconds 60 --clients 32 --rate 800
  ck-load torture --kv target/release/ck-kv --seed 7 --keep runs -- --partitions 32

Exit codes: 0 nothing wrong, 1 something is or a run came to no verdict, 2 usage.";

/// Which service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// `PUT`, `GET` and `DELETE /kv/{key}`.
    Kv,
    /// etcd's version 3 over JSON.
    Etcd,
}

/// Who finds the primary of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RouteBy {
    /// The client, by a table that it keeps.
    Client,
    /// Whichever server is asked.
    Any,
}

/// Puts load on a key-value service, and tells how it bears it.
#[derive(Debug, Parser)]
#[command(name = "ck-load", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// What else it does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster, let everything go wrong under load, and judge what the clients saw.
    Torture(TortureArgs),
}

/// A run in which everything goes wrong.
#[derive(Debug, Args)]
#[command(after_help = TORTURE)]
pub(crate) struct TortureArgs {
    /// The service's program; takes the flags of `ck serve`.
    #[arg(long, value_name = "PROGRAM")]
    kv: PathBuf,
    /// Runs, each with a seed of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) runs: u64,
    /// How long each lasts, without healing.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The first run's seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Nodes; one more joins during the run.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=32))]
    nodes: u16,
    /// Clients.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// Operations a second, due at their times whether earlier ones have ended or not; without it,
    /// each client begins its next when the last has ended, and few run while nobody answers.
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<f64>,
    /// Keys.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    keys: u64,
    /// Bytes of a value.
    #[arg(long, value_name = "N", default_value_t = 256)]
    value_bytes: usize,
    /// One value in so many is empty, or on one key has 8 MiB; 0 is none.
    #[arg(long, value_name = "N", default_value_t = 16)]
    odd_values: u32,
    /// The service's lease, which pauses outlast.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    lease: Duration,
    /// How long after healing all copies have to be alike.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    settle: Duration,
    /// Let no node come back more than once within two minutes: those that do are damped, and given no
    /// new copies for as long.
    #[arg(long)]
    gentle: bool,
    /// Pass a run only if a problem of this kind is found, as of a service with a fault planted.
    #[arg(long, value_name = "KIND")]
    pub(crate) expect: Option<String>,
    /// Fail unless so many percent of all operations ran during a change of primary.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub(crate) overlap_min: f64,
    /// Fail unless so many writes were acknowledged in all runs together.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) acknowledged_min: u64,
    /// Keep histories, logs, plots and data of all runs here, not only of failed ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Print a JSON document a run instead of sentences.
    #[arg(long)]
    pub(crate) json: bool,
    /// Further arguments for every node.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl TortureArgs {
    /// One of the runs, from 0.
    pub(crate) fn run(&self, number: u64) -> Torture {
        Torture {
            program: self.kv.clone(),
            arguments: self.arguments.clone(),
            nodes: self.nodes,
            clients: self.clients.into(),
            rate: self.rate,
            keys: self.keys,
            value_bytes: self.value_bytes,
            odd_values: self.odd_values,
            length: Duration::from_secs(self.seconds),
            lease: self.lease,
            settle: self.settle,
            gentle: self.gentle,
            seed: self.seed.wrapping_add(number),
        }
    }
}

/// The load.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Servers.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) servers: Vec<String>,
    /// The authority of the servers' certificates: they are asked over TLS.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// A file with the token to show; of several, the first of the highest role.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Which service they are.
    #[arg(long, value_enum, default_value_t = Target::Kv)]
    pub(crate) target: Target,
    /// How a request reaches the primary of its key: the client knows it, or any server passes it on.
    #[arg(long, value_enum, default_value_t = RouteBy::Any)]
    pub(crate) route: RouteBy,
    /// Clients, each with one request under way.
    #[arg(long, value_name = "N", default_value_t = 16)]
    clients: usize,
    /// Operations a second, in an open loop; a closed loop unless given.
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<f64>,
    /// Keys.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    keys: u64,
    /// What every key begins with.
    #[arg(long, value_name = "TEXT", default_value = "load-")]
    key_prefix: String,
    /// How often each key is used: uniform, zipf, zipf:S, sequential, or hot:KEYS%:OPERATIONS%.
    #[arg(long, value_name = "NAME", default_value = "uniform")]
    distribution: Distribution,
    /// Kinds of operations and their weights.
    #[arg(long, value_name = "KIND:WEIGHT,…", default_value = "get:90,put:10")]
    mix: Mix,
    /// What reads ask for: lease, barrier or stale.
    #[arg(long, value_name = "NAME", default_value = "lease")]
    consistency: Consistency,
    /// Bytes of a value.
    #[arg(long, value_name = "N", default_value_t = 128)]
    value_bytes: usize,
    /// How long is measured.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    duration: Duration,
    /// How long it runs before that.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    warmup: Duration,
    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Do not write every key once before.
    #[arg(long)]
    no_preload: bool,
    /// What keys and kinds are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write what was done, for `ck check`. The keys must not have been used before, or be written once.
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Draw throughput over time.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Take each line of standard input as a mark in the plot, at the time it comes.
    #[arg(long)]
    pub(crate) marks: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

impl LoadArgs {
    /// What to run.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            protocol: match self.target {
                Target::Kv => Protocol::Kv(self.consistency),
                Target::Etcd => Protocol::Etcd,
            },
            clients: self.clients,
            keys: self.keys,
            key_prefix: self.key_prefix.clone(),
            odd_keys: false,
            distribution: self.distribution,
            mix: self.mix,
            value_bytes: self.value_bytes,
            odd_values: 0,
            rate: self.rate,
            duration: self.duration,
            warmup: self.warmup,
            timeout: self.timeout,
            preload: !self.no_preload,
            seed: self.seed,
            recorded: self.history.is_some(),
        }
    }
}

/// `500ms`, `10s`, `2m` or `1h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.ok_or_else(|| format!("{text:?} is no time; write 500ms, 10s, 2m or 1h"))
}
