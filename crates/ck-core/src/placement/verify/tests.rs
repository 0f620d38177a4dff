extern crate std;

mod mutations;

use std::format;
use std::vec::Vec;

use super::*;
use crate::topology::Domain;
use crate::{Balanced, NodeId, PartitionId, Placement, Rendezvous, Ring};

fn nodes(count: u32, domains: u32) -> Vec<Node> {
    let node = |n: u32| {
        let id = NodeId::new(&format!("n{n}")).unwrap();
        Node::new(id).with_domain(Domain::new(&format!("d{}", n % domains)).unwrap())
    };
    (0..count).map(node).collect()
}

/// A plan that only prices can prove: a node changes its domain.
fn hard() -> (Topology, Spec, Table, Plan) {
    let spec = Spec::new(100, 3, 3).unwrap();
    let mut list = nodes(10, 5);
    let first = Balanced::new()
        .place(&Topology::new(list.clone()).unwrap(), &spec, None)
        .unwrap();
    list[0] = list[0].clone().with_domain(Domain::new("d1").unwrap());
    let topology = Topology::new(list).unwrap();
    let plan = Balanced::new()
        .place(&topology, &spec, Some(&first.table))
        .unwrap();
    (topology, spec, first.table, plan)
}

fn with_cells(plan: &Plan, edit: impl FnOnce(&mut Vec<u32>)) -> Plan {
    let mut cells = plan.table.cells().to_vec();
    edit(&mut cells);
    let mut plan = plan.clone();
    plan.table = Table::from_cells(plan.table.nodes().to_vec(), 3, cells).unwrap();
    plan
}

#[test]
fn plans_of_every_strategy_hold_what_they_say() {
    let spec = Spec::new(60, 3, 2).unwrap();
    let (before, after) = (
        Topology::new(nodes(8, 3)).unwrap(),
        Topology::new(nodes(9, 4)).unwrap(),
    );
    let strategies: [&dyn Placement; 4] = [
        &Balanced::new(),
        &Ring::new(),
        &Rendezvous::weighted(),
        &Rendezvous::md5(),
    ];
    for strategy in strategies {
        let first = strategy.place(&before, &spec, None).unwrap();
        first.verify(&before, &spec, None).unwrap();
        let second = strategy.place(&after, &spec, Some(&first.table)).unwrap();
        second.verify(&after, &spec, Some(&first.table)).unwrap();
    }
}

#[test]
fn a_plan_beyond_the_bound_is_proved_by_prices() {
    let (topology, spec, previous, plan) = hard();
    assert!(
        plan.optimal && plan.copies_moved > plan.lower_bound,
        "{plan:?}"
    );
    assert!(matches!(plan.certificate, Certificate::Prices(_)));
    plan.verify(&topology, &spec, Some(&previous)).unwrap();
}

