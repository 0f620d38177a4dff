//! Where a partition is, and on which nodes.

use std::str::FromStr as _;
use std::sync::Arc;

use ck_core::{Epoch, PartitionId};
use hyper::http::uri::Authority;

/// A node by its name, and where its HTTP surface is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteNode {
    id: Box<str>,
    address: Option<Authority>,
}

impl RouteNode {
    pub(super) fn new(id: &str, address: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            address: Authority::from_str(address).ok(),
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its HTTP address, `host:port`, when one is known.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_ref().map(Authority::as_str)
    }

    pub(super) fn authority(&self) -> Option<&Authority> {
        self.address.as_ref()
    }
}

/// Where a partition is, as far as is known here. A hint: only its owner can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) partition: PartitionId,
    pub(super) incarnation: u64,
    /// Version of the table this was taken from.
    pub(super) version: u64,
    pub(super) epoch: Epoch,
    pub(super) primary: Option<Arc<RouteNode>>,
    pub(super) replicas: Box<[Arc<RouteNode>]>,
}

impl Route {
    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The cluster's incarnation.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Grants of the primary role so far.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The node that may write; none while nobody may.
    #[must_use]
    pub fn primary(&self) -> Option<&RouteNode> {
        self.primary.as_deref()
    }

    /// The nodes with another copy, in order of preference.
    pub fn replicas(&self) -> impl Iterator<Item = &RouteNode> {
        self.replicas.iter().map(|node| &**node)
    }

    /// The grant, as the header `CK-Fence` has it.
    pub(super) fn fence(&self) -> String {
        format!("{}.{}.{}", self.incarnation, self.partition.0, self.epoch)
    }

    /// What makes one route newer than another of the same partition.
    pub(super) const fn age(&self) -> (u64, u64, u64) {
        (self.incarnation, self.epoch.0, self.version)
    }

    /// Whether that very node has a copy.
    pub(super) fn names(&self, node: &Arc<RouteNode>) -> bool {
        let mut copies = self.primary.iter().chain(&self.replicas);
        copies.any(|copy| Arc::ptr_eq(copy, node))
    }
}
