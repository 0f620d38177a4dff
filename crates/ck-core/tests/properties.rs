//! Properties of balanced plans on arbitrary topologies, previous tables and chains of changes.

use ck_core::topology::Domain;
use ck_core::{Balanced, Node, NodeId, NodeState, Placement, Plan, Spec, Table, Topology};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Shape {
    weight: u32,
    domain: Option<u8>,
    state: NodeState,
}

fn shape(states: bool) -> impl Strategy<Value = Shape> {
    let weight = prop_oneof![4 => 1_u32..=4, 1 => 1_u32..=40, 1 => Just(u32::MAX)];
    let state = if states {
        let state = prop_oneof![
            4 => Just(NodeState::Active),
            1 => Just(NodeState::Cordoned),
            1 => Just(NodeState::Draining),
            1 => Just(NodeState::Down),
        ];
        state.boxed()
    } else {
        Just(NodeState::Active).boxed()
    };
    (weight, proptest::option::weighted(0.8, 0_u8..5), state).prop_map(|(weight, domain, state)| {
        Shape {
            weight,
            domain,
            state,
        }
    })
}

fn topology(shapes: impl IntoIterator<Item = (u8, Shape)>) -> Topology {
    let node = |(number, shape): (u8, Shape)| {
        let node = Node::new(id(number))
            .with_weight(shape.weight)
            .with_state(shape.state);
        match shape.domain {
            Some(domain) => node.with_domain(Domain::new(&format!("d{domain}")).unwrap()),
            None => node,
        }
    };
    Topology::new(shapes.into_iter().map(node)).unwrap()
}

fn id(number: u8) -> NodeId {
    NodeId::new(&format!("n{number}")).unwrap()
}

fn nodes(states: bool) -> impl Strategy<Value = Topology> {
    btree_map(0_u8..20, shape(states), 1..14).prop_map(topology)
}

fn spec(partitions: u32) -> impl Strategy<Value = Spec> {
    (1_u8..=6).prop_flat_map(move |copies| {
        (1..=copies).prop_map(move |spread| Spec::new(partitions, copies, spread).unwrap())
    })
}

fn table(partitions: usize) -> impl Strategy<Value = Table> {
    let row = vec(0_u8..24, 0..6).prop_map(|numbers| {
        let mut row: Vec<NodeId> = Vec::new();
        for number in numbers {
            if !row.contains(&id(number)) {
                row.push(id(number));
            }
        }
        row
    });
    vec(row, partitions).prop_map(|rows| Table::from_named_rows(6, rows).unwrap())
}

/// Quota, spread, bound: everything a plan over active nodes promises.
fn check(plan: &Plan, topology: &Topology, spec: &Spec, previous: Option<&Table>) {
    plan.verify(topology, spec, previous).unwrap();
    let stats = plan.table.stats(topology, spec);
    assert_eq!(stats.copies_off_quota, 0, "copies: {stats:?}");
    assert_eq!(stats.primaries_off_quota, 0, "primaries: {stats:?}");
    assert!(plan.copies_moved >= plan.lower_bound);
    assert!(
        plan.optimal && plan.gap == 0,
        "{} moved, gap {}",
        plan.copies_moved,
        plan.gap
    );
    let short = stats.under_replicated > 0 || stats.spread_violations > 0;
    assert_eq!(plan.degraded, short);
    if !plan.degraded {
        assert_eq!(
            stats.copies,
            u64::from(spec.partitions()) * u64::from(spec.replication_factor())
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn first_placements_meet_quota_and_spread(
        topology in nodes(false),
        spec in (1_u32..200).prop_flat_map(spec),
    ) {
        let plan = Balanced::new().place(&topology, &spec, None).unwrap();
        check(&plan, &topology, &spec, None);
        prop_assert_eq!(plan.copies_moved, plan.lower_bound);
        prop_assert_eq!(plan.primaries_changed, 0);
    }

    #[test]
    fn arbitrary_tables_become_balanced_with_certified_moves(
        topology in nodes(false),
        (spec, previous) in (1_u32..80).prop_flat_map(|p| (spec(p), table(p as usize))),
    ) {
        let plan = Balanced::new().place(&topology, &spec, Some(&previous)).unwrap();
        check(&plan, &topology, &spec, Some(&previous));
    }

    #[test]
    fn chains_of_changes_stay_balanced(
        steps in vec(nodes(false), 1..12),
        spec in (1_u32..100).prop_flat_map(spec),
    ) {
        let mut previous: Option<Table> = None;
        for topology in steps {
            let plan = Balanced::new().place(&topology, &spec, previous.as_ref()).unwrap();
            check(&plan, &topology, &spec, previous.as_ref());
            let again = Balanced::new().place(&topology, &spec, Some(&plan.table)).unwrap();
            prop_assert_eq!((again.copies_moved, again.primaries_changed), (0, 0));
            previous = Some(plan.table);
        }
    }

    #[test]
    fn node_states_are_respected_and_nothing_panics(
        steps in vec(nodes(true), 1..8),
        spec in (1_u32..60).prop_flat_map(spec),
    ) {
        let mut previous: Option<Table> = None;
        for topology in steps {
            let Ok(plan) = Balanced::new().place(&topology, &spec, previous.as_ref()) else {
                continue;
            };
            for row in plan.table.rows() {
                let before = previous.as_ref().and_then(|table| table.row(row.partition()));
                for id in row.nodes() {
                    let state = topology.node(id.as_str()).unwrap().state;
                    let held = before.is_some_and(|row| row.contains(id.as_str()));
                    let fine = state == NodeState::Active || (state == NodeState::Cordoned && held);
                    prop_assert!(fine, "{row:?}: {id} is {state}");
                }
            }
            if let Err(error) = plan.verify(&topology, &spec, previous.as_ref()) {
                prop_assert!(false, "{error}: {plan:?}");
            }
            previous = Some(plan.table);
        }
    }

    #[test]
    fn a_stopped_search_gives_a_valid_plan_that_does_not_claim_too_much(
        topology in nodes(false),
        (spec, previous) in (1_u32..80).prop_flat_map(|p| (spec(p), table(p as usize))),
        budget in 0_u64..2_000,
    ) {
        let stopped = Balanced::new().with_work_budget(budget);
        let stopped = stopped.place(&topology, &spec, Some(&previous)).unwrap();
        stopped.verify(&topology, &spec, Some(&previous)).unwrap();
        let full = Balanced::new().place(&topology, &spec, Some(&previous)).unwrap();
        let stats = stopped.table.stats(&topology, &spec);
        if stopped.optimal {
            prop_assert_eq!(stats.copies_off_quota, 0);
            prop_assert_eq!(stopped.copies_moved, full.copies_moved);
        } else if stats.copies_off_quota == 0 {
            prop_assert!(stopped.copies_moved - stopped.gap <= full.copies_moved);
        }
    }
}
