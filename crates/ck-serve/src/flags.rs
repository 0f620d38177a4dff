//! What a node is told on the command line and in the environment.

use std::path::PathBuf;
use std::time::Duration;

use ck_control::Profile;
use ck_core::{Domain, KeyHash, NodeId};
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::log::LogFormat;
pub(crate) use limits::LimitArgs;

mod limits;

/// What the help of a service may end with: in which order settings count, and what the file of
/// `--config` looks like.
pub const FILE_HELP: &str = "\
A flag stands before its environment variable, and that before the file of --config:
  id = \"node-1\"
  http = \"127.0.0.1:8080\"
  join = [\"127.0.0.1:8080\", \"127.0.0.1:8081\", \"127.0.0.1:8082\"]
  rejoin_grace = \"60s\"
  auto_create = true
  auto_rebalance = true
  [services]
  kv = \"127.0.0.1:9090\"
  [http_limits]
  connections_max = 1024
Its names are those of the flags with underscores; services, labels and http_limits are tables.";

/// What an application outside the process keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Durability {
    /// What it has acknowledged survives a kill.
    Durable,
    /// What it has acknowledged may be lost.
    Volatile,
}

/// The flags of one node. A service takes them beside its own with `#[command(flatten)]`.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct ServeArgs {
    /// Id of this node, unique in the cluster and the same at every start.
    #[arg(long, env = "NODE_ID")]
    pub(crate) id: Option<NodeId>,
    /// Address of the HTTP surface; `:8080` means 127.0.0.1:8080, port 0 takes a free one.
    #[arg(long, env = "HTTP_ADDR", value_name = "HOST:PORT")]
    pub(crate) http: Option<String>,
    /// Address for the peers. Default: the HTTP host, and 2,000 above the HTTP port.
    #[arg(long, env = "CK_PEER", value_name = "HOST:PORT")]
    pub(crate) peer: Option<String>,
    /// HTTP addresses of any members, itself included if you like; repeated or with commas.
    #[arg(
        long,
        env = "KNOWN_NODES",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) join: Vec<String>,
    /// Where the data is kept. Default: ./clusterkit-data/ID.
    #[arg(long, env = "CK_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Name of the cluster. Default: clusterkit.
    #[arg(long, env = "CK_CLUSTER", value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Name shown to people. Default: the id.
    #[arg(long, env = "CK_NAME")]
    pub(crate) name: Option<String>,
    /// Number of partitions; fixed once the cluster is formed. Default: 64.
    #[arg(long, env = "CK_PARTITIONS", value_name = "COUNT")]
    pub(crate) partitions: Option<u32>,
    /// Copies of each partition. Default: 3.
    #[arg(long, env = "CK_REPLICATION_FACTOR", value_name = "COUNT")]
    pub(crate) replication_factor: Option<u8>,
    /// Failure domains the copies of a partition must touch. Default: 1.
    #[arg(long, env = "CK_SPREAD", value_name = "COUNT")]
    pub(crate) spread: Option<u8>,
    /// How keys are hashed; fixed once the cluster is formed. Default: xxh3.
    #[arg(long, env = "CK_HASH", value_name = "xxh3|md5-mod")]
    pub(crate) hash: Option<KeyHash>,
    /// Lease and election times that fit the network. Default: lan.
    #[arg(long, env = "CK_PROFILE", value_name = "lan|fast|wan")]
    pub(crate) profile: Option<Profile>,
    /// How long a lost node may stay away before its copies are restored elsewhere. Default: 60s.
    #[arg(long, env = "CK_REJOIN_GRACE", value_name = "TIME", value_parser = duration)]
    pub(crate) rejoin_grace: Option<Duration>,
    /// Failure domain of this node, such as eu-1a or eu-1a/rack-3. Default: one of its own.
    #[arg(long, env = "CK_DOMAIN", value_name = "PATH")]
    pub(crate) domain: Option<Domain>,
    /// Share of this node relative to the others'. Default: what the cluster knows, else 1.
    #[arg(long, env = "CK_WEIGHT")]
    pub(crate) weight: Option<u32>,
    /// Host name or address that peers and clients are told. Default: the host listened on.
    #[arg(long, env = "CK_ADVERTISE", value_name = "HOST")]
    pub(crate) advertise: Option<String>,
    /// File with the tokens that callers must show: `admin TOKEN`, `operate TOKEN` or `read TOKEN` a
    /// line, or an admin's token alone. Every change needs one of its role then; looking needs one, too,
    /// once there is one for it. Read again when it changes, and on SIGHUP.
    #[arg(long, env = "CK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate of the HTTP surface in PEM, with those between it and its authority: it speaks https
    /// then, and nothing else. Read again when it changes, and on SIGHUP, like every file here.
    #[arg(long, env = "CK_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert.
    #[arg(long, env = "CK_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificate of this node for its peers, in PEM; it names the node's id. Every node has one then,
    /// of one authority, and speaks to nobody without. `ck cert` makes such certificates.
    #[arg(long, env = "CK_PEER_CERT", value_name = "FILE")]
    pub(crate) peer_cert: Option<PathBuf>,
    /// Private key of --peer-cert.
    #[arg(long, env = "CK_PEER_KEY", value_name = "FILE")]
    pub(crate) peer_key: Option<PathBuf>,
    /// Authority of the certificates of all nodes for their peers, and of nothing else.
    #[arg(long, env = "CK_PEER_CA", value_name = "FILE")]
    pub(crate) peer_ca: Option<PathBuf>,
    /// Authority of the other nodes' --tls-cert, for asking those of --join. Default: --peer-ca.
    #[arg(long, env = "CK_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// A further name by which the HTTP surface may be addressed; repeated. On loopback only its own
    /// names are answered; elsewhere every name is, unless one is given here.
    #[arg(
        long,
        env = "CK_ALLOW_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(crate) allow_host: Vec<String>,
    /// A service of the application on this node; repeated.
    #[arg(long, env = "CK_SERVICE", value_name = "NAME=HOST:PORT", value_delimiter = ',', value_parser = service)]
    pub(crate) service: Vec<(String, String)>,
    /// A label of this node; repeated.
    #[arg(long, env = "CK_LABEL", value_name = "NAME=VALUE", value_delimiter = ',', value_parser = label)]
    pub(crate) label: Vec<(String, String)>,
    /// Wait for `ck create` instead of creating the partitions once enough nodes have joined.
    #[arg(long, env = "CK_NO_AUTO_CREATE", value_parser = FalseyValueParser::new())]
    pub(crate) no_auto_create: bool,
    /// Wait for `ck rebalance` instead of rebalancing once joins have settled.
    #[arg(long, env = "CK_NO_AUTO_REBALANCE", value_parser = FalseyValueParser::new())]
    pub(crate) no_auto_rebalance: bool,
    /// An application outside this process takes the orders of `/v1/orders`: calls wait for it from
    /// the start. `volatile`: what it acknowledged may be lost when it is killed. Default: it takes
    /// them once it has subscribed, and is durable.
    #[arg(long, env = "CK_APPLICATION", value_name = "durable|volatile")]
    pub(crate) application: Option<Durability>,
    /// Listen beyond loopback without encryption or tokens: whoever reaches the ports rules the cluster.
    #[arg(long, env = "CK_INSECURE", value_parser = FalseyValueParser::new())]
    pub(crate) insecure: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Address of a collector that takes spans over OTLP, as http://127.0.0.1:4318: of requests, of moves to
    /// this node, and of calls of its application. Default: no spans.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<crate::otlp::Endpoint>,
    /// What a line of the log on standard error is. Default: text.
    #[arg(long, env = "CK_LOG_FORMAT", value_name = "text|json")]
    pub(crate) log_format: Option<LogFormat>,
    /// TOML file with the same settings.
    #[arg(long, env = "CK_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Stop when standard input is closed, hence with the process that holds it open.
    #[arg(long, hide = true)]
    pub(crate) exit_with_stdin: bool,
}

/// A time with its unit, such as `500ms`, `10s` or `2m`.
///
/// # Errors
/// Says how a time is written, when `text` is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().filter(|_| unit_ms > 0);
    ms.and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no time; write it as 500ms, 10s, 2m or 1h"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "5 s",
            "99999999999999999999s",
            "5d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
