//! Random instances, class by class: what was there before, and what is asked for now.

use ck_core::topology::Domain;
use ck_core::{Balanced, Node, NodeId, Placement, Spec, Table, Topology};

/// A repeatable sequence.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What happens to a cluster between two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Join,
    Leave,
    Weight,
    SeveralAtOnce,
    FactorPlusOne,
    FactorMinusOne,
    SpreadPlusOne,
    DomainChange,
    Skew40,
    ArbitraryTable,
    Tolerance,
    LeastMaximum,
}

impl Class {
    pub(crate) const ALL: [Self; 12] = [
        Self::Join,
        Self::Leave,
        Self::Weight,
        Self::SeveralAtOnce,
        Self::FactorPlusOne,
        Self::FactorMinusOne,
        Self::SpreadPlusOne,
        Self::DomainChange,
        Self::Skew40,
        Self::ArbitraryTable,
        Self::Tolerance,
        Self::LeastMaximum,
    ];
}

/// How large instances are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Nodes before the change: 2 to this many.
    pub(crate) nodes: u64,
    pub(crate) partitions: u64,
    pub(crate) factor: u64,
}

/// The arguments of one plan.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) topology: Topology,
    pub(crate) spec: Spec,
    pub(crate) previous: Table,
}

/// The cluster that instances of a seed are made from.
struct Cluster {
    dice: Dice,
    nodes: Vec<Node>,
    /// Nodes named so far, gone ones included.
    named: u64,
    domains: u64,
    skew: u64,
}

impl Cluster {
    fn node(&mut self, number: u64) -> Node {
        let weight = if self.skew == 40 {
            // Equal nodes with a few of forty times the weight, and anything between.
            [1, 1, 40, 1 + self.dice.roll(40)][self.dice.roll(4) as usize]
        } else {
            1 + self.dice.roll(self.skew)
        };
        let node = Node::new(id(number)).with_weight(weight as u32);
        if self.domains == 0 {
            return node;
        }
        let domain = format!("d{}", self.dice.roll(self.domains));
        node.with_domain(Domain::new(&domain).unwrap())
    }

    fn join(&mut self) {
        let node = self.node(self.named);
        self.named += 1;
        self.nodes.push(node);
    }

    fn pick(&mut self) -> usize {
        self.dice.roll(self.nodes.len() as u64) as usize
    }

    fn leave(&mut self) {
        if self.nodes.len() > 1 {
            let at = self.pick();
            self.nodes.remove(at);
        }
    }

    fn weigh(&mut self) {
        let at = self.pick();
        self.nodes[at].weight = match self.dice.roll(3) {
            0 => self.nodes[at].weight.div_ceil(2),
            _ => self.nodes[at].weight * 2,
        };
    }

    /// A node turns up in another failure domain, if there is another.
    fn relocate(&mut self) {
        let at = self.pick();
        let before = self.nodes[at].domain.clone();
        let others = (0..self.domains).map(|d| Domain::new(&format!("d{d}")).unwrap());
        let others: Vec<Domain> = others.filter(|d| Some(d) != before.as_ref()).collect();
        if !others.is_empty() {
            let to = self.dice.roll(others.len() as u64) as usize;
            self.nodes[at].domain = Some(others[to].clone());
        }
    }
}

pub(crate) fn id(n: u64) -> NodeId {
    NodeId::new(&format!("n{n}")).unwrap()
}

/// Rows of any length up to `width`, of nodes there are and nodes there never were.
pub(crate) fn random_table(dice: &mut Dice, partitions: u64, width: u64, nodes: u64) -> Table {
    let rows = (0..partitions).map(|_| {
        let mut row: Vec<NodeId> = Vec::new();
        for _ in 0..width {
            let id = id(dice.roll(nodes));
            if !row.contains(&id) {
                row.push(id);
            }
        }
        row
    });
    Table::from_named_rows(width as u8, rows).unwrap()
}

/// Failure domains, replication factor and spread before the change, so that it can happen.
fn start(
    dice: &mut Dice,
    class: Class,
    size: Size,
    (count, mut domains): (u64, u64),
) -> (u64, u64, u64) {
    let mut factor = 1 + dice.roll(size.factor.min(count));
    let mut spread = None;
    match class {
        Class::FactorPlusOne => factor = (factor - 1).max(1),
        Class::FactorMinusOne | Class::SpreadPlusOne => factor = factor.max(2),
        Class::DomainChange => {
            domains = 2 + dice.roll(3);
            factor = factor.max(2);
            spread = Some(2 + dice.roll(factor.min(domains) - 1));
        }
        _ => {}
    }
    let spread = spread.unwrap_or_else(|| 1 + dice.roll(factor));
    if class == Class::SpreadPlusOne {
        return (domains, factor, spread.min(factor - 1).max(1));
    }
    (domains, factor, spread)
}

