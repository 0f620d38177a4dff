//! Balanced plans against plain exact solvers, on random instances of every class of change.
//!
//! A run of `cargo test` takes a few hundred instances. The long mode is asked for by number, takes
//! a few minutes when optimised, and prints what each class did:
//!
//! ```text
//! CK_EXACT_INSTANCES=20000 cargo test --release -p ck-core --test exact -- --nocapture
//! ```

mod boxes;
mod instance;
mod reference;

use std::collections::BTreeMap;

use boxes::{Boxes, boxes};
use ck_core::{Balanced, Certificate, Node, Placement, Plan, Spec, Table, Topology};
use instance::{Class, Instance, Size, history, id, instance};
use reference::{fewest_changes, fewest_moves};

/// Instances that once failed: class, seed; planned again in every run.
const KEPT: &[(Class, u64)] = &[];

const MIDDLE: Size = Size {
    nodes: 10,
    partitions: 40,
    factor: 5,
};

/// A handful of nodes and rows; everything can be tried.
const TINY: Size = Size {
    nodes: 4,
    partitions: 5,
    factor: 3,
};

/// How many instances; the long mode asks for 20,000 or more.
#[expect(
    clippy::disallowed_methods,
    reason = "the length of a test run is no input of a plan"
)]
fn instances() -> u64 {
    let asked = std::env::var("CK_EXACT_INSTANCES")
        .ok()
        .and_then(|n| n.parse().ok());
    asked.unwrap_or(400)
}

/// What came of the instances of one class.
#[derive(Debug, Default)]
struct Tally {
    instances: u64,
    /// Copies moved beyond the fewest, summed.
    excess: u64,
    /// Plans that the direct moves did not bring to the bound by counts: certified by prices.
    exact_step: u64,
    /// Those of them that have to move more than that bound.
    beyond_counts: u64,
    /// Plans not certified: the work budget ended.
    stopped: u64,
    off_quota: u64,
    /// Primary changes: the fewest, those beyond, and in how many instances.
    changes: u64,
    changes_beyond: u64,
    changes_above: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.instances += other.instances;
        self.excess += other.excess;
        self.exact_step += other.exact_step;
        self.beyond_counts += other.beyond_counts;
        self.stopped += other.stopped;
        self.off_quota += other.off_quota;
        self.changes += other.changes;
        self.changes_beyond += other.changes_beyond;
        self.changes_above += other.changes_above;
    }
}

/// The plan, checked, with the counts that the quota allows.
fn planned(case: &Instance, at: &str) -> (Plan, Boxes, Boxes, Tally) {
    let Instance {
        topology,
        spec,
        previous,
    } = case;
    let plan = Balanced::new()
        .place(topology, spec, Some(previous))
        .unwrap();
    plan.verify(topology, spec, Some(previous))
        .unwrap_or_else(|error| panic!("{at}: {error}"));
    let stats = plan.table.stats(topology, spec);
    let (boxes, lead_boxes) = boxes(&stats, topology, spec);
    let known = stats.nodes.iter().filter(|node| node.state.is_some());
    let off = known
        .zip(boxes.iter().zip(&lead_boxes))
        .any(|(node, (copies, primaries))| {
            let within = |count: u32, (low, high): (u32, u32)| (low..=high).contains(&count);
            !within(node.copies, *copies) || !within(node.primaries, *primaries)
        });
    let tally = Tally {
        instances: 1,
        exact_step: u64::from(matches!(plan.certificate, Certificate::Prices(_))),
        beyond_counts: u64::from(plan.copies_moved > plan.lower_bound),
        stopped: u64::from(!plan.optimal),
        off_quota: u64::from(off),
        ..Tally::default()
    };
    (plan, boxes, lead_boxes, tally)
}

fn middle(class: Class, seed: u64) -> Tally {
    let at = format!("{class:?}, seed {seed}");
    let case = instance(class, MIDDLE, seed);
    let (plan, boxes, _, mut tally) = planned(&case, &at);
    let fewest = fewest_moves(&case.topology, &case.spec, &case.previous, &boxes);
    let fewest = fewest.unwrap_or_else(|| panic!("{at}: quota cannot be met"));
    assert!(
        plan.copies_moved >= fewest,
        "{at}: fewer moves than possible"
    );
    tally.excess = plan.copies_moved - fewest;
    tally
}

fn tiny(class: Class, seed: u64) -> Tally {
    let at = format!("tiny {class:?}, seed {seed}");
    let case = instance(class, TINY, seed);
    let (plan, boxes, lead_boxes, mut tally) = planned(&case, &at);
    let fewest = fewest_changes(
        &case.topology,
        &case.spec,
        &case.previous,
        &boxes,
        &lead_boxes,
    );
    let (moves, changes) = fewest.unwrap_or_else(|| panic!("{at}: quotas cannot be met together"));
    assert!(
        plan.copies_moved >= moves,
        "{at}: fewer moves than possible"
    );
    tally.excess = plan.copies_moved - moves;
    if tally.excess == 0 {
        assert!(
            plan.primaries_changed >= changes,
            "{at}: fewer changes than possible"
        );
        tally.changes_beyond = plan.primaries_changed - changes;
    }
    tally.changes = changes;
    tally.changes_above = u64::from(tally.changes_beyond > 0);
    tally
}

