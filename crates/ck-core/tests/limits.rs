//! Caps on nodes, and strict specs: what a plan promises beyond the quota.

use ck_core::topology::Domain;
use ck_core::{
    Balanced, Fraction, Node, NodeId, NodeState, Placement, PlacementError, Plan, Spec, Table,
    Topology, TopologyError, VerifyError,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn node(number: u8) -> Node {
    Node::new(NodeId::new(&format!("n{number}")).unwrap())
}

fn topology(nodes: impl IntoIterator<Item = Node>) -> Topology {
    Topology::new(nodes).unwrap()
}

fn copies(plan: &Plan, topology: &Topology, spec: &Spec) -> Vec<u32> {
    let stats = plan.table.stats(topology, spec);
    stats.nodes.iter().map(|node| node.copies).collect()
}

#[test]
fn a_capped_node_holds_its_cap_and_the_others_share_the_rest() {
    let spec = Spec::new(100, 2, 1).unwrap();
    let capped = topology([node(0).with_max_copies(10), node(1), node(2), node(3)]);
    let plan = Balanced::new().place(&capped, &spec, None).unwrap();
    plan.verify(&capped, &spec, None).unwrap();
    assert!(plan.optimal && !plan.degraded);
    let held = copies(&plan, &capped, &spec);
    assert_eq!(held[0], 10);
    assert!(
        held[1..].iter().all(|held| (63..=64).contains(held)),
        "{held:?}"
    );
}

#[test]
fn caps_that_leave_too_little_room_make_shorter_rows_then_narrower_ones() {
    let spec = Spec::new(10, 3, 3).unwrap();
    let domain = |name: &str| Domain::new(name).unwrap();
    let short = topology((0..4).map(|n| node(n).with_max_copies(6)));
    let plan = Balanced::new().place(&short, &spec, None).unwrap();
    plan.verify(&short, &spec, None).unwrap();
    assert!(plan.degraded);
    assert!(plan.table.rows().all(|row| row.nodes().len() == 2));

    // Three domains, but the third has room for four rows only.
    let narrow = topology([
        node(0).with_domain(domain("a")),
        node(1).with_domain(domain("a")),
        node(2).with_domain(domain("b")),
        node(3).with_domain(domain("c")).with_max_copies(4),
    ]);
    let plan = Balanced::new().place(&narrow, &spec, None).unwrap();
    plan.verify(&narrow, &spec, None).unwrap();
    assert!(plan.degraded);
    assert!(plan.table.rows().all(|row| row.nodes().len() == 3));

    let none = topology([node(0).with_max_copies(4), node(1).with_max_copies(5)]);
    let refused = Balanced::new().place(&none, &spec, None).unwrap_err();
    assert_eq!(
        refused,
        PlacementError::Room {
            room: 9,
            partitions: 10
        }
    );
    assert_eq!(
        Topology::new([node(0).with_max_copies(0)]).unwrap_err(),
        TopologyError::MaxCopies { id: node(0).id }
    );
}

#[test]
fn a_plan_beyond_a_cap_is_refused() {
    let spec = Spec::new(100, 2, 1).unwrap();
    let open = topology((0..4).map(node));
    let plan = Balanced::new().place(&open, &spec, None).unwrap();
    let capped = topology((0..4).map(|n| {
        if n == 2 {
            node(n).with_max_copies(49)
        } else {
            node(n)
        }
    }));
    let found = plan.verify(&capped, &spec, None).unwrap_err();
    assert!(
        matches!(
            found,
            VerifyError::Quota {
                got: 50,
                high: 49,
                ..
            }
        ),
        "{found}"
    );
}

#[test]
fn defaults_are_not_written_down() {
    let written = serde_json::to_string(&Spec::new(8, 2, 1).unwrap()).unwrap();
    assert_eq!(
        written,
        r#"{"partitions":8,"replication_factor":2,"spread":1}"#
    );
    let written = serde_json::to_string(&node(1)).unwrap();
    assert_eq!(written, r#"{"id":"n1","weight":1,"state":"active"}"#);
    let spec: Spec =
        serde_json::from_str(r#"{"partitions":8,"replication_factor":2,"strict":true}"#).unwrap();
    assert!(spec.strict());
    let spec = serde_json::to_string(&spec).unwrap();
    assert!(spec.contains(r#""strict":true"#));
}

/// The least that the largest ratio of copies to weight can be, by trying every rounding.
fn least_ratio(plan: &Plan, topology: &Topology, spec: &Spec) -> Fraction {
    let stats = plan.table.stats(topology, spec);
    let total: u128 = stats.nodes.iter().map(|node| u128::from(node.copies)).sum();
    let nodes = &stats.nodes;
    let mut best = None;
    for mask in 0_u32..1 << nodes.len() {
        let up = |at: usize| mask >> at & 1 == 1;
        let counts: Vec<u128> = (0..nodes.len())
            .map(|at| {
                if up(at) {
                    nodes[at].quota.ceil()
                } else {
                    nodes[at].quota.floor()
                }
            })
            .collect();
        if counts.iter().sum::<u128>() != total || counts.iter().any(|c| *c > 60) {
            continue;
        }
        let ratio =
            |(at, count): (usize, &u128)| Fraction::new(*count, u128::from(nodes[at].weight));
        let worst = counts.iter().enumerate().map(ratio).max().unwrap();
        best = Some(best.map_or(worst, |best: Fraction| best.min(worst)));
    }
    best.unwrap()
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let shape = (
        1_u32..9,
        proptest::option::weighted(0.7, 0_u8..4),
        proptest::option::weighted(0.3, 1_u32..90),
    );
    btree_map(0_u8..12, shape, 1..9).prop_map(|shapes| {
        let build = |(number, (weight, domain, most)): (u8, (u32, Option<u8>, Option<u32>))| {
            let mut node = node(number).with_weight(weight);
            node.domain = domain.map(|d| Domain::new(&format!("d{d}")).unwrap());
            node.max_copies = most;
            node
        };
        shapes.into_iter().map(build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn strict_plans_have_the_least_largest_ratio(
        steps in vec(nodes(), 2..5),
        copies in 1_u8..4,
    ) {
        let spec = Spec::new(60, copies, 1).unwrap().with_strict(true);
        let mut previous: Option<Table> = None;
        for mut nodes in steps {
            nodes.iter_mut().for_each(|node| node.max_copies = None);
            let topology = topology(nodes);
            let plan = Balanced::new().place(&topology, &spec, previous.as_ref()).unwrap();
            plan.verify(&topology, &spec, previous.as_ref()).unwrap();
            prop_assert!(plan.optimal);
            // Names that are no longer in the topology hold nothing, and have no weight.
            let table = Balanced::new().place(&topology, &spec, Some(&plan.table)).unwrap();
            prop_assert_eq!((table.copies_moved, table.primaries_changed), (0, 0));
            let stats = plan.table.stats(&topology, &spec);
            let ratio = |n: &Node| {
                let held = stats.nodes.iter().find(|s| s.id == n.id).unwrap().copies;
                Fraction::new(u128::from(held), u128::from(n.weight))
            };
            let worst = topology.nodes().iter().map(ratio).max().unwrap();
            prop_assert_eq!(worst, least_ratio(&plan, &topology, &spec));
            previous = Some(plan.table);
        }
    }

    #[test]
    fn caps_are_kept_through_changes(
        steps in vec(nodes(), 1..6),
        (copies, spread) in (1_u8..5).prop_flat_map(|c| (Just(c), 1..=c)),
        strict in any::<bool>(),
    ) {
        let spec = Spec::new(60, copies, spread).unwrap().with_strict(strict);
        let mut previous: Option<Table> = None;
        for nodes in steps {
            let topology = topology(nodes);
            let plan = match Balanced::new().place(&topology, &spec, previous.as_ref()) {
                Err(PlacementError::Room { room, .. }) => {
                    prop_assert!(room < 60);
                    continue;
                }
                plan => plan.unwrap(),
            };
            plan.verify(&topology, &spec, previous.as_ref()).unwrap();
            prop_assert!(plan.optimal, "{plan:?}");
            for stats in plan.table.stats(&topology, &spec).nodes {
                let most = topology.node(stats.id.as_str()).and_then(|node| node.max_copies);
                prop_assert!(stats.copies <= most.unwrap_or(u32::MAX));
                prop_assert!(stats.state == Some(NodeState::Active));
            }
            previous = Some(plan.table);
        }
    }
}
