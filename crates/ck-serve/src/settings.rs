//! Flags, environment and file put together, checked against each other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ck_control::{Config, ConfigChoices, Profile};
use ck_core::spec::REPLICATION_FACTOR_MAX;
use ck_core::{Domain, KeyHash, NodeId};
use ck_http::Limits;
use serde::{Deserialize, Deserializer};

mod limits;
mod protection;

use crate::error::SettingsError;
use crate::flags::{Durability, LimitArgs, ServeArgs, duration};
use crate::log::LogFormat;

pub(crate) use protection::Protection;

/// Where HTTP is served unless told otherwise.
const HTTP_DEFAULT: &str = "127.0.0.1:8080";

/// The peer port is this much above the HTTP port.
pub(crate) const PEER_OFFSET: u16 = 2_000;

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file of `--config` may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSettings {
    id: Option<NodeId>,
    http: Option<String>,
    peer: Option<String>,
    join: Vec<String>,
    data: Option<PathBuf>,
    cluster: Option<String>,
    name: Option<String>,
    partitions: Option<u32>,
    replication_factor: Option<u8>,
    spread: Option<u8>,
    hash: Option<KeyHash>,
    profile: Option<Profile>,
    #[serde(deserialize_with = "time")]
    rejoin_grace: Option<Duration>,
    domain: Option<Domain>,
    weight: Option<u32>,
    advertise: Option<String>,
    token_file: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    peer_cert: Option<PathBuf>,
    peer_key: Option<PathBuf>,
    peer_ca: Option<PathBuf>,
    ca: Option<PathBuf>,
    allow_host: Vec<String>,
    services: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    auto_create: Option<bool>,
    auto_rebalance: Option<bool>,
    application: Option<Durability>,
    http_limits: LimitArgs,
    #[cfg(feature = "otlp")]
    otlp_endpoint: Option<crate::otlp::Endpoint>,
    log_format: Option<LogFormat>,
    insecure: bool,
}

/// A time as it is written in the file.
pub(crate) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map(Some).map_err(serde::de::Error::custom)
}

/// What a node is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: NodeId,
    /// Where HTTP listens.
    pub(crate) http: SocketAddr,
    /// Where peers listen; port 0 takes a free one.
    pub(crate) peer: SocketAddr,
    /// HTTP addresses, `host:port` each.
    pub(crate) join: Vec<String>,
    pub(crate) data: PathBuf,
    pub(crate) cluster: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) choices: ConfigChoices,
    pub(crate) domain: Option<Domain>,
    pub(crate) weight: Option<u32>,
    pub(crate) advertise: Option<String>,
    pub(crate) protection: Protection,
    /// Names by which the HTTP surface may be addressed, beside its own.
    pub(crate) allow_host: Vec<String>,
    pub(crate) services: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The application that takes the orders, when it is expected from the start.
    pub(crate) application: Option<Durability>,
    /// What callers of the HTTP surface may use up.
    pub(crate) limits: Limits,
    /// Where spans are sent.
    #[cfg(feature = "otlp")]
    pub(crate) otlp_endpoint: Option<crate::otlp::Endpoint>,
    pub(crate) log_format: LogFormat,
}

impl Settings {
    /// Puts flags (the environment among them) before the file, and checks the whole.
    ///
    /// # Errors
    /// [`SettingsError`] names the flag, the value and the remedy.
    pub(crate) fn read(flags: &ServeArgs) -> Result<Self, SettingsError> {
        let file = flags
            .config
            .as_deref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        let flags = flags.clone();
        let mut protection = Protection::put_together(&flags, &file)?;
        let id = flags.id.or(file.id).ok_or(SettingsError::NoId)?;
        let http_text = flags.http.or(file.http);
        let http = address("--http", http_text.as_deref().unwrap_or(HTTP_DEFAULT))?;
        let peer = match flags.peer.or(file.peer) {
            Some(text) => address("--peer", &text)?,
            None => peer_beside(http)?,
        };
        let insecure = flags.insecure || file.insecure;
        let advertise = flags.advertise.clone().or_else(|| file.advertise.clone());
        protection.suits(http, peer, insecure)?;
        dialable(http, peer, advertise.as_deref())?;
        let written = given(&flags.join, &file.join);
        let join: Vec<_> = written
            .iter()
            .map(|text| join_target(text))
            .collect::<Result<_, _>>()?;
        protection.ask(written)?;
        let data = flags.data.or(file.data);
        let data = data.unwrap_or_else(|| Path::new("clusterkit-data").join(directory_name(&id)));
        let choices = ConfigChoices {
            partitions: flags.partitions.or(file.partitions),
            replication_factor: flags.replication_factor.or(file.replication_factor),
            spread: flags.spread.or(file.spread),
            hash: flags.hash.or(file.hash),
            profile: flags.profile.or(file.profile),
            rejoin_grace_ms: flags.rejoin_grace.or(file.rejoin_grace).map(whole_ms),
            auto_create: flags.no_auto_create.then_some(false).or(file.auto_create),
            auto_rebalance: flags
                .no_auto_rebalance
                .then_some(false)
                .or(file.auto_rebalance),
            ..ConfigChoices::default()
        };
        // Before anything is printed or made: a cluster would not be formed with these.
        let forms = join.is_empty() && !data.exists();
        let weight = flags.weight.or(file.weight);
        check_values(&choices, weight, forms)?;
        Ok(Self {
            id,
            http,
            peer,
            join,
            data,
            cluster: flags.cluster.or(file.cluster),
            name: flags.name.or(file.name),
            choices,
            domain: flags.domain.or(file.domain),
            weight,
            advertise: flags.advertise.or(file.advertise),
            protection,
            allow_host: given(&flags.allow_host, &file.allow_host).to_vec(),
            services: pairs("--service", flags.service, file.services)?,
            labels: pairs("--label", flags.label, file.labels)?,
            application: flags.application.or(file.application),
            limits: limits::put_together(&flags.limits, &file.http_limits)?,
            #[cfg(feature = "otlp")]
            otlp_endpoint: flags.otlp_endpoint.or(file.otlp_endpoint),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        })
    }