/// Runs every class, prints what came of each, and returns the sum.
#[expect(
    clippy::print_stdout,
    reason = "what came of each class is what the long mode is for"
)]
fn run(name: &str, one: impl Fn(Class, u64) -> Tally) -> Tally {
    let runs = instances();
    // A tenth of each class, though there are more than ten.
    let each = runs.div_ceil(10);
    let mut classes: BTreeMap<Class, Tally> = BTreeMap::new();
    let mut failed = Vec::new();
    let seeds = Class::ALL
        .iter()
        .flat_map(|class| (0..each).map(|seed| (*class, seed)));
    for (class, seed) in KEPT.iter().copied().chain(seeds) {
        let tally = one(class, seed);
        if (tally.excess, tally.stopped, tally.off_quota) != (0, 0, 0) && failed.len() < 10 {
            failed.push((class, seed));
        }
        classes.entry(class).or_default().add(&tally);
    }
    let mut sum = Tally::default();
    println!(
        "{name}: instances, excess moves, budget stopped, off quota, needed the exact step, \
         beyond the bound by counts"
    );
    for (class, tally) in &classes {
        let class = format!("{class:?}");
        println!(
            "  {class:15} {:6} {:6} {:6} {:6} {:6} {:6}",
            tally.instances,
            tally.excess,
            tally.stopped,
            tally.off_quota,
            tally.exact_step,
            tally.beyond_counts,
        );
        sum.add(tally);
    }
    assert!(classes.values().all(|tally| tally.instances >= each));
    assert_eq!(
        (sum.excess, sum.stopped, sum.off_quota),
        (0, 0, 0),
        "excess moves, budget stopped, off quota; the first: {failed:?}"
    );
    sum
}

#[test]
fn moves_are_the_fewest_there_are() {
    let sum = run("middle", middle);
    let percent = sum.exact_step * 100 / sum.instances;
    println!(
        "{} instances, {percent} % needed the exact step",
        sum.instances
    );
    assert!(
        percent >= 5,
        "{} of {} needed the exact step",
        sum.exact_step,
        sum.instances
    );
}

#[test]
fn primary_changes_exceed_the_fewest_in_one_instance_of_a_hundred_at_most() {
    let sum = run("tiny", tiny);
    let Tally {
        instances,
        changes,
        changes_beyond,
        changes_above,
        ..
    } = sum;
    println!(
        "{changes_beyond} primary changes beyond {changes}, in {changes_above} of {instances}"
    );
    assert!(
        changes_above * 100 <= instances,
        "{changes_above} of {instances} instances"
    );
    assert!(
        changes_beyond * 1000 <= changes * 3,
        "{changes_beyond} beyond {changes} changes"
    );
}

/// Each plan starts from the one before; nothing may add up.
#[test]
fn chains_of_hundreds_of_changes_stay_optimal() {
    let chains = instances().div_ceil(4_000);
    for seed in 0..chains {
        let mut previous: Option<Table> = None;
        for (step, (topology, spec)) in history(seed, 300, 48).into_iter().enumerate() {
            let at = format!("chain {seed}, step {step}");
            let Some(before) = previous.take() else {
                previous = Some(Balanced::new().place(&topology, &spec, None).unwrap().table);
                continue;
            };
            let case = Instance {
                topology,
                spec,
                previous: before,
            };
            let (plan, boxes, _, tally) = planned(&case, &at);
            assert_eq!((tally.stopped, tally.off_quota), (0, 0), "{at}");
            let fewest = fewest_moves(&case.topology, &case.spec, &case.previous, &boxes);
            assert_eq!(Some(plan.copies_moved), fewest, "{at}");
            previous = Some(plan.table);
        }
    }
}

/// As many partitions and as much weight as there can be; in the long mode only, for its size.
#[test]
fn the_largest_tables_with_the_largest_weights_are_planned() {
    let long = instances() >= 20_000;
    let partitions = if long { 1 << 24 } else { 1 << 12 };
    let weights = [u32::MAX, u32::MAX - 1, 1, u32::MAX];
    let node = |(at, weight): (usize, &u32)| Node::new(id(at as u64)).with_weight(*weight);
    let topology = Topology::new(weights.iter().enumerate().map(node)).unwrap();
    let fewer = Topology::new(topology.nodes()[1..].to_vec()).unwrap();
    let spec = Spec::new(partitions, 2, 2).unwrap();
    let first = Balanced::new().place(&topology, &spec, None).unwrap();
    first.verify(&topology, &spec, None).unwrap();
    let second = Balanced::new()
        .place(&fewer, &spec, Some(&first.table))
        .unwrap();
    second.verify(&fewer, &spec, Some(&first.table)).unwrap();
    assert!(first.optimal && second.optimal);
}
