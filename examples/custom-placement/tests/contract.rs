//! The strategy against the contract that a cluster relies on, and against what it promises itself.

use ck_core::{Domain, Node, NodeId, Placement, Spec, Topology, conformance};
use custom_placement::AtHome;

#[test]
fn primaries_at_home_keep_the_contract() {
    // The suite's domains are called d0, d1, …: a whole one is home, one rack of one, and none.
    for home in ["d0", "d1/r1", "elsewhere"] {
        conformance::check(&AtHome::new(Domain::new(home).unwrap())).unwrap();
    }
}

#[test]
fn a_row_with_a_copy_at_home_is_written_there_and_evenly() {
    let weights = [1, 2, 4, 1, 1, 1];
    let nodes = weights.iter().zip(0..).map(|(weight, number)| {
        let domain = ["eu/a", "eu/b", "us/a"][number % 3];
        let id = NodeId::new(&format!("n{number}")).unwrap();
        let node = Node::new(id).with_domain(Domain::new(domain).unwrap());
        node.with_weight(*weight)
    });
    let topology = Topology::new(nodes).unwrap();
    let spec = Spec::new(240, 2, 2).unwrap();
    let at_home = AtHome::new(Domain::new("eu").unwrap());
    let plan = at_home.place(&topology, &spec, None).unwrap();
    let is_home = |id: &NodeId| {
        let domain = topology.node(id.as_str()).unwrap().domain.as_ref();
        domain.unwrap().widest() == "eu"
    };
    for row in plan.table.rows() {
        let reaches = row.nodes().any(is_home);
        assert_eq!(is_home(row.primary().unwrap()), reaches, "{row:?}");
    }
    // No role could be passed on within its row to a node that has less for its weight.
    let primaries = |id: &NodeId| {
        let of = plan.table.rows().filter(|row| row.primary() == Some(id));
        of.count() as u64
    };
    let weight = |id: &NodeId| u64::from(topology.node(id.as_str()).unwrap().weight);
    for row in plan.table.rows() {
        let now = row.primary().unwrap();
        for other in row.replicas().filter(|other| is_home(other)) {
            let better = (primaries(other) + 1) * weight(now) < primaries(now) * weight(other);
            assert!(!better, "{now} has more than {other} for its weight");
        }
    }
}
