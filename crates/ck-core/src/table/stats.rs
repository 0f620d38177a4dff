//! How evenly a table spreads its copies, against the exact share of every node.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::placement::{Members, Needs, held};
use crate::topology::Domain;
use crate::{Fraction, NodeId, NodeState, Spec, Table, Topology};

/// Figures of a table over a topology; see [`Table::stats`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of all partitions together.
    pub copies: u64,
    /// Every node of the topology and every other node the table names, in order of id.
    pub nodes: Vec<NodeStats>,
    /// Every named failure domain, by the widest segment of its path, in order of name.
    pub domains: Vec<DomainStats>,
    /// The largest ratio of a node's copies to its quota; 1 is perfect, 1.17 is 17 % too many.
    /// Zero when no node has a quota.
    pub copies_balance: Fraction,
    /// The same for primaries.
    pub primaries_balance: Fraction,
    /// Nodes whose copies are neither their quota rounded down nor rounded up.
    pub copies_off_quota: u32,
    /// The same for primaries.
    pub primaries_off_quota: u32,
    /// Partitions with fewer copies than the replication factor.
    pub under_replicated: u32,
    /// Partitions without any copy, hence without a primary.
    pub unowned: u32,
    /// Partitions with copies that touch fewer failure domains than the spread asks for.
    pub spread_violations: u32,
}

/// What one node holds, and what its exact share is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStats {
    /// The node.
    pub id: NodeId,
    /// Its state; `None` when the topology does not know it.
    pub state: Option<NodeState>,
    /// Its weight; 0 when the topology does not know it.
    pub weight: u32,
    /// Its failure domain, where it names one.
    pub domain: Option<Domain>,
    /// Copies on it, primaries included.
    pub copies: u32,
    /// Partitions it is the primary of.
    pub primaries: u32,
    /// Its exact fair share of all copies.
    pub quota: Fraction,
    /// Its exact fair share of all primaries.
    pub primary_quota: Fraction,
}

/// What the nodes of one failure domain hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainStats {
    /// Widest segment of the path.
    pub name: String,
    /// Nodes in it.
    pub nodes: u32,
    /// Copies on them.
    pub copies: u64,
    /// Primaries on them.
    pub primaries: u64,
    /// Partitions with at least one copy on them: what stays readable when only it survives.
    pub partitions: u32,
}

impl Table {
    /// How evenly this table spreads `spec` over `topology`, measured against the exact weighted
    /// share of every node.
    ///
    /// The partition count is the table's own; replication factor and spread are the spec's.
    ///
    /// ```
    /// use ck_core::{Balanced, Node, NodeId, Placement, Spec, Topology};
    /// let nodes = ["a", "b", "c"].map(|name| NodeId::new(name).map(Node::new));
    /// let topology = Topology::new(nodes.into_iter().collect::<Result<Vec<_>, _>>()?)?;
    /// let spec = Spec::new(16, 2, 1)?;
    /// let plan = Balanced::new().place(&topology, &spec, None)?;
    /// let stats = plan.table.stats(&topology, &spec);
    /// assert_eq!((stats.copies, stats.copies_off_quota), (32, 0));
    /// assert_eq!(stats.copies_balance.to_string(), "1.031"); // 11 copies where 10.667 are due
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stats(&self, topology: &Topology, spec: &Spec) -> Stats {
        let mut stats = Stats {
            partitions: self.partitions(),
            copies: 0,
            nodes: listed(self, topology),
            domains: Vec::new(),
            copies_balance: Fraction::ZERO,
            primaries_balance: Fraction::ZERO,
            copies_off_quota: 0,
            primaries_off_quota: 0,
            under_replicated: 0,
            unowned: 0,
            spread_violations: 0,
        };
        share_out(&mut stats, self, topology, spec);
        count(&mut stats, self, spec);
        weigh(&mut stats);
        stats
    }
}

fn listed(table: &Table, topology: &Topology) -> Vec<NodeStats> {
    let empty = |id: &NodeId| NodeStats {
        id: id.clone(),
        state: None,
        weight: 0,
        domain: None,
        copies: 0,
        primaries: 0,
        quota: Fraction::ZERO,
        primary_quota: Fraction::ZERO,
    };
    let mut nodes: BTreeMap<&NodeId, NodeStats> =
        table.nodes().iter().map(|id| (id, empty(id))).collect();
    for node in topology.nodes() {
        let entry = nodes.entry(&node.id).or_insert_with(|| empty(&node.id));
        entry.state = Some(node.state);
        entry.weight = node.weight;
        entry.domain.clone_from(&node.domain);
    }
    nodes.into_values().collect()
}

