//! The table as a router knows it: whole from a list, single rows from answers.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr as _;
use std::sync::Arc;

use ck_api::{Newest, Node, PartitionList};
use ck_core::{Epoch, KeyHash, PartitionId};
use hyper::http::uri::Authority;

/// Rows learned from answers that the whole table is too old for. With more of them it is asked for
/// anew.
const LEARNED_MAX: usize = 1024;

/// A node by its name, and where its HTTP surface is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteNode {
    id: Box<str>,
    address: Option<Authority>,
}

impl RouteNode {
    fn new(id: &str, address: &str) -> Arc<Self> {
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
    const fn age(&self) -> (u64, u64, u64) {
        (self.incarnation, self.epoch.0, self.version)
    }
}

/// A whole table, and what was learned since.
#[derive(Debug)]
pub(super) struct RouteTable {
    incarnation: u64,
    version: u64,
    hash: KeyHash,
    rows: Arc<[Route]>,
    learned: BTreeMap<u32, Route>,
}

/// What a list is, when it is no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoTable(pub(super) String);

impl RouteTable {
    /// The table of a list of all partitions, over these nodes.
    pub(super) fn new(hash: KeyHash, list: PartitionList, nodes: &[Node]) -> Result<Self, NoTable> {
        if list.partitions.is_empty() {
            return Err(NoTable("the partitions have not been created yet".into()));
        }
        let known: HashMap<&str, Arc<RouteNode>> = nodes
            .iter()
            .map(|node| (&*node.id, RouteNode::new(&node.id, &node.ip)))
            .collect();
        let (incarnation, version) = (list.incarnation, list.version);
        // A node that joined between the two answers is known by name alone, until the next.
        let node = |id: &str| {
            let found = known.get(id).cloned();
            found.unwrap_or_else(|| RouteNode::new(id, ""))
        };
        let row = |(at, row): (u32, ck_api::Partition)| {
            let partition = PartitionId(at);
            if row.id != partition.to_string() {
                let reason = format!("{:?} is listed where {partition} belongs", row.id);
                return Err(NoTable(reason));
            }
            Ok(Route {
                partition,
                incarnation,
                version,
                epoch: Epoch(row.epoch),
                primary: Some(row.primary_node)
                    .filter(|id| !id.is_empty())
                    .map(|id| node(&id)),
                replicas: row.replica_nodes.iter().map(|id| node(id)).collect(),
            })
        };
        let rows = (0..).zip(list.partitions).map(row);
        Ok(Self {
            incarnation,
            version,
            hash,
            rows: rows.collect::<Result<_, _>>()?,
            learned: BTreeMap::new(),
        })
    }

    /// Incarnation and version.
    pub(super) const fn age(&self) -> (u64, u64) {
        (self.incarnation, self.version)
    }

    /// Number of partitions.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The partition of a key.
    #[inline]
    pub(super) fn partition(&self, key: &[u8]) -> PartitionId {
        self.hash.partition(key, self.partitions())
    }

    /// The newest that is known of a partition.
    #[inline]
    pub(super) fn route(&self, partition: PartitionId) -> Option<&Route> {
        if !self.learned.is_empty()
            && let Some(learned) = self.learned.get(&partition.0)
        {
            return Some(learned);
        }
        self.rows.get(partition.index())
    }

