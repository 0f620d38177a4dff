//! Balanced plans against a plain exact solver, on random small instances.

mod reference;

use ck_core::topology::Domain;
use ck_core::{Balanced, Node, NodeId, Placement, Spec, Table, Topology};
use reference::{fewest_changes, fewest_moves};

/// A repeatable sequence.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn id(n: u64) -> NodeId {
    NodeId::new(&format!("n{n}")).unwrap()
}

fn random_node(dice: &mut Dice, n: u64, domains: u64, skew: u64) -> Node {
    let node = Node::new(id(n)).with_weight(1 + dice.roll(skew) as u32);
    if domains == 0 {
        return node;
    }
    node.with_domain(Domain::new(&format!("d{}", dice.roll(domains))).unwrap())
}

fn random_table(dice: &mut Dice, partitions: u64, width: u64, nodes: u64) -> Table {
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

struct Tally {
    instances: u64,
    beyond_bound: u64,
}

fn check(seed: u64, tally: &mut Tally) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let count = 2 + dice.roll(9);
    let domains = dice.roll(6);
    let skew = [1, 1, 3, 40][dice.roll(4) as usize];
    let partitions = 1 + dice.roll(40);
    let factor = 1 + dice.roll(5.min(count));
    let spread = 1 + dice.roll(factor);
    let mut nodes: Vec<Node> = (0..count)
        .map(|n| random_node(&mut dice, n, domains, skew))
        .collect();
    let topology = Topology::new(nodes.clone()).unwrap();
    let spec = Spec::new(partitions as u32, factor as u8, spread as u8).unwrap();
    let mut previous = Balanced::new().place(&topology, &spec, None).unwrap().table;
    let (mut factor, mut spread) = (factor, spread);
    match dice.roll(9) {
        0 => nodes.push(random_node(&mut dice, count, domains, skew)),
        1 => drop(nodes.remove(dice.roll(count) as usize)),
        2 => nodes[0] = random_node(&mut dice, 0, domains, skew),
        3 => nodes[0].weight *= 2,
        4 => spread = (spread + 1).min(factor),
        5 => factor += 1,
        6 => {
            factor = (factor - 1).max(1);
            spread = spread.min(factor);
        }
        7 => {
            let width = 1 + dice.roll(5);
            previous = random_table(&mut dice, partitions, width, count + 2);
        }
        _ => {
            nodes.remove(dice.roll(count) as usize);
            nodes.push(random_node(&mut dice, count, domains, skew));
            nodes.push(random_node(&mut dice, count + 1, domains, skew));
        }
    }
    let spec = Spec::new(partitions as u32, factor as u8, spread as u8).unwrap();
    let topology = Topology::new(nodes).unwrap();
    let plan = Balanced::new()
        .place(&topology, &spec, Some(&previous))
        .unwrap();
    plan.verify(&topology, &spec, Some(&previous))
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let stats = plan.table.stats(&topology, &spec);
    let at = format!("seed {seed}: {spec:?} {topology:?}");
    assert_eq!(
        (stats.copies_off_quota, stats.primaries_off_quota),
        (0, 0),
        "{at}\n{stats:?}"
    );
    let boxes: Vec<(u32, u32)> = stats
        .nodes
        .iter()
        .filter(|node| node.state.is_some())
        .map(|node| (node.quota.floor() as u32, node.quota.ceil() as u32))
        .collect();
    let fewest = fewest_moves(&topology, &spec, &previous, &boxes).expect("quota can be met");
    assert_eq!(plan.copies_moved, fewest, "{at}");
    assert!(plan.optimal, "{at}: not certified, gap {}", plan.gap);
    tally.instances += 1;
    tally.beyond_bound += u64::from(plan.copies_moved > plan.lower_bound);
}

/// How many instances; the long mode asks for more.
#[expect(
    clippy::disallowed_methods,
    reason = "the length of a test run is no input of a plan"
)]
fn instances() -> u64 {
    std::env::var("CK_EXACT_INSTANCES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(400)
}

#[test]
fn moves_are_the_fewest_there_are() {
    let runs = instances();
    let mut tally = Tally {
        instances: 0,
        beyond_bound: 0,
    };
    for seed in 0..runs {
        check(seed, &mut tally);
    }
    assert_eq!(tally.instances, runs);
    assert!(
        tally.beyond_bound * 50 > runs,
        "{} needed the exact step",
        tally.beyond_bound
    );
}

/// A handful of nodes and rows before and after a change; everything can be tried.
fn tiny(seed: u64) -> (u64, u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let count = 2 + dice.roll(3);
    let domains = dice.roll(4);
    let partitions = 1 + dice.roll(5);
    let factor = 1 + dice.roll(3.min(count));
    let spec = Spec::new(
        partitions as u32,
        factor as u8,
        (1 + dice.roll(factor)) as u8,
    )
    .unwrap();
    let width = 1 + dice.roll(3);
    let previous = random_table(&mut dice, partitions, width, count + 1);
    let nodes = (0..count).map(|n| random_node(&mut dice, n, domains, 3));
    let topology = Topology::new(nodes).unwrap();
    let plan = Balanced::new()
        .place(&topology, &spec, Some(&previous))
        .unwrap();
    let stats = plan.table.stats(&topology, &spec);
    let known = || stats.nodes.iter().filter(|node| node.state.is_some());
    let around = |share: ck_core::Fraction| (share.floor() as u32, share.ceil() as u32);
    let boxes: Vec<(u32, u32)> = known().map(|node| around(node.quota)).collect();
    let lead_boxes: Vec<(u32, u32)> = known().map(|node| around(node.primary_quota)).collect();
    let (moves, changes) = fewest_changes(&topology, &spec, &previous, &boxes, &lead_boxes)
        .expect("quotas of copies and primaries can be met together");
    assert_eq!(
        plan.copies_moved, moves,
        "seed {seed}: {spec:?} {topology:?}"
    );
    assert!(
        plan.primaries_changed >= changes,
        "seed {seed}: fewer changes than possible"
    );
    (plan.primaries_changed - changes, changes)
}

#[test]
fn primary_changes_exceed_the_fewest_in_one_instance_of_a_hundred_at_most() {
    let runs = instances();
    let (mut above, mut excess, mut sum) = (0, 0, 0);
    for seed in 0..runs {
        let (more, least) = tiny(seed);
        above += u64::from(more > 0);
        excess += more;
        sum += least;
    }
    assert!(above * 100 <= runs, "{above} of {runs} instances");
    assert!(excess * 1000 <= sum * 3, "{excess} beyond {sum} changes");
}
