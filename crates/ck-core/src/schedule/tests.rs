use alloc::format;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::{Bound, Limits, Migration, Schedule, ScheduleError, ScheduleVerifyError};
use crate::{
    Balanced, Domain, Node, NodeId, NodeState, PartitionId, Placement, Spec, Table, Topology,
};

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

fn id(number: u64) -> NodeId {
    NodeId::new(&format!("n{number}")).unwrap()
}

fn node(dice: &mut Dice, number: u64) -> Node {
    let weight = 1 + dice.roll(4) as u32;
    let domain = Domain::new(&format!("d{}", dice.roll(5))).unwrap();
    Node::new(id(number))
        .with_weight(weight)
        .with_domain(domain)
}

fn limits(incoming: u32, outgoing: u32) -> Limits {
    Limits {
        incoming: NonZeroU32::new(incoming).unwrap(),
        outgoing: NonZeroU32::new(outgoing).unwrap(),
    }
}

/// Two tables and what is between them.
struct Case {
    topology: Topology,
    spec: Spec,
    previous: Table,
    target: Table,
    limits: Limits,
    stale: Vec<(PartitionId, NodeId)>,
}

impl Case {
    fn random(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let count = 2 + dice.roll(12);
        let mut nodes: Vec<Node> = (0..count).map(|n| node(&mut dice, n)).collect();
        let partitions = 1 + dice.roll(120) as u32;
        let factor = 1 + dice.roll(4.min(count)) as u8;
        let spread = 1 + dice.roll(u64::from(factor)) as u8;
        let spec = Spec::new(partitions, factor, spread).unwrap();
        let place = |nodes: &[Node], spec: &Spec, previous: Option<&Table>| {
            let topology = Topology::new(nodes.iter().cloned()).unwrap();
            let plan = Balanced::new().place(&topology, spec, previous);
            (topology, plan.unwrap().table)
        };
        let (_, previous) = place(&nodes, &spec, None);
        for step in 0..1 + dice.roll(4) {
            let at = dice.roll(nodes.len() as u64) as usize;
            match dice.roll(6) {
                0 if nodes.len() > 1 => drop(nodes.remove(at)),
                1 => nodes[at].weight += dice.roll(9) as u32,
                2 if at > 0 => nodes[at].state = NodeState::Draining,
                3 if at > 0 => nodes[at].state = NodeState::Down,
                4 => nodes[at] = node(&mut dice, at as u64 + 100 * step),
                _ => nodes.push(node(&mut dice, 1_000 + step)),
            }
        }
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        nodes.dedup_by(|a, b| a.id == b.id);
        if nodes.iter().all(|node| node.state != NodeState::Active) {
            nodes[0].state = NodeState::Active;
        }
        let factor = 1 + dice.roll(4) as u8;
        let spec = Spec::new(partitions, factor, 1 + dice.roll(u64::from(factor)) as u8).unwrap();
        let (topology, target) = place(&nodes, &spec, Some(&previous));
        let mut stale = Vec::new();
        if dice.roll(3) == 0 {
            for row in previous.rows().filter(|row| row.partition().0 % 3 == 0) {
                let held = row.nodes().nth(dice.roll(3) as usize);
                stale.extend(held.map(|id| (row.partition(), id.clone())));
            }
        }
        Self {
            topology,
            spec,
            previous,
            target,
            limits: limits(1 + dice.roll(3) as u32, 1 + dice.roll(3) as u32),
            stale,
        }
    }

    fn migration(&self) -> Migration<'_> {
        Migration {
            topology: &self.topology,
            spec: &self.spec,
            previous: &self.previous,
            target: &self.target,
            limits: self.limits,
            stale: &self.stale,
        }
    }
}

#[test]
fn random_migrations_are_scheduled_in_the_fewest_rounds_and_no_row_is_ever_short() {
    let (mut outgoing, mut lost) = (0, 0);
    for seed in 0..500 {
        let case = Case::random(seed);
        let migration = case.migration();
        let schedule = migration.schedule().unwrap();
        if let Err(error) = schedule.verify(&migration) {
            panic!("seed {seed}: {error}\n{schedule:?}");
        }
        assert_eq!(schedule, migration.schedule().unwrap(), "seed {seed}");
        outgoing += u32::from(matches!(schedule.bound, Bound::Outgoing(_)));
        lost += u32::from(!schedule.lost.is_empty());
    }
    assert!(outgoing > 20 && lost > 20, "{outgoing} {lost}");
}

