//! What a node is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ck_control::{ConfigChoices, Handler, HandlerLimits, NoHandler, Pace, Profile};
use ck_core::{Domain, NodeId};
use ck_transport::{BoxFuture, PeerTls};

use crate::clock::{BootClock, Clock};
use crate::secret::Secrets;

/// Turns what a user wrote after `--join` into the address of a peer.
///
/// `ck serve` is given HTTP addresses and asks them; a program that knows the peer addresses
/// uses [`PeerAddresses`].
pub trait Resolve: Send + Sync + 'static {
    /// The peer address behind `target`, or why it is not known now. Asked again later.
    fn resolve<'a>(&'a self, target: &'a str) -> BoxFuture<'a, Result<String, ResolveError>>;
}

/// Why a join target has no peer address at present.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target} does not answer: {reason}")]
pub struct ResolveError {
    /// The target as written.
    pub target: String,
    /// What went wrong.
    pub reason: String,
}

/// Join targets are peer addresses already.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeerAddresses;

impl Resolve for PeerAddresses {
    fn resolve<'a>(&'a self, target: &'a str) -> BoxFuture<'a, Result<String, ResolveError>> {
        Box::pin(async move { Ok(target.to_owned()) })
    }
}

/// What happens when the consensus core dies inside a live process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFatal {
    /// End the process at once with exit code 70. A node that can neither vote nor apply must
    /// not go on answering.
    #[default]
    ExitProcess,
    /// Only report it through [`Handle::terminated`](crate::Handle::terminated); the caller ends
    /// the process. For tests that run several nodes in one.
    Report,
}

/// What a node is started with. Plain fields; [`Node::start`](crate::Node::start) checks them.
#[derive(Clone)]
pub struct Config {
    /// Its id, unique in the cluster, the same at every start.
    pub node: NodeId,
    /// A name for people. Default: the id.
    pub display_name: String,
    /// The cluster's name. A node joins only a cluster of this name. Default `clusterkit`.
    pub cluster_name: String,
    /// Where its data is kept. Locked while the node runs.
    pub data: PathBuf,
    /// Address to listen on for peers, `host:port`; port 0 takes a free one. With a transport of
    /// one's own it is not used.
    pub peer_listen: String,
    /// What this node shows to its peers, and asks of them. Every node of the cluster has the like, of
    /// one authority. Default none: nothing between peers is encrypted, and whoever reaches the peer
    /// port may say that it is a member. With a transport of one's own it is not used.
    pub peer_tls: Option<PeerTls>,
    /// Host that peers and clients are told, without a port. Default: the host listened on.
    pub advertise: Option<String>,
    /// Where its HTTP surface is reached, `host:port`; empty when there is none.
    pub http_address: String,
    /// Initial or present members. Every node may be given the same list, itself included; with
    /// none, or only itself, a node without data forms a cluster of its own.
    pub join: Vec<String>,
    /// Turns the entries of `join` into peer addresses. Default: they are peer addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Cluster configuration this node names. Forms the cluster with it; a node that joins is
    /// refused when a value named here differs from the cluster's.
    pub choices: ConfigChoices,
    /// Consensus timing of this process, read at start. Default: the profile in `choices`, else
    /// `lan`.
    pub profile: Option<Profile>,
    /// What a node has to show to join through this one, the admin tokens for instance, so that a node
    /// that does not ask for them cannot become a way around them. Default: nothing.
    pub secrets: Secrets,
    /// Its share of the partitions relative to the others', 1 or more. Default: what the cluster
    /// knows of it from before, else 1; so that a change made while it ran outlasts a restart.
    pub weight: Option<u32>,
    /// Its failure domain. Default: what the cluster knows, else one of its own.
    pub domain: Option<Domain>,
    /// Addresses of the application's services by name, shown by `/cluster`. Empty: what the
    /// cluster knows.
    pub services: BTreeMap<String, String>,
    /// Labels for people and filters. Empty: what the cluster knows.
    pub labels: BTreeMap<String, String>,
    /// Whether what the application acknowledged survives a kill of the process. A node without
    /// an application declares it. Default true.
    pub durable: bool,
    /// What the application does when this node's roles change. Default: nothing.
    pub handler: Arc<dyn Handler>,
    /// How many of the handler's calls run at once, and how long it may take to begin to serve.
    pub handler_limits: HandlerLimits,
    /// The clock that leases are counted on. Default: [`BootClock`].
    pub clock: Arc<dyn Clock>,
    /// How long this node gives each part of planned work while it leads.
    pub pace: Pace,
    /// Most time a stop takes to hand primaries over before it ends the session, which fails over
    /// what is left. Default 10 s.
    pub stop_timeout: Duration,
    /// What a dead consensus core does to the process. Default: ends it. A node that ends for
    /// another reason, removed from the cluster for instance, tells it through
    /// [`Handle::terminated`](crate::Handle::terminated) alone.
    pub on_fatal: OnFatal,
    /// Events kept for a slow reader of the event stream before it is told how many it missed.
    /// Default 4,096.
    pub events_kept: usize,
    /// Entries of the log after which a snapshot is taken. Default 5,000; 100 or more.
    pub snapshot_every: u64,
    /// Largest request or reply between peers, in bytes. Default 16 MiB; a custom value must fit.
    pub payload_bytes_max: usize,
    /// Most time an operation may take, retries included. Default 10 s.
    pub operation_timeout: Duration,
}