    /// The HTTP address that others are told, given the port that is listened on.
    pub(crate) fn advertised(&self, port: u16) -> String {
        match &self.advertise {
            Some(host) if host.contains(':') && !host.starts_with('[') => {
                format!("[{host}]:{port}")
            }
            Some(host) => format!("{host}:{port}"),
            None => SocketAddr::new(self.http.ip(), port).to_string(),
        }
    }
}

/// Refuses values that no cluster can have. A spread named without a replication factor may suit
/// the one of the cluster to be joined, unless this node `forms` its own.
fn check_values(
    choices: &ConfigChoices,
    weight: Option<u32>,
    forms: bool,
) -> Result<(), SettingsError> {
    if weight == Some(0) {
        return Err(SettingsError::Weight);
    }
    let mut whole = choices.clone();
    if !forms && whole.replication_factor.is_none() && whole.spread.is_some() {
        whole.replication_factor = Some(REPLICATION_FACTOR_MAX);
    }
    Config::from_choices(&whole).map(drop)?;
    Ok(())
}

/// The name of a node's directory: its id, where what is not a letter, digit, `.`, `_` or `-` of
/// ASCII is percent-encoded, and so are the two names that lead elsewhere.
fn directory_name(id: &NodeId) -> String {
    let id = id.as_str();
    let dots = matches!(id, "." | "..");
    let mut name = String::with_capacity(id.len());
    for byte in id.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if plain || (byte == b'.' && !dots) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

fn read_file(file: &Path) -> Result<FileSettings, SettingsError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| SettingsError::ReadFile {
            file: file.to_owned(),
            source,
        })?;
    toml::from_str(&text).map_err(|found| SettingsError::File {
        file: file.to_owned(),
        found: Box::new(found),
    })
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The repeated flag, or the file's table when the flag is absent.
fn pairs(
    flag: &'static str,
    given: Vec<(String, String)>,
    file: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    if given.is_empty() {
        return Ok(file);
    }
    let mut all = BTreeMap::new();
    for (name, value) in given {
        if let Some(before) = all.insert(name.clone(), value) {
            return Err(SettingsError::Twice { flag, name, before });
        }
    }
    Ok(all)
}

/// An address to listen on; a bare `:port` is loopback.
fn address(flag: &'static str, text: &str) -> Result<SocketAddr, SettingsError> {
    let text = text.trim();
    let full = if text.starts_with(':') {
        format!("127.0.0.1{text}")
    } else {
        text.to_owned()
    };
    let refused = |source| SettingsError::Address {
        flag,
        text: text.to_owned(),
        source,
    };
    let mut found = full.to_socket_addrs().map_err(refused)?;
    // `localhost` may well give both families; peers are told what was written, so take IPv4.
    let first = found.next();
    let best = found
        .find(SocketAddr::is_ipv4)
        .filter(|_| first.is_none_or(|it| it.is_ipv6()));
    best.or(first).ok_or_else(|| SettingsError::NoAddress {
        flag,
        text: text.to_owned(),
    })
}

/// The flag's list, or the file's where the flag is absent.
fn given<'a>(flag: &'a [String], file: &'a [String]) -> &'a [String] {
    if flag.is_empty() { file } else { flag }
}

/// Refuses addresses that others cannot dial unless another name is told.
fn dialable(
    http: SocketAddr,
    peer: SocketAddr,
    advertise: Option<&str>,
) -> Result<(), SettingsError> {
    for (flag, address) in [("--http", http), ("--peer", peer)] {
        if advertise.is_none() && address.ip().is_unspecified() {
            return Err(SettingsError::NotDialable { flag, address });
        }
    }
    Ok(())
}

/// Where peers listen when nothing is said: beside the HTTP port.
fn peer_beside(http: SocketAddr) -> Result<SocketAddr, SettingsError> {
    if http.port() == 0 {
        return Ok(SocketAddr::new(http.ip(), 0));
    }
    let port = http.port().checked_add(PEER_OFFSET);
    let port = port.ok_or(SettingsError::PeerPort { port: http.port() })?;
    Ok(SocketAddr::new(http.ip(), port))
}

/// An HTTP address of a member, `host:port`.
fn join_target(text: &str) -> Result<String, SettingsError> {
    let bare = text.trim();
    let plain = bare.strip_prefix("http://");
    let bare = plain.or(bare.strip_prefix("https://")).unwrap_or(bare);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let full = if bare.starts_with(':') {
        format!("{}{bare}", IpAddr::V4(Ipv4Addr::LOCALHOST))
    } else {
        bare.to_owned()
    };
    let port = full.rsplit_once(':').and_then(|(host, port)| {
        let port: u16 = port.parse().ok()?;
        (!host.is_empty() && !host.contains('/') && port > 0).then_some(port)
    });
    match port {
        Some(_) => Ok(full),
        None => Err(SettingsError::Join {
            text: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