fn drained() -> Case {
    let nodes = |state| {
        let node = |n| Node::new(id(n)).with_domain(Domain::new(&format!("d{}", n % 3)).unwrap());
        let first = node(0).with_state(state);
        Topology::new(core::iter::once(first).chain((1..7).map(node))).unwrap()
    };
    let spec = Spec::new(64, 3, 3).unwrap();
    let place = |topology: &Topology, previous| {
        let plan = Balanced::new().place(topology, &spec, previous);
        plan.unwrap().table
    };
    let previous = place(&nodes(NodeState::Active), None);
    let topology = nodes(NodeState::Draining);
    Case {
        target: place(&topology, Some(&previous)),
        topology,
        spec,
        previous,
        limits: limits(2, 1),
        stale: Vec::new(),
    }
}

fn refusal(case: &Case, spoil: impl FnOnce(&mut Schedule)) -> ScheduleVerifyError {
    let mut schedule = case.migration().schedule().unwrap();
    schedule.verify(&case.migration()).unwrap();
    spoil(&mut schedule);
    schedule.verify(&case.migration()).unwrap_err()
}

#[test]
fn verifier_rejects_spoiled_schedules() {
    use ScheduleVerifyError as Wrong;
    let case = drained();
    let wrong = refusal(&case, |s| {
        s.transfers.pop();
    });
    assert!(matches!(
        wrong,
        Wrong::End { .. } | Wrong::Handoff { .. } | Wrong::Thin { .. }
    ));
    let wrong = refusal(&case, |s| s.transfers[0].source = s.transfers[0].target);
    assert!(matches!(wrong, Wrong::Transfer { .. }), "{wrong}");
    let wrong = refusal(&case, |s| s.transfers[0].target = u32::MAX);
    assert!(matches!(wrong, Wrong::Reference { .. }), "{wrong}");
    let wrong = refusal(&case, |s| s.transfers[0].round = s.rounds + 1);
    assert!(matches!(wrong, Wrong::Reference { .. }), "{wrong}");
    let wrong = refusal(&case, |s| s.transfers.push(s.transfers[0]));
    assert!(matches!(wrong, Wrong::Transfer { .. }), "{wrong}");
    let wrong = refusal(&case, |s| s.handoffs[0].to = s.handoffs[0].from.unwrap());
    assert!(
        matches!(wrong, Wrong::End { .. } | Wrong::Removal { .. }),
        "{wrong}"
    );
    let wrong = refusal(&case, |s| s.handoffs.clear());
    assert!(
        matches!(wrong, Wrong::End { .. } | Wrong::Removal { .. }),
        "{wrong}"
    );
    let wrong = refusal(&case, |s| s.removals[0].round = 0);
    assert!(!matches!(wrong, Wrong::End { .. }), "{wrong}");
    let wrong = refusal(&case, |s| {
        s.removals.pop();
    });
    assert!(matches!(wrong, Wrong::End { .. }), "{wrong}");
    let wrong = refusal(&case, |s| s.rounds += 1);
    assert!(matches!(wrong, Wrong::Rounds { .. }), "{wrong}");
    let wrong = refusal(&case, |s| s.lost.push(PartitionId(0)));
    assert!(matches!(wrong, Wrong::End { .. }), "{wrong}");
    let mut strict = drained();
    strict.limits = limits(1, 1);
    let schedule = case.migration().schedule().unwrap();
    let wrong = schedule.verify(&strict.migration()).unwrap_err();
    assert!(matches!(wrong, Wrong::Limit { .. }), "{wrong}");
}

#[test]
fn a_survivor_leads_before_the_first_transfer() {
    let mut case = drained();
    let nodes = case.topology.nodes().iter().cloned();
    let down = nodes.map(|node| match node.state {
        NodeState::Draining => node.with_state(NodeState::Down),
        _ => node,
    });
    case.topology = Topology::new(down).unwrap();
    let schedule = case.migration().schedule().unwrap();
    schedule.verify(&case.migration()).unwrap();
    let orphans = |row: &crate::Row<'_>| row.primary() == Some(&id(0));
    let orphans = case.previous.rows().filter(orphans).count();
    let at_once = schedule
        .handoffs
        .iter()
        .filter(|handoff| handoff.from.is_none());
    assert!(orphans > 0);
    assert_eq!(
        at_once.filter(|handoff| handoff.round == 0).count(),
        orphans
    );
    let gone = schedule.nodes.binary_search(&id(0)).unwrap() as u32;
    assert!(
        schedule
            .transfers
            .iter()
            .all(|transfer| transfer.source != gone)
    );
}

#[test]
fn other_partition_counts_are_refused() {
    let case = drained();
    let topology = &case.topology;
    let spec = Spec::new(65, 3, 3).unwrap();
    let target = Balanced::new().place(topology, &spec, None).unwrap().table;
    let migration = Migration {
        target: &target,
        ..case.migration()
    };
    let (previous, target) = (64, 65);
    let wrong = ScheduleError::Partitions { previous, target };
    assert_eq!(migration.schedule(), Err(wrong));
}
