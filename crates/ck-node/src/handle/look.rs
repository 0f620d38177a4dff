//! Looking at what was committed last: never waits, never asks another node.

use std::collections::BTreeMap;
use std::sync::Arc;

use ck_control::State;
use ck_core::{NodeId, PartitionId, Table, Version};

use super::Handle;
use crate::published::{Published, Reader};

/// One partition and the nodes that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The partition.
    pub id: PartitionId,
    /// The node that may write; `None` while no node could take it.
    pub primary: Option<NodeId>,
    /// The other nodes with a copy, in order of preference.
    pub replicas: Vec<NodeId>,
}

/// How the partitions are spread over the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Partitions there are.
    pub partitions: u32,
    /// Partitions each node is the primary of; a node with none is listed with 0.
    pub primaries: BTreeMap<NodeId, u32>,
    /// Partitions each node holds a further copy of.
    pub replicas: BTreeMap<NodeId, u32>,
}

impl Handle {
    /// Look-ups for one thread, wait-free. Make one for each.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.node.publisher.reader()
    }

    /// Everything that was committed last, as of now.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.node.publisher.current()
    }

    /// The replicated state, as of now. Cheap: its parts are shared.
    #[must_use]
    pub fn state(&self) -> State {
        self.node.state()
    }

    /// The table, once the partitions exist.
    #[must_use]
    pub fn table(&self) -> Option<Arc<Table>> {
        self.published().state.table().cloned()
    }

    /// The partition a key falls into, and who holds it; `None` before the partitions exist.
    #[must_use]
    pub fn partition_for_key(&self, key: &[u8]) -> Option<Partition> {
        self.published().lookup(key).map(Partition::of)
    }

    /// One partition; `None` before they exist, or when there is no such one.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Partition> {
        self.published().state.table()?.row(id).map(Partition::of)
    }

    /// All partitions, in order of number; empty before they exist.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        self.partitions_where(|_| true)
    }

    /// The partitions a node holds, as primary or otherwise, in order of number.
    #[must_use]
    pub fn partitions_of(&self, node: &str) -> Vec<Partition> {
        self.partitions_where(|row| row.contains(node))
    }

    fn partitions_where(&self, keep: impl Fn(&ck_core::Row<'_>) -> bool) -> Vec<Partition> {
        let published = self.published();
        let Some(table) = published.state.table() else {
            return Vec::new();
        };
        table.rows().filter(keep).map(Partition::of).collect()
    }

    /// How the partitions are spread over the nodes; every member is listed.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let published = self.published();
        let state = &published.state;
        let none = || {
            state
                .members()
                .map(|member| (member.node.clone(), 0))
                .collect()
        };
        let mut found = Distribution {
            partitions: 0,
            primaries: none(),
            replicas: none(),
        };
        let Some(table) = state.table() else {
            return found;
        };
        found.partitions = table.partitions();
        for row in table.rows() {
            if let Some(primary) = row.primary() {
                *found.primaries.entry(primary.clone()).or_default() += 1;
            }
            for replica in row.replicas() {
                *found.replicas.entry(replica.clone()).or_default() += 1;
            }
        }
        found
    }

    /// The primary of a partition.
    #[must_use]
    pub fn primary(&self, id: PartitionId) -> Option<NodeId> {
        self.partition(id)?.primary
    }

    /// The nodes with a further copy of a partition.
    #[must_use]
    pub fn replicas(&self, id: PartitionId) -> Vec<NodeId> {
        self.partition(id)
            .map(|partition| partition.replicas)
            .unwrap_or_default()
    }

    /// Whether this node is the primary of a partition by the table it knows. A route, not a right
    /// to act.
    #[must_use]
    pub fn is_primary(&self, id: PartitionId) -> bool {
        self.primary(id).as_ref() == Some(self.node_id())
    }

    /// Whether this node holds a further copy of a partition.
    #[must_use]
    pub fn is_replica(&self, id: PartitionId) -> bool {
        self.replicas(id).contains(self.node_id())
    }

    /// The members, in order of member number.
    #[must_use]
    pub fn nodes(&self) -> Vec<ck_control::Member> {
        self.published().state.members().cloned().collect()
    }

    /// A replicated value as last committed here, and its version.
    #[must_use]
    pub fn custom(&self, key: &str) -> Option<(Arc<[u8]>, Version)> {
        let published = self.published();
        published
            .state
            .custom(key)
            .map(|found| (Arc::clone(&found.value), found.version))
    }

    /// The keys of all replicated values, in order.
    #[must_use]
    pub fn custom_keys(&self) -> Vec<String> {
        self.published()
            .state
            .customs()
            .map(|(key, _)| key.to_owned())
            .collect()
    }
}

impl Partition {
    fn of(row: ck_core::Row<'_>) -> Self {
        Self {
            id: row.partition(),
            primary: row.primary().cloned(),
            replicas: row.replicas().cloned().collect(),
        }
    }
}
