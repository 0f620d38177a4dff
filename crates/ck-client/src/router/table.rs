//! The table as a router knows it: whole, changed by what a server tells, and single rows from answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ck_api::{Newest, Node, PartitionList, TableAnswer, TableDelta, TableMember};
use ck_core::{Epoch, KeyHash, PartitionId};

use super::route::{Route, RouteNode};
use super::rows::Rows;

#[cfg(test)]
mod tests;

/// Rows learned from answers that the whole table is too old for. With more of them it is asked for
/// anew.
const LEARNED_MAX: usize = 1024;

/// Nodes by member number.
type Members = BTreeMap<u64, Arc<RouteNode>>;

/// A whole table, and what was learned since.
#[derive(Debug)]
pub(super) struct RouteTable {
    incarnation: u64,
    version: u64,
    hash: KeyHash,
    rows: Rows,
    members: Arc<Members>,
    learned: BTreeMap<u32, Route>,
}

/// What an answer or an event is, when it is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoTable {
    #[error("the partitions have not been created yet")]
    Empty,
    #[error("{listed:?} is listed where {expected} belongs")]
    Order {
        listed: String,
        expected: PartitionId,
    },
    #[error("{0}")]
    Hash(#[from] ck_core::key::UnknownKeyHash),
    #[error("a copy of {partition} is at member {member}, which is not listed")]
    Member { partition: PartitionId, member: u64 },
    #[error("a change of {partition}, and there are {partitions} partitions")]
    Partition {
        partition: PartitionId,
        partitions: u32,
    },
    /// Changes are missing between what is known and this one.
    #[error("a change from version {}.{}, and {}.{} is known", .from.0, .from.1, .known.0, .known.1)]
    Gap { from: (u64, u64), known: (u64, u64) },
}

/// A row, as answers and events spell it.
struct Spelt<'a> {
    partition: PartitionId,
    /// Incarnation and version of what spells it.
    age: (u64, u64),
    epoch: u64,
    primary: Option<u64>,
    replicas: &'a [u64],
}

impl Spelt<'_> {
    fn read(&self, members: &Members) -> Result<Route, NoTable> {
        let partition = self.partition;
        let node = |member: &u64| match members.get(member) {
            Some(node) => Ok(Arc::clone(node)),
            None => Err(NoTable::Member {
                partition,
                member: *member,
            }),
        };
        Ok(Route {
            partition,
            incarnation: self.age.0,
            version: self.age.1,
            epoch: Epoch(self.epoch),
            primary: self.primary.as_ref().map(node).transpose()?,
            replicas: self.replicas.iter().map(node).collect::<Result<_, _>>()?,
        })
    }
}

impl RouteTable {
    /// The table of a whole answer.
    pub(super) fn whole(answer: &TableAnswer) -> Result<Self, NoTable> {
        if answer.rows.is_empty() {
            return Err(NoTable::Empty);
        }
        let age = (answer.incarnation, answer.version);
        let listed = answer.members.iter();
        let members: Members = listed
            .map(|one| (one.member, RouteNode::new(&one.id, &one.http)))
            .collect();
        let rows: Result<Vec<Route>, NoTable> = (0..)
            .zip(&answer.rows)
            .map(|(at, row)| {
                let spelt = Spelt {
                    partition: PartitionId(at),
                    age,
                    epoch: row.epoch,
                    primary: row.primary,
                    replicas: &row.replicas,
                };
                spelt.read(&members)
            })
            .collect();
        Ok(Self {
            incarnation: age.0,
            version: age.1,
            hash: answer.hash_config.hash.parse()?,
            rows: Rows::new(&rows?),
            members: Arc::new(members),
            learned: BTreeMap::new(),
        })
    }

    /// The table of a list of all partitions, over these nodes: what servers without `/v1/table` give.
    pub(super) fn new(hash: KeyHash, list: PartitionList, nodes: &[Node]) -> Result<Self, NoTable> {
        if list.partitions.is_empty() {
            return Err(NoTable::Empty);
        }
        // Servers that name no member numbers give none of the changes that would need them.
        let number = |(at, node): (u64, &Node)| match node.member {
            0 => (u64::MAX - at, RouteNode::new(&node.id, &node.ip)),
            member => (member, RouteNode::new(&node.id, &node.ip)),
        };
        let members: Members = (0..).zip(nodes).map(number).collect();
        let known: HashMap<&str, &Arc<RouteNode>> =
            members.values().map(|node| (node.id(), node)).collect();
        let (incarnation, version) = (list.incarnation, list.version);
        // A node that joined between the two answers is known by name alone, until the next.
        let node = |id: &str| {
            let found = known.get(id).map(|node| Arc::clone(node));
            found.unwrap_or_else(|| RouteNode::new(id, ""))
        };
        let row = |(at, row): (u32, ck_api::Partition)| {
            let partition = PartitionId(at);
            if row.id != partition.to_string() {
                return Err(NoTable::Order {
                    listed: row.id,
                    expected: partition,
                });
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
        let rows: Vec<Route> = (0..)
            .zip(list.partitions)
            .map(row)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            incarnation,
            version,
            hash,
            rows: Rows::new(&rows),
            members: Arc::new(members),
            learned: BTreeMap::new(),
        })
    }

    /// Incarnation and version.
    pub(super) const fn age(&self) -> (u64, u64) {
        (self.incarnation, self.version)
    }

