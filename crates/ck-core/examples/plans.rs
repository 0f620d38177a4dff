//! Plans a change of a small cluster again and again, so that its instructions can be counted:
//! `cargo xtask instructions`. Arguments: the change, and how often it is planned.

use ck_core::{Balanced, Domain, Node, NodeId, Placement, Spec, Topology};

const NODES: u32 = 10;

fn node(number: u32) -> Node {
    let id = NodeId::new(&format!("node-{number:05}")).expect("a short name");
    let domain = Domain::new(&format!("d{}", number % 5)).expect("a short name");
    Node::new(id).with_domain(domain)
}

fn changed(change: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..NODES).map(node).collect();
    match change {
        "initial" => {}
        "join" => nodes.push(node(NODES)),
        "leave" => drop(nodes.swap_remove(3)),
        "weight" => nodes[3].weight *= 2,
        "replace" => nodes[0] = node(NODES),
        other => panic!("no change is called {other:?}"),
    }
    nodes
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, change, times] = &arguments[..] else {
        panic!("give a change and a number");
    };
    let times: u32 = times.parse().expect("the second argument is a number");
    let spec = Spec::new(256, 3, 2).expect("within range");
    let before = Topology::new((0..NODES).map(node)).expect("distinct nodes");
    let after = Topology::new(changed(change)).expect("distinct nodes");
    let first = Balanced::new()
        .place(&before, &spec, None)
        .expect("there are nodes")
        .table;
    let previous = (change != "initial").then_some(&first);
    for _ in 0..times {
        let plan = Balanced::new().place(&after, &spec, previous);
        std::hint::black_box(plan.expect("there are nodes"));
    }
}
