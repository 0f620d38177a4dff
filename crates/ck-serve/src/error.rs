//! Why a service did not start, or ended.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ck_http::{BindError, LimitsError};
use ck_node::{StartError, TlsError};

use crate::application::ApplicationError;
use crate::renewal::NodeTokensError;
use crate::settings::PEER_OFFSET;

/// Why [`run`](crate::run) ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The flags, the environment or the file do not make sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The token file cannot be used.
    #[error(transparent)]
    Token(#[from] NodeTokensError),
    /// A certificate, a key or an authority cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The runtime or the signals could not be set up.
    #[error("{0}")]
    System(#[source] io::Error),
    /// Standard output could not be written.
    #[error("{0}")]
    Print(#[source] io::Error),
    /// The HTTP address cannot be listened on.
    #[error("--http: {0}")]
    Bind(#[source] BindError),
    /// Limits that do not fit together.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The environment asks for a way to send spans that is not built in.
    #[cfg(feature = "otlp")]
    #[error(
        "--otlp-endpoint: {0}; leave the variables OTEL_EXPORTER_OTLP_… out, or use protobuf over HTTP"
    )]
    Spans(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The application could not be opened; the node was not started.
    #[error("the application cannot be opened: {0}")]
    Open(#[source] ApplicationError),
    /// The application could not go on once the node had started.
    #[error("the application cannot start: {0}")]
    Application(#[source] ApplicationError),
    /// The application said that it cannot go on. Its session is left to expire.
    #[error("the application cannot go on: {0}")]
    Failed(#[source] ApplicationError),
    /// The application did not come to rest in time, so the end of the session was not written: it
    /// would have said that everything acknowledged is on the disk.
    #[error(
        "the application has not come to rest within {within:?}; the session is left to expire"
    )]
    Unrest {
        /// The time it had.
        within: Duration,
    },
    /// What was asked for contradicts itself, so that no cluster could be formed.
    #[error("{reason}")]
    Contradiction {
        /// The node's reason.
        reason: String,
    },
    /// The cluster does not have this node: another name, an id in use, a removal.
    #[error("{reason}")]
    Refused {
        /// The node's reason.
        reason: String,
    },
    /// The node ended by itself.
    #[error("{reason}")]
    Ended {
        /// The node's reason.
        reason: String,
    },
    /// A second signal came before the stop was done.
    #[error("stopped at once, as asked a second time")]
    AtOnce,
}

impl ServeError {
    /// The exit code of a process that ends with it: 2 for flags that do not make sense, 4 for what
    /// the cluster refuses, 1 for everything else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(SettingsError::ReadFile { .. }) => 1,
            Self::Settings(_) | Self::Start(StartError::Config(_)) | Self::Contradiction { .. } => {
                2
            }
            Self::Refused { .. } => 4,
            _ => 1,
        }
    }
}

/// What is wrong with flags, environment or file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No id.
    #[error("this node has no id; name one with --id, such as --id node-1")]
    NoId,
    /// Weight 0.
    #[error("--weight 0 is out of range; use 1 or more")]
    Weight,
    /// Values that no cluster can have.
    #[error(transparent)]
    Cluster(#[from] ck_control::ConfigError),
    /// The file of `--config` cannot be read.
    #[error("cannot read --config {}", file.display())]
    ReadFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of `--config` holds something else.
    #[error("--config {}: {}", file.display(), found.to_string().trim_end())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where. Told in the message, so it is no source beside it.
        found: Box<toml::de::Error>,
    },
    /// A name given twice.
    #[error("{flag} {name} is given twice, first as {before}; name it once")]
    Twice {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: String,
        /// Its first value.
        before: String,
    },
    /// Not an address.
    #[error("{flag} {text} is no address ({source}); write it as 127.0.0.1:8080")]
    Address {
        /// The flag.
        flag: &'static str,
        /// The text as given.
        text: String,
        /// What the system said.
        source: io::Error,
    },
    /// A name without an address.
    #[error("{flag} {text} has no address; write an IP address")]
    NoAddress {
        /// The flag.
        flag: &'static str,
        /// The text as given.
        text: String,
    },
    /// Addresses that other machines reach, without what protects them or a word of consent.
    #[error(
        "{reached}: reachable from other machines; that needs {missing}. Give those, listen on \
         127.0.0.1, or let whoever reaches it rule the cluster with --insecure"
    )]
    Insecure {
        /// The flags with their addresses.
        reached: String,
        /// The flags that are missing.
        missing: String,
    },
    /// A certificate without its key, or the like.
    #[error("{given} is given without {missing}; they belong together")]
    Incomplete {
        /// The flag that is given.
        given: &'static str,
        /// Those that are not.
        missing: String,
    },
    /// Nodes that are asked with encryption and without.
    #[error(
        "--join {plain} is asked without encryption, which does not go with {encrypted}: all nodes \
         of a cluster speak the same; write https:// everywhere or nowhere"
    )]
    Mixed {
        /// The first address that says http.
        plain: String,
        /// What says https.
        encrypted: String,
    },
    /// Nodes that speak https, and nobody to trust.
    #[error(
        "--join {target} is asked over https; name the authority of those nodes' certificates with \
         --ca"
    )]
    NoAuthority {
        /// The first address.
        target: String,
    },
    /// An address that nobody could dial.
    #[error(
        "{flag} {address} is no address that others could dial; \
         name the host they reach this node at with --advertise"
    )]
    NotDialable {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// No room for the peer port above the HTTP port.
    #[error(
        "--http has port {port}, and {PEER_OFFSET} above it there is none; name --peer HOST:PORT"
    )]
    PeerPort {
        /// The HTTP port.
        port: u16,
    },
    /// Not the address of a member.
    #[error("--join {text:?} is no address; name the HTTP address of a member, as 127.0.0.1:8080")]
    Join {
        /// The text as given.
        text: String,
    },
    /// A limit of the HTTP surface that makes no sense.
    #[error("{}", by_flag(.0))]
    Limits(LimitsError),
    /// As many watchers as connections.
    #[error(
        "--http-watchers-max {watchers} leaves nothing of --http-connections-max {connections} to \
         others; lower the one or raise the other"
    )]
    Watchers {
        /// Watchers at a time.
        watchers: usize,
        /// Connections at a time.
        connections: usize,
    },
    /// `CK_LOG` is no filter.
    #[error("CK_LOG {value:?} is no log filter: {source}")]
    LogFilter {
        /// The value.
        value: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// `--application` is about one outside the process, and this service has its own inside.
    #[error(
        "--application is for an application outside this process, and this one is inside; leave \
         it out"
    )]
    Outside,
}

/// A message of the limits, which begins with the name of a field, by the name of its flag.
fn by_flag(error: &LimitsError) -> String {
    let text = error.to_string();
    let (field, rest) = text.split_once(' ').unwrap_or((&text, ""));
    format!("--http-{} {rest}", field.replace('_', "-"))
}
