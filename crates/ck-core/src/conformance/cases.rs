//! Situations a strategy has to cope with, each a chain of steps.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::topology::Domain;
use crate::{Node, NodeId, NodeState, Spec};

/// A chain: each step starts from the table the one before it gave.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) steps: Vec<(Vec<Node>, Spec)>,
}

pub(super) fn id(name: &str) -> NodeId {
    NodeId::new(name).expect("names of the suite are printable")
}

pub(super) fn spec(partitions: u32, replication_factor: u8, spread: u8) -> Spec {
    Spec::new(partitions, replication_factor, spread).expect("specs of the suite are in range")
}

fn node(number: u32, domains: u32) -> Node {
    let node = Node::new(id(&format!("n{number}")));
    if domains == 0 {
        return node;
    }
    let path = format!("d{}/r{number}", number % domains);
    node.with_domain(Domain::new(&path).expect("domains of the suite are paths"))
}

fn nodes(count: u32, domains: u32) -> Vec<Node> {
    (0..count).map(|number| node(number, domains)).collect()
}

fn weighted(count: u32, domains: u32, weight: impl Fn(u32) -> u32) -> Vec<Node> {
    (0..count)
        .map(|number| node(number, domains).with_weight(weight(number)))
        .collect()
}

fn with_state(mut nodes: Vec<Node>, which: impl Fn(usize) -> bool, state: NodeState) -> Vec<Node> {
    for (_, node) in nodes.iter_mut().enumerate().filter(|(at, _)| which(*at)) {
        node.state = state;
    }
    nodes
}

fn case(name: impl Into<String>, steps: impl Into<Vec<(Vec<Node>, Spec)>>) -> Case {
    Case {
        name: name.into(),
        steps: steps.into(),
    }
}

/// Every case of the suite.
pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(sizes());
    cases.extend(changes());
    cases.extend(states());
    cases.extend(degraded());
    cases
}

fn sizes() -> impl Iterator<Item = Case> {
    let shapes = [
        (1, 1, 0, 1, 1),
        (1, 5, 0, 3, 2),
        (7, 3, 0, 3, 3),
        (64, 4, 2, 3, 2),
    ];
    let more = [
        (97, 9, 3, 3, 3),
        (257, 12, 5, 5, 4),
        (33, 16, 4, 16, 4),
        (128, 6, 1, 2, 1),
    ];
    shapes
        .into_iter()
        .chain(more)
        .map(|(partitions, count, domains, copies, spread)| {
            let name = format!("{partitions} × {count}, {domains} domains, {copies} copies");
            case(
                name,
                [(nodes(count, domains), spec(partitions, copies, spread))],
            )
        })
}

fn changes() -> [Case; 8] {
    let (base, asked) = (nodes(8, 4), spec(96, 3, 3));
    let one = |node_list: Vec<Node>, spec| [(base.clone(), asked), (node_list, spec)];
    let without = |gone: usize| {
        let mut left = base.clone();
        left.remove(gone);
        left
    };
    let steep = |number: u32| {
        if number == 0 {
            u32::MAX
        } else {
            1 + number % 3
        }
    };
    [
        case("a node joins", one(nodes(9, 4), asked)),
        case("a node leaves", one(without(3), asked)),
        case("a node is replaced", {
            let mut replaced = without(0);
            replaced.push(node(20, 4));
            one(replaced, asked)
        }),
        case(
            "weights change",
            one(weighted(8, 4, |number| 1 + number), asked),
        ),
        case(
            "one weight dwarfs the others",
            one(weighted(8, 4, steep), asked),
        ),
        case("nodes change their domains", one(nodes(8, 3), asked)),
        case("one copy more, then two fewer", {
            let more = (base.clone(), spec(96, 4, 3));
            [(base.clone(), asked), more, (base.clone(), spec(96, 2, 2))]
        }),
        case("a chain", {
            let steps: Vec<_> = [3, 5, 6, 6, 9, 7, 4]
                .map(|count| (nodes(count, 3), spec(40, 3, 2)))
                .into();
            steps
        }),
    ]
}

fn states() -> [Case; 6] {
    let (base, asked) = (nodes(7, 3), spec(50, 3, 2));
    let then = |nodes: Vec<Node>| [(base.clone(), asked), (nodes, asked)];
    let put = |which: fn(usize) -> bool, state| with_state(base.clone(), which, state);
    [
        case(
            "one node drains",
            then(put(|at| at == 2, NodeState::Draining)),
        ),
        case("one node is down", then(put(|at| at == 2, NodeState::Down))),
        case(
            "one node is cordoned",
            then(put(|at| at == 2, NodeState::Cordoned)),
        ),
        case("a cordoned node while another joins", {
            let mut nodes = put(|at| at == 2, NodeState::Cordoned);
            nodes.push(node(30, 3));
            then(nodes)
        }),
        case(
            "most nodes are cordoned",
            then(put(|at| at > 1, NodeState::Cordoned)),
        ),
        case(
            "a domain drains",
            then(put(|at| at % 3 == 1, NodeState::Draining)),
        ),
    ]
}

fn degraded() -> [Case; 6] {
    let (base, asked) = (nodes(5, 3), spec(30, 3, 3));
    let then = |nodes: Vec<Node>| [(base.clone(), asked), (nodes, asked)];
    let only = |keep: usize| base[..keep].to_vec();
    let cordoned = |which: fn(usize) -> bool| with_state(base.clone(), which, NodeState::Cordoned);
    [
        case("two nodes for three copies", then(only(2))),
        case("one node for three copies", then(only(1))),
        case("one domain for a spread of three", then(nodes(5, 1))),
        case(
            "one active node, the others cordoned",
            then(cordoned(|at| at > 0)),
        ),
        case("every node is cordoned", then(cordoned(|_| true))),
        case("nodes come back", {
            [
                (base.clone(), asked),
                (only(1), asked),
                (base.clone(), asked),
            ]
        }),
    ]
}
