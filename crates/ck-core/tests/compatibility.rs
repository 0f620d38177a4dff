//! A cluster of the Go library can be taken over without moving a key.

use ck_core::{Node, NodeId, Placement, Rendezvous, Spec, Table, Topology};

fn captured() -> Table {
    let rows = include_str!("fixtures/go-cluster-64.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .enumerate()
        .map(|(number, line)| {
            let mut words = line.split(' ');
            assert_eq!(words.next(), Some(format!("partition-{number}").as_str()));
            words
                .map(|word| NodeId::new(word).unwrap())
                .collect::<Vec<_>>()
        });
    Table::from_named_rows(3, rows).unwrap()
}

#[test]
fn md5_rendezvous_equals_every_row_of_the_captured_cluster() {
    let captured = captured();
    assert_eq!(captured.partitions(), 64);
    let nodes = captured.nodes().iter().cloned().map(Node::new);
    let topology = Topology::new(nodes).unwrap();
    let spec = Spec::new(64, 3, 1).unwrap();
    let plan = Rendezvous::md5()
        .place(&topology, &spec, Some(&captured))
        .unwrap();
    for (ours, theirs) in plan.table.rows().zip(captured.rows()) {
        assert!(
            ours.nodes().eq(theirs.nodes()),
            "{ours:?} is not {theirs:?}"
        );
    }
    assert_eq!((plan.copies_moved, plan.primaries_changed), (0, 0));
}
