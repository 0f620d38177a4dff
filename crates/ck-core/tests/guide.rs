//! Our placements, as reviewed.

use ck_core::{Balanced, Node, NodeId, Placement, Spec, Table, Topology};

fn nodes(names: &[&str]) -> Topology {
    let node = |name: &&str| Node::new(NodeId::new(name).expect("a valid node id"));
    Topology::new(names.iter().map(node)).expect("distinct nodes")
}

fn place(names: &[&str], previous: Option<&Table>) -> Table {
    let spec = Spec::new(8, 2, 1).expect("a valid spec");
    let plan = Balanced::new()
        .place(&nodes(names), &spec, previous)
        .expect("a plan");
    assert!(plan.optimal, "moves {} more than needed", plan.gap);
    plan.table
}

#[test]
fn placement_of_three_nodes_is_as_reviewed() {
    let table = place(&["node-1", "node-2", "node-3"], None);
    insta::assert_snapshot!(table.text(), @r"
    partitions: 8
    copies: 16
    nodes: 3
      node-1: 6 copies, 3 primaries
      node-2: 5 copies, 2 primaries
      node-3: 5 copies, 3 primaries
    rows:
      0: node-3 node-1
      1: node-2 node-1
      2: node-3 node-1
      3: node-2 node-3
      4: node-3 node-2
      5: node-1 node-2
      6: node-1 node-2
      7: node-1 node-3
    ");
}

#[test]
fn a_fourth_node_takes_its_share_and_nothing_else_moves() {
    let three = place(&["node-1", "node-2", "node-3"], None);
    let four = place(&["node-1", "node-2", "node-3", "node-4"], Some(&three));
    let moves = three.diff(&four).expect("the same partitions");
    assert_eq!(moves.copies_added, 4);
    insta::assert_snapshot!(four.text(), @r"
    partitions: 8
    copies: 16
    nodes: 4
      node-1: 4 copies, 2 primaries
      node-2: 4 copies, 2 primaries
      node-3: 4 copies, 2 primaries
      node-4: 4 copies, 2 primaries
    rows:
      0: node-4 node-1
      1: node-2 node-4
      2: node-3 node-1
      3: node-2 node-3
      4: node-3 node-4
      5: node-4 node-2
      6: node-1 node-2
      7: node-1 node-3
    ");
}
