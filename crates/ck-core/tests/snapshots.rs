//! A dozen topologies, placed and written down. A change of a strategy shows here, row by row.

use ck_core::topology::Domain;
use ck_core::{
    Balanced, Node, NodeId, NodeState, Placement, Plan, Rendezvous, Ring, Spec, Table, Topology,
};

fn node(name: &str) -> Node {
    Node::new(NodeId::new(name).unwrap())
}

fn within(name: &str, domain: &str) -> Node {
    node(name).with_domain(Domain::new(domain).unwrap())
}

fn topology<const N: usize>(nodes: [Node; N]) -> Topology {
    Topology::new(nodes).unwrap()
}

fn three() -> Topology {
    topology(["a", "b", "c"].map(node))
}

fn domains() -> Topology {
    topology([
        within("a1", "a"),
        within("a2", "a"),
        within("b1", "b"),
        within("b2", "b"),
        within("c1", "c"),
    ])
}

fn spec(partitions: u32, copies: u8, spread: u8) -> Spec {
    Spec::new(partitions, copies, spread).unwrap()
}

fn balanced(topology: &Topology, spec: Spec, previous: Option<&Table>) -> Plan {
    Balanced::new().place(topology, &spec, previous).unwrap()
}

/// The table, under the figures of the plan.
fn text(plan: &Plan) -> String {
    format!(
        "moved: {}, lower bound: {}, primaries changed: {}, optimal: {}, degraded: {}\n{}",
        plan.copies_moved,
        plan.lower_bound,
        plan.primaries_changed,
        plan.optimal,
        plan.degraded,
        plan.table.text()
    )
}

#[test]
fn one_node() {
    insta::assert_snapshot!(text(&balanced(
        &topology([node("only")]),
        spec(4, 1, 1),
        None
    )));
}

#[test]
fn three_nodes_three_copies() {
    insta::assert_snapshot!(text(&balanced(&three(), spec(16, 3, 1), None)));
}

#[test]
fn weights_one_two_three() {
    let nodes = topology([
        node("a"),
        node("b").with_weight(2),
        node("c").with_weight(3),
        node("d").with_weight(3),
    ]);
    insta::assert_snapshot!(text(&balanced(&nodes, spec(18, 2, 1), None)));
}

#[test]
fn one_copy_in_each_domain() {
    insta::assert_snapshot!(text(&balanced(&domains(), spec(15, 3, 3), None)));
}

#[test]
fn two_domains_for_three_copies() {
    insta::assert_snapshot!(text(&balanced(&domains(), spec(15, 3, 2), None)));
}

#[test]
fn a_node_joins() {
    let before = balanced(&three(), spec(16, 2, 1), None);
    let four = topology(["a", "b", "c", "d"].map(node));
    insta::assert_snapshot!(text(&balanced(&four, spec(16, 2, 1), Some(&before.table))));
}

#[test]
fn a_node_is_lost() {
    let four = topology(["a", "b", "c", "d"].map(node));
    let before = balanced(&four, spec(16, 2, 1), None);
    insta::assert_snapshot!(text(&balanced(
        &three(),
        spec(16, 2, 1),
        Some(&before.table)
    )));
}

#[test]
fn a_node_drains() {
    let before = balanced(&domains(), spec(15, 2, 2), None);
    let mut nodes = domains().nodes().to_vec();
    nodes[0].state = NodeState::Draining;
    let nodes = Topology::new(nodes).unwrap();
    insta::assert_snapshot!(text(&balanced(&nodes, spec(15, 2, 2), Some(&before.table))));
}

#[test]
fn a_cordoned_node_keeps_what_it_has_while_another_joins() {
    let before = balanced(&three(), spec(12, 2, 1), None);
    let nodes = topology([
        node("a").with_state(NodeState::Cordoned),
        node("b"),
        node("c"),
        node("d"),
    ]);
    insta::assert_snapshot!(text(&balanced(&nodes, spec(12, 2, 1), Some(&before.table))));
}

#[test]
fn two_nodes_for_three_copies_is_degraded() {
    let before = balanced(&three(), spec(8, 3, 1), None);
    let two = topology(["a", "c"].map(node));
    insta::assert_snapshot!(text(&balanced(&two, spec(8, 3, 1), Some(&before.table))));
}

#[test]
fn a_copy_more() {
    let before = balanced(&domains(), spec(10, 2, 2), None);
    insta::assert_snapshot!(text(&balanced(
        &domains(),
        spec(10, 3, 3),
        Some(&before.table)
    )));
}

#[test]
fn the_ring() {
    insta::assert_snapshot!(text(
        &Ring::new()
            .place(&domains(), &spec(15, 3, 3), None)
            .unwrap()
    ));
}

#[test]
fn weighted_rendezvous() {
    let plan = Rendezvous::weighted()
        .place(&domains(), &spec(15, 3, 3), None)
        .unwrap();
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn md5_rendezvous() {
    let plan = Rendezvous::md5()
        .place(&three(), &spec(16, 3, 1), None)
        .unwrap();
    insta::assert_snapshot!(text(&plan));
}
