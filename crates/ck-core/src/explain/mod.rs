//! Why a copy is where it is, or is not where one might expect it: as data, and in words.
//!
//! Answers are read off a plan and what it was made from. They name the constraint or the count that
//! is decisive, in the order in which the objective takes them: states, one copy a node, quota,
//! spread, then what a move would cost.

#[cfg(test)]
mod tests;
mod words;

use alloc::vec::Vec;

use crate::table::{NodeStats, Stats};
use crate::{Evenness, Fraction, NodeId, NodeState, PartitionId, Row, Spec, Table, Topology};

/// A table, and what it was placed from.
#[derive(Debug)]
pub struct Explainer<'a> {
    topology: &'a Topology,
    spec: &'a Spec,
    previous: Option<&'a Table>,
    table: &'a Table,
    stats: Stats,
}

/// Copies a node holds, against its exact share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Copies it holds.
    pub copies: u32,
    /// The share of copies that is due to it; rounded down or up, it is its quota.
    pub share: Fraction,
}

/// Why one copy of a row is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It was there before, and keeping it costs nothing.
    Kept,
    /// It is new: the node was below its quota, as the previous table had it.
    BelowQuota {
        /// Copies the node held before.
        before: u32,
        /// What it holds now.
        load: Load,
    },
    /// It is new, and the only copy of its row in that failure domain: the spread needs it.
    Spread {
        /// Failure domains the row touches.
        domains: u8,
        /// Failure domains it has to touch.
        spread: u8,
    },
    /// It is new, in place of one that could not stay, on a node within its quota.
    Replaces {
        /// What the node holds now.
        load: Load,
    },
    /// There was no table before: it is dealt out by share.
    First {
        /// What the node holds.
        load: Load,
    },
}

/// Why a copy that a row had before is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Departure {
    /// The topology does not know the node.
    Gone,
    /// The node may hold nothing.
    State(NodeState),
    /// The row is to have fewer copies than it had.
    FewerCopies {
        /// Copies it had.
        before: u8,
        /// Copies it has.
        after: u8,
    },
    /// The node held more than its quota.
    AboveQuota {
        /// Copies the node held before.
        before: u32,
        /// What it holds now.
        load: Load,
    },
    /// The row had to make room, for the spread or for the balance of other nodes.
    MadeRoom {
        /// What the node holds now.
        load: Load,
    },
}

/// What is to be said of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The partition.
    pub partition: PartitionId,
    /// Its copies, primary first, with why they are there.
    pub copies: Vec<(NodeId, Reason)>,
    /// Copies it had before, with why they left.
    pub departed: Vec<(NodeId, Departure)>,
    /// The primary before, where it is another one now.
    pub primary_before: Option<NodeId>,
}

/// Why a node has no copy of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyNot {
    /// It has one.
    HasIt {
        /// Whether it is the primary.
        primary: bool,
    },
    /// The topology does not know the node.
    Unknown,
    /// The node takes nothing new, and did not have this partition.
    State(NodeState),
    /// It holds its share rounded up: one copy more would break the balance.
    Full(Load),
    /// Every copy of the row is on a node that holds its share rounded down, and cannot give it.
    NoneCanGive {
        /// What the node holds.
        load: Load,
    },
    /// The row would touch too few failure domains, whichever copy that can be given made room.
    Spread {
        /// Failure domains the row has to touch.
        spread: u8,
    },
    /// It could be there, but another copy would have to leave that is no worse.
    MoveCost {
        /// What the node holds.
        load: Load,
        /// Copies of the row that were there before: what a change would move for nothing.
        kept: u8,
    },
}

