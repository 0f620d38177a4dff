//! A placement strategy of one's own: primaries stay at home.
//!
//! Copies are spread over failure domains, so that losing one of them loses no data; but whoever
//! writes is near one of them. [`AtHome`] places copies as [`Balanced`] does, and gives the primary
//! role to a copy in the home domain wherever a row has one, evenly among the nodes there.
//!
//! The tests are the other half of the example: the suite that checks any strategy against the
//! contract of [`Placement`], and questions of the form "what if" with their answers reviewed.
//!
//! A cluster carries such a plan out like any other: turn `auto_rebalance` off, and hand the table
//! to `ck_node::Operation::BeginPlan` with the version it was made for.

use std::collections::BTreeMap;

use ck_core::{Balanced, Domain, NodeId, Placement, PlacementError, Plan, Spec, Table, Topology};

/// Primaries in one failure domain, wherever a row reaches it.
#[derive(Debug, Clone)]
pub struct AtHome {
    home: Domain,
}

impl AtHome {
    /// Primaries in `home`, or in a domain within it.
    #[must_use]
    pub const fn new(home: Domain) -> Self {
        Self { home }
    }

    fn is_home(&self, topology: &Topology, node: &NodeId) -> bool {
        let node = topology.node(node.as_str());
        let Some(domain) = node.and_then(|node| node.domain.as_ref()) else {
            return false;
        };
        let mut segments = domain.segments();
        self.home
            .segments()
            .all(|home| segments.next() == Some(home))
    }

    /// The nodes of a row that may be its primary: those at home, or all when none is.
    fn candidates<'t>(&self, topology: &Topology, row: ck_core::Row<'t>) -> Vec<&'t NodeId> {
        let nodes = row.nodes();
        let at_home: Vec<_> = nodes.filter(|node| self.is_home(topology, node)).collect();
        if at_home.is_empty() {
            row.nodes().collect()
        } else {
            at_home
        }
    }
}

impl Placement for AtHome {
    fn place(
        &self,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Plan, PlacementError> {
        // Who holds a copy is not our concern: evenly, in enough domains, with the fewest moves.
        let copies = Balanced::new().place(topology, spec, previous)?.table;
        let mut election = Election::new(topology);
        for row in copies.rows() {
            let before = previous.and_then(|table| table.row(row.partition())?.primary());
            election.stand(self.candidates(topology, row), before);
        }
        election.even_out();
        let rows = copies.rows().zip(&election.chosen).map(|(row, chosen)| {
            let others = row.nodes().filter(|node| Some(*node) != *chosen);
            chosen.iter().copied().chain(others).cloned().collect()
        });
        let rows: Vec<Vec<NodeId>> = rows.collect();
        let table = Table::from_named_rows(copies.width(), rows)
            .expect("a table whose rows are in another order is a table");
        // The figures are measured, so that a strategy cannot claim others than its table has.
        Plan::new(table, topology, spec, previous)
    }
}

/// One primary a row, out of its candidates. Ties go by id, so that the order in which nodes are
/// listed makes no difference.
struct Election<'t> {
    weights: BTreeMap<&'t NodeId, u32>,
    candidates: Vec<Vec<&'t NodeId>>,
    chosen: Vec<Option<&'t NodeId>>,
    primaries: BTreeMap<&'t NodeId, u64>,
}

impl<'t> Election<'t> {
    fn new(topology: &'t Topology) -> Self {
        let weight = |node: &'t ck_core::Node| (&node.id, node.weight);
        Self {
            weights: topology.nodes().iter().map(weight).collect(),
            candidates: Vec::new(),
            chosen: Vec::new(),
            primaries: BTreeMap::new(),
        }
    }

    /// The next row: its primary of before stays if it may.
    fn stand(&mut self, candidates: Vec<&'t NodeId>, before: Option<&NodeId>) {
        let stays = candidates.iter().find(|node| Some(**node) == before);
        let least = || {
            let all = candidates.iter();
            all.min_by(|one, other| {
                self.share(one, 1)
                    .cmp(&self.share(other, 1))
                    .then(one.cmp(other))
            })
        };
        let chosen = stays.or_else(least).copied();
        if let Some(chosen) = chosen {
            *self.primaries.entry(chosen).or_default() += 1;
        }
        self.chosen.push(chosen);
        self.candidates.push(candidates);
    }

    /// Passes roles on from nodes that have more than their weight earns to others of the same row.
    fn even_out(&mut self) {
        // Each pass that changes something makes the shares more even; as many as there are rows
        // are far more than it takes.
        for _ in 0..self.chosen.len() {
            let mut changed = false;
            for at in 0..self.chosen.len() {
                let Some(now) = self.chosen[at] else {
                    continue;
                };
                let others = self.candidates[at].iter().copied();
                let better = others
                    .filter(|other| self.share(other, 1) < self.share(now, 0))
                    .min_by(|one, other| {
                        self.share(one, 1)
                            .cmp(&self.share(other, 1))
                            .then(one.cmp(other))
                    });
                if let Some(better) = better {
                    *self.primaries.entry(now).or_default() -= 1;
                    *self.primaries.entry(better).or_default() += 1;
                    self.chosen[at] = Some(better);
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Primaries for its weight, with so many more.
    fn share(&self, node: &NodeId, more: u64) -> Share {
        let primaries = self.primaries.get(node).copied().unwrap_or(0) + more;
        let weight = self.weights.get(node).copied().unwrap_or(1);
        Share { primaries, weight }
    }
}

/// A quotient that is compared exactly: all nodes must compute the same, so no float.
#[derive(Debug, Clone, Copy)]
struct Share {
    primaries: u64,
    weight: u32,
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let cross = |one: &Self, other: &Self| u128::from(one.primaries) * u128::from(other.weight);
        cross(self, other).cmp(&cross(other, self))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}
