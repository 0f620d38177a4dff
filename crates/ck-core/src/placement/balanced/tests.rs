extern crate std;

use std::format;
use std::vec::Vec;

use super::*;
use crate::spec::PARTITIONS_MAX;
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

#[test]
fn hostile_sizes_do_not_overflow() {
    let spec = Spec::new(PARTITIONS_MAX, 2, 2).unwrap();
    let weights = [u32::MAX, u32::MAX, u32::MAX - 1, 1];
    let nodes = |list: &[u32]| {
        let node = |(at, weight): (usize, &u32)| {
            Node::new(NodeId::new(&std::format!("n{at}")).unwrap()).with_weight(*weight)
        };
        Topology::new(list.iter().enumerate().map(node)).unwrap()
    };
    let quota = |topology: &Topology| {
        let members = super::members(topology, &spec, None).unwrap();
        let rows = u64::from(PARTITIONS_MAX);
        let shares = members.quotas(rows * 2, 0);
        let sum: u128 = shares.iter().map(crate::Fraction::floor).sum();
        assert!(
            sum <= u128::from(rows) * 2 && sum + 4 > u128::from(rows) * 2,
            "{shares:?}"
        );
    };
    quota(&nodes(&weights));
    quota(&nodes(&[u32::MAX; 65_536]));
    quota(&nodes(&[1, 1, u32::MAX]));
}