/// The instance of a class that belongs to a seed.
pub(crate) fn instance(class: Class, size: Size, seed: u64) -> Instance {
    let mut dice = Dice::new(seed);
    let count = 2 + dice.roll(size.nodes - 1);
    let domains = dice.roll(6);
    let partitions = 1 + dice.roll(size.partitions);
    let (domains, mut factor, mut spread) = start(&mut dice, class, size, (count, domains));
    let skew = if class == Class::Skew40 {
        40
    } else {
        [1, 1, 3][dice.roll(3) as usize]
    };
    let mut cluster = Cluster {
        dice,
        nodes: Vec::new(),
        named: 0,
        domains,
        skew,
    };
    (0..count).for_each(|_| cluster.join());
    let spec = |factor: u64, spread: u64| {
        Spec::new(partitions as u32, factor as u8, spread as u8).unwrap()
    };
    let before = Topology::new(cluster.nodes.clone()).unwrap();
    let mut previous = Balanced::new()
        .place(&before, &spec(factor, spread), None)
        .unwrap()
        .table;
    match class {
        Class::Join => cluster.join(),
        Class::Leave => cluster.leave(),
        Class::Weight => cluster.weigh(),
        Class::FactorPlusOne => factor += 1,
        Class::FactorMinusOne => {
            factor = (factor - 1).max(1);
            spread = spread.min(factor);
        }
        Class::SpreadPlusOne => spread = (spread + 1).min(factor),
        Class::DomainChange => {
            (0..=cluster.dice.roll(2)).for_each(|_| cluster.relocate());
        }
        Class::ArbitraryTable => {
            let width = 1 + cluster.dice.roll(size.factor);
            previous = random_table(&mut cluster.dice, partitions, width, count + 2);
        }
        Class::Skew40 | Class::Tolerance | Class::LeastMaximum => change(&mut cluster),
        Class::SeveralAtOnce => {
            for _ in 0..2 + cluster.dice.roll(3) {
                change(&mut cluster);
            }
        }
    }
    let spec = spec(factor, spread);
    let spec = match class {
        Class::Tolerance => {
            let permille = 1 + cluster.dice.roll(400) as u16;
            spec.with_tolerance(permille).unwrap()
        }
        Class::LeastMaximum => spec.with_least_maximum(),
        _ => spec,
    };
    let topology = Topology::new(cluster.nodes).unwrap();
    Instance {
        topology,
        spec,
        previous,
    }
}

fn change(cluster: &mut Cluster) {
    match cluster.dice.roll(4) {
        0 => cluster.join(),
        1 => cluster.leave(),
        2 => cluster.weigh(),
        _ => cluster.relocate(),
    }
}

/// Topologies and specs of a cluster that changes step after step.
pub(crate) fn history(seed: u64, steps: usize, partitions: u32) -> Vec<(Topology, Spec)> {
    let mut cluster = Cluster {
        dice: Dice::new(seed),
        nodes: Vec::new(),
        named: 0,
        domains: 4,
        skew: 3,
    };
    (0..8).for_each(|_| cluster.join());
    let (mut factor, mut spread) = (3, 2);
    let mut history = Vec::with_capacity(steps);
    for _ in 0..steps {
        history.push((
            Topology::new(cluster.nodes.clone()).unwrap(),
            Spec::new(partitions, factor, spread).unwrap(),
        ));
        match cluster.dice.roll(8) {
            0 => factor = 1 + cluster.dice.roll(5) as u8,
            1 => spread = 1 + cluster.dice.roll(u64::from(factor)) as u8,
            _ if cluster.nodes.len() > 14 => cluster.leave(),
            _ if cluster.nodes.len() < 6 => cluster.join(),
            _ => change(&mut cluster),
        }
        spread = spread.min(factor);
        // Weights that double again and again would end in a cluster of one node.
        for node in &mut cluster.nodes {
            node.weight = node.weight.min(40);
        }
    }
    history
}