impl<'a> Explainer<'a> {
    /// Explains `table`, which was placed on `topology` from `previous`.
    ///
    /// ```
    /// use ck_core::explain::{Explainer, Reason};
    /// use ck_core::{Balanced, Node, NodeId, PartitionId, Placement, Spec, Topology};
    /// let nodes = ["a", "b", "c"].map(|name| Node::new(NodeId::new(name).unwrap()));
    /// let (topology, spec) = (Topology::new(nodes)?, Spec::new(6, 2, 1)?);
    /// let plan = Balanced::new().place(&topology, &spec, None)?;
    /// let explainer = Explainer::new(&topology, &spec, None, &plan.table);
    /// let explained = explainer.explain(PartitionId(0)).unwrap();
    /// assert!(matches!(explained.copies[0].1, Reason::First { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(
        topology: &'a Topology,
        spec: &'a Spec,
        previous: Option<&'a Table>,
        table: &'a Table,
    ) -> Self {
        Self {
            topology,
            spec,
            previous,
            table,
            stats: table.stats(topology, spec),
        }
    }

    /// Why each copy of a partition is where it is; `None` when there is no such partition.
    #[must_use]
    pub fn explain(&self, partition: PartitionId) -> Option<Explanation> {
        let row = self.table.row(partition)?;
        let before = self.previous.and_then(|table| table.row(partition));
        let copies = row
            .nodes()
            .map(|id| (id.clone(), self.reason(row, before, id)));
        let left = before.into_iter().flat_map(|row| row.nodes());
        let left = left.filter(|id| !row.contains(id.as_str()));
        let old = before.and_then(|row| row.primary());
        Some(Explanation {
            partition,
            copies: copies.collect(),
            departed: left
                .map(|id| (id.clone(), self.departure(row, before, id)))
                .collect(),
            primary_before: old.filter(|old| row.primary() != Some(old)).cloned(),
        })
    }

    /// Why a node has no copy of a partition; `None` when there is no such partition.
    #[must_use]
    pub fn why_not(&self, partition: PartitionId, id: &NodeId) -> Option<WhyNot> {
        let row = self.table.row(partition)?;
        if row.contains(id.as_str()) {
            let primary = row.primary() == Some(id);
            return Some(WhyNot::HasIt { primary });
        }
        let before = self.previous.and_then(|table| table.row(partition));
        let had = before.is_some_and(|row| row.contains(id.as_str()));
        let Some(node) = self.topology.node(id.as_str()) else {
            return Some(WhyNot::Unknown);
        };
        let may = match node.state {
            NodeState::Active => true,
            NodeState::Cordoned => had,
            NodeState::Draining | NodeState::Down => false,
        };
        if !may {
            return Some(WhyNot::State(node.state));
        }
        let load = self.load(id);
        if u128::from(load.copies) >= self.range(load).1 {
            return Some(WhyNot::Full(load));
        }
        let spare = |id: &NodeId| {
            let load = self.load(id);
            u128::from(load.copies) > self.range(load).0
        };
        let mut givers = row.nodes().filter(|id| spare(id)).peekable();
        if givers.peek().is_none() {
            return Some(WhyNot::NoneCanGive { load });
        }
        if givers.all(|out| self.swapped(row, out, id) < self.wanted(row)) {
            let spread = self.spec.spread();
            return Some(WhyNot::Spread { spread });
        }
        let kept = row
            .nodes()
            .filter(|id| before.is_some_and(|row| row.contains(id.as_str())));
        let kept = kept.count() as u8;
        Some(WhyNot::MoveCost { load, kept })
    }

    fn reason(&self, row: Row<'_>, before: Option<Row<'_>>, id: &NodeId) -> Reason {
        let load = self.load(id);
        let Some(before) = before else {
            return Reason::First { load };
        };
        if before.contains(id.as_str()) {
            return Reason::Kept;
        }
        let others = row.nodes().filter(|other| *other != id);
        let domains = self.span(row.nodes());
        if self.span(others) < domains && domains <= self.wanted(row) {
            return Reason::Spread {
                domains: domains as u8,
                spread: self.spec.spread(),
            };
        }
        match self.held(id) {
            before if u128::from(before) < self.range(load).0 => {
                Reason::BelowQuota { before, load }
            }
            _ => Reason::Replaces { load },
        }
    }

    fn departure(&self, row: Row<'_>, before: Option<Row<'_>>, id: &NodeId) -> Departure {
        let Some(node) = self.topology.node(id.as_str()) else {
            return Departure::Gone;
        };
        if matches!(node.state, NodeState::Draining | NodeState::Down) {
            return Departure::State(node.state);
        }
        let (held, load) = (self.held(id), self.load(id));
        if u128::from(held) > self.range(load).1 {
            return Departure::AboveQuota { before: held, load };
        }
        let had = before.map_or(0, |row| row.nodes().len());
        let has = row.nodes().len();
        if has < had {
            return Departure::FewerCopies {
                before: had as u8,
                after: has as u8,
            };
        }
        Departure::MadeRoom { load }
    }

    fn load(&self, id: &NodeId) -> Load {
        let place = |node: &NodeStats| node.id.cmp(id);
        let node = self.stats.nodes.binary_search_by(place).ok();
        let node = node.map(|at| &self.stats.nodes[at]);
        Load {
            copies: node.map_or(0, |node| node.copies),
            share: node.map_or(Fraction::ZERO, |node| node.quota),
        }
    }

    /// The fewest and the most copies that the spec lets a node of that share hold.
    fn range(&self, load: Load) -> (u128, u128) {
        let share = load.share;
        let permille = match self.spec.evenness() {
            Evenness::Quota | Evenness::Strict => return (share.floor(), share.ceil()),
            Evenness::LeastMaximum => return (0, share.ceil()),
            Evenness::Tolerance { permille } => u64::from(permille),
        };
        let times = |thousandths: u64| share.scaled(thousandths.into(), 1000.into());
        (
            times(1000 - permille).floor(),
            times(1000 + permille).ceil(),
        )
    }

    /// Copies a node held before.
    fn held(&self, id: &NodeId) -> u32 {
        let index = |table: &Table| table.index_of(id.as_str());
        let Some((table, index)) = self.previous.and_then(|table| Some((table, index(table)?)))
        else {
            return 0;
        };
        table.cells().iter().filter(|cell| **cell == index).count() as u32
    }

    /// Failure domains the row has to touch, at most as many as it does.
    fn wanted(&self, row: Row<'_>) -> usize {
        usize::from(self.spec.spread()).min(self.span(row.nodes()))
    }

    /// Failure domains touched when `gone` makes room for `id`.
    fn swapped(&self, row: Row<'_>, gone: &NodeId, id: &NodeId) -> usize {
        let stay = row.nodes().filter(|other| *other != gone);
        self.span(stay.chain(core::iter::once(id)))
    }

    fn span<'i>(&self, nodes: impl Iterator<Item = &'i NodeId>) -> usize {
        let domain = |id: &'i NodeId| match self.topology.node(id.as_str()) {
            Some(node) => match &node.domain {
                Some(domain) => (Some(domain.widest()), None),
                None => (None, Some(id)),
            },
            None => (None, Some(id)),
        };
        let mut domains: Vec<_> = nodes.map(domain).collect();
        domains.sort_unstable();
        domains.dedup();
        domains.len()
    }
}
