//! Which server is asked for a key.

use std::net::SocketAddr;

use ck_api::HashConfig;
use ck_client::Router;
use ck_core::{KeyHash, PartitionId};

use crate::access::Access;
use crate::connection::Connection;

/// How a client's requests reach the one who may answer them.
#[derive(Debug, Clone)]
pub enum Way {
    /// Over a server, which passes them on.
    Any(Spread),
    /// To the primary of their key, by a table that is kept near.
    Client(Router),
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name or address that its certificate is for.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        let host = address.ip().to_string();
        Self { host, address }
    }
}

/// Each client asks one server, the next one once that has failed it; servers pass requests on.
#[derive(Debug, Clone)]
pub struct Spread {
    servers: Vec<Server>,
    access: Access,
}

impl Spread {
    /// Over these servers.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn new(servers: Vec<Server>, access: Access) -> Self {
        assert!(!servers.is_empty(), "there is a server");
        Self { servers, access }
    }

    /// The server of a client, which servers have failed so many times so far.
    pub(crate) fn place(&self, client: usize, failures: usize) -> &Server {
        &self.servers[client.wrapping_add(failures) % self.servers.len()]
    }

    /// A connection to a server.
    pub(crate) fn connection(&self, server: &Server) -> Connection {
        Connection::new(server.clone(), self.access.clone())
    }
}

/// How a cluster maps keys to partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// What keys are hashed with.
    pub hash: KeyHash,
    /// How many there are, at least 1.
    pub count: u32,
}

impl Partitions {
    /// As a cluster tells it; nothing where it has no partitions, or a hash that is not known here.
    #[must_use]
    pub fn told(config: &HashConfig) -> Option<Self> {
        let hash = config.hash.parse().ok()?;
        let count = config.partitions;
        (count > 0).then_some(Self { hash, count })
    }

    /// The partition of a key.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> PartitionId {
        self.hash.partition(key, self.count)
    }
}