    /// Whether a server's table is a later one of this cluster, though of another id, as after a restore: it
    /// has a higher incarnation, and the server is the same node in both.
    pub(super) fn is_succeeded(&self, server: &str, by: &TableAnswer) -> bool {
        let is_same = |(number, node): (&u64, &Arc<RouteNode>)| {
            let now = by.members.iter().find(|one| one.member == *number);
            node.address() == Some(server)
                && now.is_some_and(|now| now.id == node.id() && now.http == server)
        };
        by.incarnation > self.incarnation && self.members.iter().any(is_same)
    }

    /// Number of partitions.
    #[inline]
    pub(super) const fn partitions(&self) -> u32 {
        self.rows.len()
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
        self.rows.row(partition)
    }

    /// Addresses of all nodes, each once.
    pub(super) fn addresses(&self) -> Vec<String> {
        let nodes = self.members.values().map(|node| &**node);
        let mut addresses: Vec<String> = nodes
            .filter_map(RouteNode::address)
            .map(str::to_owned)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// What was learned from an answer, when it is news. `None` when it is not, or does not fit in; nor is
    /// anything believed of another incarnation or a node that is not known, which a whole table tells of.
    pub(super) fn with(&self, newest: &Newest) -> Option<Self> {
        let partition: PartitionId = newest.partition.as_deref()?.parse().ok()?;
        let node = newest.primary_node.as_deref()?;
        let is_known = node.is_empty() || self.members.values().any(|one| one.id() == node);
        if newest.incarnation != self.incarnation || !is_known {
            return None;
        }
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
            rows: self.rows.clone(),
            members: Arc::clone(&self.members),
            learned: all,
            ..*self
        })
    }

    /// This table with what was learned of the one before that is newer still.
    pub(super) fn after(mut self, before: &Self) -> Self {
        let kept = before.learned.iter().filter(|(_, learned)| {
            let row = self.rows.row(learned.partition);
            (learned.incarnation, learned.version) > self.age()
                && row.is_some_and(|row| learned.age() > row.age())
        });
        self.learned = kept.map(|(at, learned)| (*at, learned.clone())).collect();
        self
    }

    /// This table after a change; `None` when the change is not newer.
    ///
    /// A change holds whole rows and members, so it is taken by any table from its beginning on.
    pub(super) fn changed(&self, delta: &TableDelta) -> Result<Option<Self>, NoTable> {
        let (known, age) = (self.age(), (delta.incarnation, delta.version));
        if age <= known {
            return Ok(None);
        }
        let from = (delta.incarnation, delta.from);
        if from.0 != known.0 || from > known {
            return Err(NoTable::Gap { from, known });
        }
        let (members, rows) = self.moved(&delta.members);
        let mut changed = Vec::with_capacity(delta.rows.len());
        for row in &delta.rows {
            let (partition, partitions) = (PartitionId(row.partition), self.partitions());
            if partition.0 >= partitions {
                return Err(NoTable::Partition {
                    partition,
                    partitions,
                });
            }
            let spelt = Spelt {
                partition,
                age,
                epoch: row.epoch,
                primary: row.primary,
                replicas: &row.replicas,
            };
            changed.push(spelt.read(&members)?);
        }
        let mut members = members;
        if !delta.gone.is_empty() {
            Arc::make_mut(&mut members).retain(|member, _| !delta.gone.contains(member));
        }
        let table = Self {
            incarnation: age.0,
            version: age.1,
            hash: self.hash,
            rows: rows.with(changed),
            members,
            learned: BTreeMap::new(),
        };
        Ok(Some(table.after(self)))
    }

    /// This table at a later version, since nothing has changed up to there; `None` when it is not later.
    pub(super) fn at(&self, version: u64) -> Option<Self> {
        let table = Self {
            version,
            rows: self.rows.clone(),
            members: Arc::clone(&self.members),
            learned: BTreeMap::new(),
            ..*self
        };
        (version > self.version).then(|| table.after(self))
    }

    /// The members with those changes, and the rows over them: a node that has moved has moved in every
    /// row.
    fn moved(&self, changes: &[TableMember]) -> (Arc<Members>, Rows) {
        let mut members = Arc::clone(&self.members);
        let mut moved: Vec<(Arc<RouteNode>, Arc<RouteNode>)> = Vec::new();
        for change in changes {
            let node = RouteNode::new(&change.id, &change.http);
            let before = members.get(&change.member);
            if before.is_some_and(|before| **before == *node) {
                continue;
            }
            let before = Arc::make_mut(&mut members).insert(change.member, Arc::clone(&node));
            moved.extend(before.map(|before| (before, node)));
        }
        if moved.is_empty() {
            return (members, self.rows.clone());
        }
        let now = |copy: &Arc<RouteNode>| {
            let found = moved.iter().find(|(before, _)| Arc::ptr_eq(copy, before));
            Arc::clone(found.map_or(copy, |(_, now)| now))
        };
        let named = |route: &&Route| moved.iter().any(|(before, _)| route.names(before));
        let rows = self.rows.iter().filter(named).map(|route| Route {
            primary: route.primary.as_ref().map(now),
            replicas: route.replicas.iter().map(now).collect(),
            ..route.clone()
        });
        (members, self.rows.with(rows))
    }
}
