//! Which server is asked for a key.

use std::fmt::Debug;
use std::net::SocketAddr;

use ck_api::HashConfig;
use ck_core::{KeyHash, PartitionId};

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server.
    pub address: SocketAddr,
    /// What the sender takes the owner to be, `incarnation.partition.epoch`; with it a server that is
    /// not the owner refuses instead of passing the request on.
    pub fence: Option<String>,
}

/// Says which server is asked.
pub trait Route: Debug + Send + Sync {
    /// For a key, by a client, which has been failed so many times by servers so far.
    fn place(&self, key: &[u8], client: usize, failures: usize) -> Place;
}

/// Each client asks one server, the next one once that has failed it; servers pass requests on.
#[derive(Debug, Clone)]
pub struct Spread {
    servers: Vec<SocketAddr>,
}

impl Spread {
    /// Over these servers.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        assert!(!servers.is_empty(), "there is a server");
        Self { servers }
    }
}

impl Route for Spread {
    fn place(&self, _key: &[u8], client: usize, failures: usize) -> Place {
        let at = client.wrapping_add(failures) % self.servers.len();
        Place {
            address: self.servers[at],
            fence: None,
        }
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