fn share_out(stats: &mut Stats, table: &Table, topology: &Topology, spec: &Spec) {
    let spec = spec.with_partitions(table.partitions());
    let members = Members::new(topology, &spec, Some(table));
    let needs = Needs::new(&members, Some(table));
    let (copies, spare) = needs.totals(table.partitions());
    let rows = Fraction::from(u64::from(needs.owned(table.partitions())));
    let quotas = members.quotas(copies, spare);
    for (member, quota) in members.list.iter().zip(quotas) {
        let at = stats
            .nodes
            .binary_search_by(|node| node.id.cmp(&member.node.id));
        let at = at.expect("every node of the topology is listed");
        stats.nodes[at].quota = quota;
        stats.nodes[at].primary_quota = quota.scaled(rows, Fraction::from(copies.max(1)));
    }
}

fn count(stats: &mut Stats, table: &Table, spec: &Spec) {
    let copies = held(table);
    let mut primaries = vec![0_u32; copies.len()];
    // Domain of each node of the table: named ones first, then one for each other node.
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for node in stats.nodes.iter() {
        if let Some(domain) = &node.domain {
            names.entry(domain.widest().to_string()).or_insert(0);
        }
    }
    for (at, number) in names.values_mut().enumerate() {
        *number = at as u32;
    }
    let named = names.len();
    let place = |id: &NodeId| {
        let at = stats.nodes.binary_search_by(|node| node.id.cmp(id));
        at.expect("every node of the table is listed")
    };
    let at: Vec<usize> = table.nodes().iter().map(place).collect();
    let domain_of: Vec<u32> = at
        .iter()
        .enumerate()
        .map(|(index, at)| match &stats.nodes[*at].domain {
            Some(domain) => names[domain.widest()],
            None => (named + index) as u32,
        })
        .collect();
    let mut touched = vec![0_u32; named];
    let mut seen: Vec<u32> = Vec::with_capacity(usize::from(table.width()));
    for row in table.rows() {
        let row = row.indexes();
        seen.clear();
        for index in row {
            let domain = domain_of[*index as usize];
            if !seen.contains(&domain) {
                seen.push(domain);
                if let Some(touched) = touched.get_mut(domain as usize) {
                    *touched += 1;
                }
            }
        }
        if let Some(primary) = row.first() {
            primaries[*primary as usize] += 1;
        }
        stats.copies += row.len() as u64;
        stats.under_replicated += u32::from(row.len() < usize::from(spec.replication_factor()));
        stats.unowned += u32::from(row.is_empty());
        let narrow = !row.is_empty() && seen.len() < usize::from(spec.spread());
        stats.spread_violations += u32::from(narrow);
    }
    for (index, at) in at.iter().enumerate() {
        stats.nodes[*at].copies = copies[index];
        stats.nodes[*at].primaries = primaries[index];
    }
    stats.domains = names
        .into_iter()
        .zip(touched)
        .map(|((name, _), partitions)| domain_stats(name, partitions, &stats.nodes))
        .collect();
}

fn domain_stats(name: String, partitions: u32, nodes: &[NodeStats]) -> DomainStats {
    let mut domain = DomainStats {
        name,
        nodes: 0,
        copies: 0,
        primaries: 0,
        partitions,
    };
    for node in nodes {
        if node
            .domain
            .as_ref()
            .is_some_and(|of| of.widest() == domain.name)
        {
            domain.nodes += 1;
            domain.copies += u64::from(node.copies);
            domain.primaries += u64::from(node.primaries);
        }
    }
    domain
}

fn weigh(stats: &mut Stats) {
    let off = |count: u32, quota: Fraction| {
        let count = u128::from(count);
        u32::from(count < quota.floor() || count > quota.ceil())
    };
    let ratio = |count: u32, quota| Fraction::from(u64::from(count)).checked_div(quota);
    for node in &stats.nodes {
        stats.copies_off_quota += off(node.copies, node.quota);
        stats.primaries_off_quota += off(node.primaries, node.primary_quota);
        if let Some(ratio) = ratio(node.copies, node.quota) {
            stats.copies_balance = stats.copies_balance.max(ratio);
        }
        if let Some(ratio) = ratio(node.primaries, node.primary_quota) {
            stats.primaries_balance = stats.primaries_balance.max(ratio);
        }
    }
}