impl Config {
    /// A node with that id that keeps its data in `data`, listens on a free loopback port, and
    /// forms a cluster of its own.
    #[must_use]
    pub fn new(node: NodeId, data: impl Into<PathBuf>) -> Self {
        Self {
            display_name: node.as_str().to_owned(),
            node,
            cluster_name: "clusterkit".to_owned(),
            data: data.into(),
            peer_listen: "127.0.0.1:0".to_owned(),
            peer_tls: None,
            advertise: None,
            http_address: String::new(),
            join: Vec::new(),
            resolver: Arc::new(PeerAddresses),
            choices: ConfigChoices::default(),
            profile: None,
            secrets: Secrets::default(),
            weight: None,
            domain: None,
            services: BTreeMap::new(),
            labels: BTreeMap::new(),
            durable: true,
            handler: Arc::new(NoHandler),
            handler_limits: HandlerLimits::default(),
            clock: Arc::new(BootClock),
            pace: Pace::default(),
            stop_timeout: Duration::from_secs(10),
            on_fatal: OnFatal::default(),
            events_kept: 4096,
            snapshot_every: 5000,
            payload_bytes_max: 16 << 20,
            operation_timeout: Duration::from_secs(10),
        }
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, the value and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.weight == Some(0) {
            return Err(ConfigError::Weight);
        }
        if self.cluster_name.is_empty() || self.cluster_name.len() > 128 {
            return Err(ConfigError::ClusterName {
                got: self.cluster_name.len(),
            });
        }
        if self.snapshot_every < 100 {
            return Err(ConfigError::SnapshotEvery {
                got: self.snapshot_every,
            });
        }
        if self.handler_limits.calls_max == 0 {
            return Err(ConfigError::HandlerCalls);
        }
        if self.events_kept == 0 {
            return Err(ConfigError::EventsKept);
        }
        if self.payload_bytes_max < PAYLOAD_BYTES_MIN {
            return Err(ConfigError::PayloadBytes {
                got: self.payload_bytes_max,
            });
        }
        let copies = u64::from(self.choices.partitions.unwrap_or(0))
            * u64::from(self.choices.replication_factor.unwrap_or(3));
        // A table is one entry of the log, of a byte or more a copy.
        if copies + TABLE_ROOM > self.payload_bytes_max as u64 {
            return Err(ConfigError::Partitions {
                copies,
                limit: self.payload_bytes_max,
            });
        }
        if self.join.len() > JOIN_MAX {
            return Err(ConfigError::Join {
                got: self.join.len(),
            });
        }
        Ok(())
    }
}

/// A custom value of 1 MiB, twice over, and its envelope.
const PAYLOAD_BYTES_MIN: usize = 4 << 20;
const JOIN_MAX: usize = 1_000;
/// Room for the rest of the entry a table comes in.
const TABLE_ROOM: u64 = 1 << 20;

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Weight 0.
    #[error("weight 0 is out of range; use 1 or more")]
    Weight,
    /// Cluster name empty or too long.
    #[error("a cluster name of {got} bytes is out of range; use 1 to 128")]
    ClusterName {
        /// Its length in bytes.
        got: usize,
    },
    /// Snapshots too often.
    #[error("snapshot_every {got} is out of range; use 100 or more")]
    SnapshotEvery {
        /// The value.
        got: u64,
    },
    /// No room for a call of the handler.
    #[error("handler_limits.calls_max 0 is out of range; use 1 or more")]
    HandlerCalls,
    /// No room for events.
    #[error("events_kept 0 is out of range; use 1 or more")]
    EventsKept,
    /// Requests too small for a custom value.
    #[error(
        "payload_bytes_max {got} is out of range; use {PAYLOAD_BYTES_MIN} or more, so that a custom value fits"
    )]
    PayloadBytes {
        /// The value.
        got: usize,
    },
    /// A table that no message between peers could hold.
    #[error(
        "partitions times replication_factor make {copies} copies, and a table of them is larger than payload_bytes_max {limit}; use fewer partitions, or raise it"
    )]
    Partitions {
        /// Copies there would be.
        copies: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many join targets.
    #[error("{got} join targets are too many; at most {JOIN_MAX} are allowed")]
    Join {
        /// The number given.
        got: usize,
    },
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("node", &self.node)
            .field("cluster_name", &self.cluster_name)
            .field("data", &self.data)
            .field("peer_listen", &self.peer_listen)
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}