    /// Addresses of all nodes that are primaries, each once.
    pub(super) fn addresses(&self) -> Vec<String> {
        let nodes = self.rows.iter().filter_map(|row| row.primary.as_deref());
        let mut addresses: Vec<String> = nodes
            .filter_map(RouteNode::address)
            .map(str::to_owned)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// What was learned from an answer, when it is news. `None` when it is not, or does not fit in.
    pub(super) fn with(&self, newest: &Newest) -> Option<Self> {
        let partition: PartitionId = newest.partition.as_deref()?.parse().ok()?;
        let node = newest.primary_node.as_deref()?;
        let address = newest.primary_address.as_deref().unwrap_or_default();
        let before = self.route(partition)?;
        let learned = Route {
            partition,
            incarnation: newest.incarnation,
            version: newest.version,
            epoch: Epoch(newest.epoch?),
            primary: Some(node)
                .filter(|id| !id.is_empty())
                .map(|id| RouteNode::new(id, address)),
            replicas: before.replicas.clone(),
        };
        let fits = self.learned.len() < LEARNED_MAX || self.learned.contains_key(&partition.0);
        if learned.age() <= before.age() || !fits {
            return None;
        }
        let mut all = self.learned.clone();
        all.insert(partition.0, learned);
        Some(Self {
            rows: Arc::clone(&self.rows),
            learned: all,
            ..*self
        })
    }

    /// This table with what was learned of the one before that is newer still.
    pub(super) fn after(mut self, before: &Self) -> Self {
        let kept = before.learned.iter().filter(|(at, learned)| {
            let row = self.rows.get(**at as usize);
            row.is_some_and(|row| learned.age() > row.age())
        });
        self.learned = kept.map(|(at, learned)| (*at, learned.clone())).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use ck_api::Partition;

    use super::*;

    fn list(incarnation: u64, version: u64, epochs: &[u64]) -> PartitionList {
        let partition = |(at, epoch): (usize, &u64)| Partition {
            id: format!("partition-{at}"),
            primary_node: "node-1".into(),
            replica_nodes: vec!["node-2".into()],
            epoch: *epoch,
            state: "stable".into(),
        };
        PartitionList {
            partitions: epochs.iter().enumerate().map(partition).collect(),
            incarnation,
            version,
            ..PartitionList::default()
        }
    }

    fn table(incarnation: u64, version: u64, epochs: &[u64]) -> RouteTable {
        let node = |id: &str, ip: &str| Node {
            id: id.into(),
            ip: ip.into(),
            ..Node::default()
        };
        let nodes = [node("node-1", "127.0.0.1:1"), node("node-2", "127.0.0.1:2")];
        RouteTable::new(KeyHash::Xxh3, list(incarnation, version, epochs), &nodes).unwrap()
    }

    fn newest(incarnation: u64, version: u64, epoch: u64) -> Newest {
        Newest {
            incarnation,
            version,
            partition: Some("partition-1".into()),
            primary_node: Some("node-2".into()),
            primary_address: Some("127.0.0.1:2".into()),
            epoch: Some(epoch),
            ..Newest::default()
        }
    }

    #[test]
    fn only_news_is_learned() {
        let known = table(2, 10, &[3, 3]);
        for (incarnation, version, epoch, news) in [
            (2, 11, 4, true),
            (3, 1, 1, true),
            (2, 11, 3, true),
            (2, 10, 3, false),
            (2, 12, 2, false),
            (1, 99, 99, false),
        ] {
            let newest = newest(incarnation, version, epoch);
            assert_eq!(known.with(&newest).is_some(), news, "{newest:?}");
        }
        let learned = known.with(&newest(2, 11, 4)).unwrap();
        let route = learned.route(PartitionId(1)).unwrap();
        assert_eq!(route.primary().unwrap().address(), Some("127.0.0.1:2"));
        assert_eq!(route.fence(), "2.1.4");
        let other = learned.route(PartitionId(0)).unwrap();
        assert_eq!(other.primary().unwrap().id(), "node-1");
        assert!(learned.with(&newest(2, 11, 4)).is_none(), "not twice");
    }

    #[test]
    fn what_was_learned_gives_way_to_a_table_that_is_as_new() {
        let learned = table(1, 10, &[3, 3]).with(&newest(1, 14, 5)).unwrap();
        let behind = table(1, 12, &[3, 4]).after(&learned);
        assert_eq!(behind.route(PartitionId(1)).unwrap().epoch(), Epoch(5));
        let ahead = table(1, 14, &[3, 5]).after(&learned);
        assert!(ahead.learned.is_empty());
        let restored = table(2, 1, &[1, 1]).after(&learned);
        assert_eq!(restored.route(PartitionId(1)).unwrap().epoch(), Epoch(1));
    }

    #[test]
    fn what_is_learned_has_a_limit() {
        let epochs = vec![1; LEARNED_MAX + 1];
        let mut known = table(1, 1, &epochs);
        for at in 0..LEARNED_MAX {
            let newest = Newest {
                partition: Some(format!("partition-{at}")),
                ..newest(1, 2, 2)
            };
            known = known.with(&newest).unwrap();
        }
        let one_more = Newest {
            partition: Some(format!("partition-{LEARNED_MAX}")),
            ..newest(1, 2, 2)
        };
        assert!(known.with(&one_more).is_none());
        assert!(known.with(&newest(1, 3, 3)).is_some(), "one that is known");
    }

    #[test]
    fn a_list_that_is_no_table_is_refused() {
        let mut swapped = list(1, 1, &[1, 1]);
        swapped.partitions.swap(0, 1);
        let refused = |list| RouteTable::new(KeyHash::Xxh3, list, &[]).unwrap_err();
        assert!(refused(swapped).0.contains("partition-1"));
        assert!(refused(list(1, 1, &[])).0.contains("created"));
    }
}
