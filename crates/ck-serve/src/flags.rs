//! What `ck serve` is told on the command line and in the environment.

use std::path::PathBuf;
use std::time::Duration;

use ck_control::Profile;
use ck_core::{Domain, KeyHash, NodeId};
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::args::duration;

const EXAMPLE: &str = "\
Examples, three nodes that find each other:
  ck serve --id node-1 --http 127.0.0.1:8080 --join 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082
  ck serve --id node-2 --http 127.0.0.1:8081 --join 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082
  ck serve --id node-3 --http 127.0.0.1:8082 --join 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082

A flag stands before its environment variable, and that before the file of --config:
  id = \"node-1\"
  http = \"127.0.0.1:8080\"
  join = [\"127.0.0.1:8080\", \"127.0.0.1:8081\", \"127.0.0.1:8082\"]
  rejoin_grace = \"60s\"
  auto_create = true
  auto_rebalance = true
  [services]
  kv = \"127.0.0.1:9090\"
Its names are those of the flags with underscores; services and labels are tables.";

/// What an application outside the process keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Application {
    /// What it has acknowledged survives a kill.
    Durable,
    /// What it has acknowledged may be lost.
    Volatile,
}

/// Run one node until it is told to stop.
///
/// Nodes that are given the same --join list form one cluster, in whatever order they start; a
/// node without one forms a cluster of its own. SIGTERM or Ctrl-C stops the node, which stays a
/// member; a second one stops it at once. With --json, every event is one line of JSON: listening,
/// ready, stopped.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ServeArgs {
    /// Id of this node, unique in the cluster and the same at every start.
    #[arg(long, env = "NODE_ID")]
    pub(super) id: Option<NodeId>,
    /// Address of the HTTP surface; `:8080` means 127.0.0.1:8080, port 0 takes a free one.
    #[arg(long, env = "HTTP_ADDR", value_name = "HOST:PORT")]
    pub(super) http: Option<String>,
    /// Address for the peers. Default: the HTTP host, and 2,000 above the HTTP port.
    #[arg(long, env = "CK_PEER", value_name = "HOST:PORT")]
    pub(super) peer: Option<String>,
    /// HTTP addresses of any members, itself included if you like; repeated or with commas.
    #[arg(
        long,
        env = "KNOWN_NODES",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(super) join: Vec<String>,
    /// Where the data is kept. Default: ./clusterkit-data/ID.
    #[arg(long, env = "CK_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Name of the cluster. Default: clusterkit.
    #[arg(long, env = "CK_CLUSTER", value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// Name shown to people. Default: the id.
    #[arg(long, env = "CK_NAME")]
    pub(super) name: Option<String>,
    /// Number of partitions; fixed once the cluster is formed. Default: 64.
    #[arg(long, env = "CK_PARTITIONS", value_name = "COUNT")]
    pub(super) partitions: Option<u32>,
    /// Copies of each partition. Default: 3.
    #[arg(long, env = "CK_REPLICATION_FACTOR", value_name = "COUNT")]
    pub(super) replication_factor: Option<u8>,
    /// Failure domains the copies of a partition must touch. Default: 1.
    #[arg(long, env = "CK_SPREAD", value_name = "COUNT")]
    pub(super) spread: Option<u8>,
    /// How keys are hashed; fixed once the cluster is formed. Default: xxh3.
    #[arg(long, env = "CK_HASH", value_name = "xxh3|md5-mod")]
    pub(super) hash: Option<KeyHash>,
    /// Lease and election times that fit the network. Default: lan.
    #[arg(long, env = "CK_PROFILE", value_name = "lan|fast|wan")]
    pub(super) profile: Option<Profile>,
    /// How long a lost node may stay away before its copies are restored elsewhere. Default: 60s.
    #[arg(long, env = "CK_REJOIN_GRACE", value_name = "TIME", value_parser = duration)]
    pub(super) rejoin_grace: Option<Duration>,
    /// Failure domain of this node, such as eu-1a or eu-1a/rack-3. Default: one of its own.
    #[arg(long, env = "CK_DOMAIN", value_name = "PATH")]
    pub(super) domain: Option<Domain>,
    /// Share of this node relative to the others'. Default: what the cluster knows, else 1.
    #[arg(long, env = "CK_WEIGHT")]
    pub(super) weight: Option<u32>,
    /// Host name or address that peers and clients are told. Default: the host listened on.
    #[arg(long, env = "CK_ADVERTISE", value_name = "HOST")]
    pub(super) advertise: Option<String>,
    /// File with the admin token, which every change must then carry.
    #[arg(long, env = "CK_TOKEN_FILE", value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// A service of the application on this node; repeated.
    #[arg(long, env = "CK_SERVICE", value_name = "NAME=HOST:PORT", value_delimiter = ',', value_parser = service)]
    pub(super) service: Vec<(String, String)>,
    /// A label of this node; repeated.
    #[arg(long, env = "CK_LABEL", value_name = "NAME=VALUE", value_delimiter = ',', value_parser = label)]
    pub(super) label: Vec<(String, String)>,
    /// Wait for `ck create` instead of creating the partitions once enough nodes have joined.
    #[arg(long, env = "CK_NO_AUTO_CREATE", value_parser = FalseyValueParser::new())]
    pub(super) no_auto_create: bool,
    /// Wait for `ck rebalance` instead of rebalancing once joins have settled.
    #[arg(long, env = "CK_NO_AUTO_REBALANCE", value_parser = FalseyValueParser::new())]
    pub(super) no_auto_rebalance: bool,
    /// An application outside this process takes the orders of `/v1/orders`: calls wait for it from
    /// the start. `volatile`: what it acknowledged may be lost when it is killed. Default: it takes
    /// them once it has subscribed, and is durable.
    #[arg(long, env = "CK_APPLICATION", value_name = "durable|volatile")]
    pub(super) application: Option<Application>,
    /// Listen beyond loopback without encryption: whoever reaches the ports rules the cluster.
    #[arg(long, env = "CK_INSECURE", value_parser = FalseyValueParser::new())]
    pub(super) insecure: bool,
    /// TOML file with the same settings.
    #[arg(long, env = "CK_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Stop when standard input is closed, hence with the process that holds it open.
    #[arg(long, hide = true)]
    pub(super) exit_with_stdin: bool,
}

fn service(text: &str) -> Result<(String, String), String> {
    pair(text, "kv=127.0.0.1:9090")
}

fn label(text: &str) -> Result<(String, String), String> {
    pair(text, "rack=r7")
}

/// `NAME=VALUE`.
fn pair(text: &str, example: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!(
            "{text:?} is no NAME=VALUE pair; write it as {example}"
        )),
    }
}
