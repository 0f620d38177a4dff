//! What would happen if: asked in a test, the answers reviewed like code.

use std::fmt::Write as _;

use ck_core::{Domain, Node, NodeId, NodeState, Placement, Plan, Spec, Table, Topology};
use custom_placement::AtHome;

/// Two domains of three nodes: home in `eu`, copies in both.
fn nodes() -> Vec<Node> {
    let node = |domain: &str, number: u32| {
        let id = NodeId::new(&format!("{domain}-{number}")).unwrap();
        Node::new(id).with_domain(Domain::new(domain).unwrap())
    };
    let of = |domain: &'static str| (1..=3).map(move |number| node(domain, number));
    of("eu").chain(of("us")).collect()
}

fn place(nodes: Vec<Node>, previous: Option<&Table>) -> Plan {
    let topology = Topology::new(nodes).unwrap();
    let spec = Spec::new(12, 3, 2).unwrap();
    let at_home = AtHome::new(Domain::new("eu").unwrap());
    at_home.place(&topology, &spec, previous).unwrap()
}

/// What a reviewer wants to see: what it costs, and who writes afterwards.
fn told(plan: &Plan) -> String {
    let mut text = format!(
        "{} copies move, {} at least; {} primaries change\n",
        plan.copies_moved, plan.lower_bound, plan.primaries_changed
    );
    for node in plan.table.nodes() {
        let rows = plan.table.rows();
        let primaries = rows.filter(|row| row.primary() == Some(node)).count();
        let copies = plan
            .table
            .rows()
            .filter(|row| row.contains(node.as_str()))
            .count();
        writeln!(text, "{node}: {copies} copies, {primaries} primaries").unwrap();
    }
    text
}

#[test]
fn at_first_everything_is_written_at_home() {
    insta::assert_snapshot!(told(&place(nodes(), None)), @r"
    36 copies move, 36 at least; 0 primaries change
    eu-1: 6 copies, 4 primaries
    eu-2: 6 copies, 4 primaries
    eu-3: 6 copies, 4 primaries
    us-1: 6 copies, 0 primaries
    us-2: 6 copies, 0 primaries
    us-3: 6 copies, 0 primaries
    ");
}

#[test]
fn what_if_a_node_at_home_is_emptied() {
    let before = place(nodes(), None).table;
    let mut nodes = nodes();
    nodes[0] = nodes[0].clone().with_state(NodeState::Draining);
    insta::assert_snapshot!(told(&place(nodes, Some(&before))), @r"
    6 copies move, 6 at least; 4 primaries change
    eu-2: 8 copies, 6 primaries
    eu-3: 7 copies, 6 primaries
    us-1: 7 copies, 0 primaries
    us-2: 7 copies, 0 primaries
    us-3: 7 copies, 0 primaries
    ");
}

#[test]
fn what_if_a_fourth_node_comes_home() {
    let before = place(nodes(), None).table;
    let mut nodes = nodes();
    let home = Domain::new("eu").unwrap();
    nodes.push(Node::new(NodeId::new("eu-4").unwrap()).with_domain(home));
    insta::assert_snapshot!(told(&place(nodes, Some(&before))), @r"
    5 copies move, 5 at least; 3 primaries change
    eu-1: 5 copies, 3 primaries
    eu-2: 5 copies, 3 primaries
    eu-3: 5 copies, 3 primaries
    eu-4: 5 copies, 3 primaries
    us-1: 6 copies, 0 primaries
    us-2: 5 copies, 0 primaries
    us-3: 5 copies, 0 primaries
    ");
}

#[test]
fn what_if_home_is_lost() {
    let before = place(nodes(), None).table;
    let lost = nodes().into_iter().map(|node| {
        let is_home = node.id.as_str().starts_with("eu");
        let state = if is_home {
            NodeState::Down
        } else {
            NodeState::Active
        };
        node.with_state(state)
    });
    let plan = place(lost.collect(), Some(&before));
    assert!(plan.degraded, "one domain is left of two");
    insta::assert_snapshot!(told(&plan), @r"
    18 copies move, 18 at least; 12 primaries change
    us-1: 12 copies, 4 primaries
    us-2: 12 copies, 4 primaries
    us-3: 12 copies, 4 primaries
    ");
}