#[test]
fn altered_figures_are_found() {
    let (topology, spec, previous, plan) = hard();
    type Alteration = (&'static str, fn(&mut Plan));
    let alterations: [Alteration; 6] = [
        ("copies_moved", |plan| plan.copies_moved -= 1),
        ("primaries_changed", |plan| plan.primaries_changed += 1),
        ("degraded", |plan| plan.degraded = true),
        ("lower_bound", |plan| plan.lower_bound += 1),
        ("gap", |plan| plan.gap = 1),
        ("gap", |plan| {
            plan.optimal = false;
            plan.gap = 2;
        }),
    ];
    for (name, alter) in alterations {
        let mut altered = plan.clone();
        alter(&mut altered);
        let found = altered
            .verify(&topology, &spec, Some(&previous))
            .unwrap_err();
        assert!(
            matches!(found, VerifyError::Figure { figure, .. } if figure == name),
            "{found}"
        );
    }
}

#[test]
fn certificates_that_prove_too_little_are_found() {
    let (topology, spec, previous, plan) = hard();
    let Certificate::Prices(prices) = &plan.certificate else {
        panic!("prices")
    };
    let mut worse = prices.clone();
    worse[0] += 7;
    for certificate in [Certificate::Counts, Certificate::Prices(worse)] {
        let mut altered = plan.clone();
        altered.certificate = certificate;
        let found = altered
            .verify(&topology, &spec, Some(&previous))
            .unwrap_err();
        assert!(matches!(found, VerifyError::Unproved { .. }), "{found}");
    }
    let mut altered = plan.clone();
    altered.certificate = Certificate::Prices(prices[1..].to_vec());
    let found = altered
        .verify(&topology, &spec, Some(&previous))
        .unwrap_err();
    assert_eq!(
        found,
        VerifyError::Prices {
            got: 9,
            expected: 10
        }
    );
}

#[test]
fn altered_rows_are_found() {
    let (topology, spec, previous, plan) = hard();
    let verify = |plan: &Plan| plan.verify(&topology, &spec, Some(&previous)).unwrap_err();
    let short = with_cells(&plan, |cells| cells[2] = u32::MAX);
    assert!(matches!(
        verify(&short),
        VerifyError::Copies {
            got: 2,
            expected: 3,
            ..
        }
    ));

    // The second copy goes to another node of the first one's domain.
    let row = plan.table.row(PartitionId(0)).unwrap().indexes().to_vec();
    let domain = |index: u32| {
        let id = &plan.table.nodes()[index as usize];
        topology.node(id.as_str()).unwrap().domain.clone()
    };
    let twin = (0..10)
        .find(|at| domain(*at) == domain(row[0]) && !row.contains(at))
        .unwrap();
    let narrow = with_cells(&plan, |cells| cells[1] = twin);
    assert!(matches!(
        verify(&narrow),
        VerifyError::Spread {
            got: 2,
            expected: 3,
            ..
        }
    ));

    let turned = with_cells(&plan, |cells| {
        for row in cells.chunks_mut(3).filter(|row| row.contains(&0)) {
            let at = row.iter().position(|cell| *cell == 0).unwrap();
            row.swap(0, at);
        }
    });
    let turned = Plan {
        primaries_changed: moved(&turned, &previous).1,
        ..turned
    };
    assert!(matches!(verify(&turned), VerifyError::PrimaryQuota { .. }));
}

/// What moves and changes, counted by the table.
fn moved(plan: &Plan, previous: &Table) -> (u64, u64) {
    let diff = previous.diff(&plan.table).unwrap();
    (diff.copies_added, diff.primaries_changed)
}

#[test]
fn a_node_beyond_its_quota_is_found() {
    let (topology, spec, previous, plan) = hard();
    // A row gives its copy to another node of the same domain: valid, but off quota for one of them.
    let mut crowded = plan.clone();
    for number in 0..3 {
        let row = crowded
            .table
            .row(PartitionId(number))
            .unwrap()
            .indexes()
            .to_vec();
        let domain = |index: u32| {
            let id = &crowded.table.nodes()[index as usize];
            topology.node(id.as_str()).unwrap().domain.clone()
        };
        let other = (0..10)
            .find(|at| domain(*at) == domain(row[0]) && !row.contains(at))
            .unwrap();
        crowded = with_cells(&crowded, |cells| cells[number as usize * 3] = other);
    }
    let (copies_moved, primaries_changed) = moved(&crowded, &previous);
    let crowded = Plan {
        copies_moved,
        primaries_changed,
        ..crowded
    };
    let found = crowded
        .verify(&topology, &spec, Some(&previous))
        .unwrap_err();
    assert!(matches!(found, VerifyError::Quota { .. }), "{found}");
}

#[test]
fn copies_where_none_may_be_are_found() {
    let (topology, spec, previous, plan) = hard();
    let with_state = |state| {
        let mut list = topology.nodes().to_vec();
        list[3].state = state;
        Topology::new(list).unwrap()
    };
    for state in [NodeState::Draining, NodeState::Down, NodeState::Cordoned] {
        let found = plan
            .verify(&with_state(state), &spec, Some(&previous))
            .unwrap_err();
        let cordoned = state == NodeState::Cordoned;
        assert!(
            matches!(found, VerifyError::State { .. }) || cordoned,
            "{found}"
        );
    }
    let fewer = Topology::new(topology.nodes()[1..].iter().cloned()).unwrap();
    let found = plan.verify(&fewer, &spec, Some(&previous)).unwrap_err();
    assert!(matches!(found, VerifyError::UnknownNode { .. }), "{found}");
}

#[test]
fn tables_about_other_partitions_are_found() {
    let (topology, spec, previous, plan) = hard();
    let other = Spec::new(101, 3, 3).unwrap();
    let found = plan.verify(&topology, &other, Some(&previous)).unwrap_err();
    assert_eq!(
        found,
        VerifyError::Partitions {
            got: 100,
            expected: 101
        }
    );
    assert!(
        plan.verify(&topology, &spec, None).is_err(),
        "made for a previous table"
    );
}
