//! The clusters that are planned for, and what changes in them.

use ck_core::{Domain, Node, NodeId, Spec, Topology};

/// A cluster to plan for.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) partitions: u32,
    pub(crate) nodes: u32,
    domains: u32,
    pub(crate) spread: u8,
}

pub(crate) const SIZES: [Size; 3] = [
    size(256, 10, 5, 2),
    size(16_384, 100, 5, 3),
    size(1_000_000, 1_000, 10, 3),
];

const fn size(partitions: u32, nodes: u32, domains: u32, spread: u8) -> Size {
    Size {
        partitions,
        nodes,
        domains,
        spread,
    }
}

/// What changes, and in how many ways it is hard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Join,
    Leave,
    Weight,
    Replace,
    Move,
    Spread,
    Fewer,
}

pub(crate) const CHANGES: [(Change, &str); 7] = [
    (Change::Join, "join"),
    (Change::Leave, "leave"),
    (Change::Weight, "weight x 2"),
    (Change::Replace, "replace 10 %"),
    (Change::Move, "domain changes"),
    (Change::Spread, "spread + 1"),
    (Change::Fewer, "copies - 1"),
];

impl Size {
    fn node(self, number: u32, skewed: bool) -> Node {
        let id = NodeId::new(&format!("node-{number:05}")).expect("a short name");
        let domain = Domain::new(&format!("d{}", number % self.domains)).expect("a short name");
        let weight = if skewed { 1 + number % 7 } else { 1 };
        Node::new(id).with_domain(domain).with_weight(weight)
    }

    pub(crate) fn nodes(self, skewed: bool) -> Vec<Node> {
        (0..self.nodes).map(|n| self.node(n, skewed)).collect()
    }

    pub(crate) fn spec(self, copies: u8, spread: u8) -> Spec {
        Spec::new(self.partitions, copies, spread).expect("within range")
    }

    /// The topology and spec after a change.
    pub(crate) fn after(self, change: Change, skewed: bool) -> (Topology, Spec) {
        let mut nodes = self.nodes(skewed);
        let newcomer = |at: u32| self.node(self.nodes + at, skewed);
        let (mut copies, mut spread) = (3, self.before(change));
        match change {
            Change::Join => nodes.push(newcomer(0)),
            Change::Leave => drop(nodes.swap_remove(3)),
            Change::Weight => nodes[3].weight *= 2,
            Change::Replace => {
                let count = self.nodes / 10;
                nodes.drain(..count as usize);
                nodes.extend((0..count).map(newcomer));
            }
            Change::Move => nodes[3].domain = nodes[4].domain.clone(),
            Change::Spread => spread += 1,
            Change::Fewer => (copies, spread) = (copies - 1, spread.min(copies - 1)),
        }
        let topology = Topology::new(nodes).expect("distinct nodes");
        (topology, self.spec(copies, spread))
    }

    /// The spread before a change.
    pub(crate) fn before(self, change: Change) -> u8 {
        match change {
            Change::Spread => self.spread - 1,
            _ => self.spread,
        }
    }

    pub(crate) fn name(self, skewed: bool) -> String {
        let weights = if skewed { "1:7" } else { "equal" };
        format!("{} x {}, {weights}", self.partitions, self.nodes)
    }
}
