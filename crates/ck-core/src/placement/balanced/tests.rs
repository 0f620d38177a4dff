extern crate std;

use std::format;
use std::vec::Vec;

use super::*;
use crate::{Node, NodeId};

fn nodes(count: usize) -> Vec<Node> {
    (0..count)
        .map(|n| Node::new(NodeId::new(&format!("n{n:03}")).unwrap()))
        .collect()
}

#[test]
fn ten_nodes_hold_their_quota_and_a_join_moves_the_lower_bound() {
    let spec = Spec::new(256, 3, 1).unwrap();
    let ten = Topology::new(nodes(10)).unwrap();
    let first = Balanced::new().place(&ten, &spec, None).unwrap();
    let stats = first.table.stats(&ten, &spec);
    assert_eq!((stats.copies_off_quota, stats.primaries_off_quota), (0, 0));
    assert!(stats.nodes.iter().all(|n| (76..=77).contains(&n.copies)));
    assert!(stats.nodes.iter().all(|n| (25..=26).contains(&n.primaries)));

    let eleven = Topology::new(nodes(11)).unwrap();
    let joined = Balanced::new()
        .place(&eleven, &spec, Some(&first.table))
        .unwrap();
    assert_eq!(
        (joined.copies_moved, joined.lower_bound, joined.gap),
        (69, 69, 0)
    );
    assert!(joined.optimal);
    let stats = joined.table.stats(&eleven, &spec);
    assert_eq!((stats.copies_off_quota, stats.primaries_off_quota), (0, 0));
    assert_eq!(joined.primaries_changed, 23);
}
