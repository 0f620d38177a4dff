use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Departure, Explainer, Reason, WhyNot};
use crate::{
    Balanced, Domain, Node, NodeId, NodeState, PartitionId, Placement, Spec, Table, Topology,
};

fn id(number: u32) -> NodeId {
    NodeId::new(&format!("n{number}")).unwrap()
}

fn nodes(count: u32) -> Vec<Node> {
    let node = |n| Node::new(id(n)).with_domain(Domain::new(&format!("d{}", n % 3)).unwrap());
    (0..count).map(node).collect()
}

fn place(nodes: Vec<Node>, previous: Option<&Table>) -> (Topology, Spec, Table) {
    let (topology, spec) = (Topology::new(nodes).unwrap(), Spec::new(60, 2, 2).unwrap());
    let plan = Balanced::new().place(&topology, &spec, previous).unwrap();
    (topology, spec, plan.table)
}

#[test]
fn a_newcomer_is_below_its_quota_and_the_others_above_theirs() {
    let (.., before) = place(nodes(6), None);
    let (topology, spec, after) = place(nodes(7), Some(&before));
    let explainer = Explainer::new(&topology, &spec, Some(&before), &after);
    let mut arrived = 0;
    for row in after.rows() {
        let explained = explainer.explain(row.partition()).unwrap();
        for (node, reason) in &explained.copies {
            if *node == id(6) {
                arrived += 1;
                let due = matches!(
                    reason,
                    Reason::BelowQuota { before: 0, .. } | Reason::Spread { .. }
                );
                assert!(due, "{explained}");
            } else {
                assert_eq!(*reason, Reason::Kept, "{explained}");
            }
        }
        for (_, departure) in &explained.departed {
            let expected = matches!(departure, Departure::AboveQuota { .. });
            assert!(expected, "{explained}");
        }
    }
    assert_eq!(arrived, 17);
}

#[test]
fn whoever_left_or_drains_is_named() {
    let (.., before) = place(nodes(6), None);
    let mut rest = nodes(6);
    rest.remove(5);
    rest[4].state = NodeState::Draining;
    let (topology, spec, after) = place(rest, Some(&before));
    let explainer = Explainer::new(&topology, &spec, Some(&before), &after);
    for row in before.rows() {
        let explained = explainer.explain(row.partition()).unwrap();
        let departed = |node| explained.departed.iter().find(|(id, _)| *id == node);
        if row.contains("n5") {
            assert_eq!(departed(id(5)).unwrap().1, Departure::Gone);
            assert_eq!(
                explainer.why_not(row.partition(), &id(5)),
                Some(WhyNot::Unknown)
            );
        }
        if row.contains("n4") {
            let state = Departure::State(NodeState::Draining);
            assert_eq!(departed(id(4)).unwrap().1, state);
        }
        assert_eq!(explained.primary_before.is_some(), {
            let after = after.row(row.partition()).unwrap();
            after.primary() != row.primary()
        });
    }
}

#[test]
fn why_not_names_what_is_decisive() {
    // 2 copies of 3 partitions on 4 nodes: a and b hold two each, c and d one each.
    let names = ["a", "b", "c", "d"].map(|name| NodeId::new(name).unwrap());
    let [a, b, c, d] = names.clone();
    let east = |id: &NodeId| Node::new(id.clone()).with_domain(Domain::new("east").unwrap());
    let west = |id: &NodeId| Node::new(id.clone()).with_domain(Domain::new("west").unwrap());
    let topology = Topology::new([
        east(&a),
        west(&b),
        east(&c),
        west(&d).with_state(NodeState::Cordoned),
    ]);
    let (topology, spec) = (topology.unwrap(), Spec::new(3, 2, 2).unwrap());
    let rows = [[&a, &b], [&a, &b], [&c, &d]];
    let table = Table::from_named_rows(2, rows.map(|row| row.map(Clone::clone))).unwrap();
    let explainer = Explainer::new(&topology, &spec, Some(&table), &table);
    let why = |partition, id: &NodeId| explainer.why_not(PartitionId(partition), id).unwrap();
    assert_eq!(why(0, &a), WhyNot::HasIt { primary: true });
    assert_eq!(why(0, &d), WhyNot::State(NodeState::Cordoned));
    assert!(matches!(why(2, &a), WhyNot::Full(_)), "{}", why(2, &a));
    assert!(
        matches!(why(0, &c), WhyNot::MoveCost { kept: 2, .. }),
        "{}",
        why(0, &c)
    );
    assert_eq!(explainer.why_not(PartitionId(3), &a), None);
    assert_eq!(why(0, &id(9)).to_string(), "there is no such node");
}

#[test]
fn a_domain_that_would_be_left_out_is_decisive() {
    let node = |n: u32| {
        let domain = Domain::new(if n < 3 { "east" } else { "west" }).unwrap();
        Node::new(id(n)).with_domain(domain)
    };
    let topology = Topology::new((0..6).map(node)).unwrap();
    let spec = Spec::new(4, 2, 2).unwrap();
    let rows = [[0, 3], [1, 3], [2, 4], [2, 5]].map(|row| row.map(id));
    let table = Table::from_named_rows(2, rows).unwrap();
    let explainer = Explainer::new(&topology, &spec, Some(&table), &table);
    let why = |partition, node| {
        let why = explainer.why_not(PartitionId(partition), &id(node));
        why.unwrap()
    };
    // Only node 3 has a copy to give, and it is the row's only one in the west.
    assert_eq!(why(0, 1), WhyNot::Spread { spread: 2 });
    assert!(matches!(why(0, 4), WhyNot::MoveCost { .. }));
    assert!(matches!(why(1, 2), WhyNot::Full(_)));
}
