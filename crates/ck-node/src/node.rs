//! Starting a node.

use std::sync::Arc;

use ck_transport::{
    BoxFuture, Limits, PeerId, Service, TcpConfig, TcpTransport, Transport, TransportError,
};

use crate::config::{Config, ConfigError};
use crate::consensus::{self, ConsensusError};
use crate::driver;
use crate::handle::Handle;
use crate::published::Publisher;
use crate::service::Door;
use crate::shared::{Before, Shared, peer_id};
use crate::store::{Identity, Store, StoreError, key};

/// A node, before it is started.
#[derive(Debug)]
pub struct Node;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A configured value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its data cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot listen for peers.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Consensus does not start over its data.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
}

/// Makes the transport of a node, given who the node is and what answers its peers.
pub type Bind = Box<dyn FnOnce(PeerId, Arc<dyn Service>) -> Bound + Send>;

/// A transport, and the address peers are told.
pub type Bound = BoxFuture<'static, Result<(Arc<dyn Transport>, String), TransportError>>;

impl Node {
    /// Starts a node that talks to its peers over TCP.
    ///
    /// Returns once its data is open and it listens; forming or joining a cluster goes on behind
    /// the handle, see [`Handle::ready`].
    ///
    /// # Errors
    /// [`StartError`] when a value is out of range, the data cannot be used, or the address is
    /// taken. Nothing is left running then.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        let limits = Limits {
            payload_bytes_max: config.payload_bytes_max,
            ..Limits::default()
        };
        let tcp = TcpConfig {
            limits,
            tls: config.peer_tls.clone(),
            ..TcpConfig::listening_at(config.peer_listen.clone())
        };
        let (listen, advertise) = (config.peer_listen.clone(), config.advertise.clone());
        let bind: Bind = Box::new(move |me, service| {
            Box::pin(async move {
                let transport = TcpTransport::bind(tcp, me, service).await?;
                let address = advertised(&listen, advertise.as_deref(), &transport.local_address());
                Ok((transport as Arc<dyn Transport>, address))
            })
        });
        Self::start_with(config, bind).await
    }

    /// Starts a node on a transport of one's own, such as the one in memory.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_with(config: Config, bind: Bind) -> Result<Handle, StartError> {
        config.check()?;
        let directory = config.data.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(&directory)).await;
        let store = opened.unwrap_or_else(|source| {
            Err(StoreError::Damaged {
                path: config.data.clone(),
                what: source.to_string(),
            })
        })?;
        let found = store.identify(&config.node, &config.cluster_name)?;
        let before = Before {
            served: store.read(key::SERVED)?,
            stopped: store.read::<Option<_>>(key::STOPPED)?.flatten(),
        };
        let door = Arc::new(Door::default());
        let me = peer_id(&found, &config.cluster_name);
        let identity = begin(&store, found.clone()).await?;
        let bound = bind(me, Arc::clone(&door) as Arc<dyn Service>).await;
        let (transport, address) = match bound {
            Ok(bound) => bound,
            Err(source) => {
                // Nobody has heard of this start: it does not count.
                store.adopt(&found).await?;
                return Err(source.into());
            }
        };
        let publisher = Publisher::new(config.events_kept);
        let node = Shared::new(config, store, identity, before, publisher);
        node.connect(address, transport);
        door.open(&node);
        if let Err(source) = driver::start_consensus(&node).await {
            node.pass_on_mark().await;
            node.transport().shutdown().await;
            return Err(source.into());
        }
        tokio::spawn(driver::run(Arc::clone(&node)));
        Ok(Handle::new(node))
    }
}

/// Records this start in the store. One that may have come from elsewhere leads nothing any more.
async fn begin(store: &Store, found: Identity) -> Result<Identity, StoreError> {
    let (identity, at_home) = store.begin(found);
    if let Some(membership) = &identity.membership
        && !at_home
    {
        // Before the new place is recorded: a start that dies in between is repeated in full.
        consensus::resign(store, membership.member).await?;
    }
    store.adopt(&identity).await?;
    Ok(identity)
}

/// The address peers are told: the host to advertise, or the one listened on, and the real port.
fn advertised(listen: &str, advertise: Option<&str>, local: &str) -> String {
    let port = local.rsplit_once(':').map_or("", |(_, port)| port);
    let listened = listen
        .rsplit_once(':')
        .map(|(host, _)| host)
        .filter(|host| !host.is_empty());
    let host = advertise.or(listened).unwrap_or("127.0.0.1");
    if host.contains(':') && !host.starts_with('[') {
        return format!("[{host}]:{port}");
    }
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::advertised;

    #[test]
    fn advertised_address_has_the_real_port() {
        assert_eq!(
            advertised("127.0.0.1:0", None, "127.0.0.1:4711"),
            "127.0.0.1:4711"
        );
        assert_eq!(
            advertised("0.0.0.0:0", Some("n1.internal"), "0.0.0.0:4711"),
            "n1.internal:4711"
        );
        assert_eq!(advertised("[::1]:0", None, "[::1]:4711"), "[::1]:4711");
        assert_eq!(
            advertised("[::]:0", Some("fe::1"), "[::]:4711"),
            "[fe::1]:4711"
        );
    }
}
