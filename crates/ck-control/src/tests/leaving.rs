//! A node that is about to stop.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use crate::AgentInput;
use crate::tests::cluster::Cluster;

const ROWS: [&str; 4] = ["1 2 3", "1 3 2", "2 3 1", "1 2 3"];

fn leave(cluster: &mut Cluster, n: u64) {
    let now = cluster.now;
    cluster.node(n).agent.handle(AgentInput::Leave, now);
}

fn is_handed_over(cluster: &mut Cluster, n: u64) -> bool {
    let now = cluster.now;
    cluster.node(n).agent.is_handed_over(now)
}

#[test]
fn a_node_about_to_stop_hands_every_role_over_and_waits_for_no_lease() {
    let mut cluster = Cluster::with_rows(3, &ROWS);
    assert_eq!(cluster.show(0), "1@1");
    assert!(!is_handed_over(&mut cluster, 1));
    leave(&mut cluster, 1);
    cluster.run(5);
    let shown: Vec<_> = (0..4).map(|partition| cluster.show(partition)).collect();
    // By the roles they have, then by the order of the row.
    assert_eq!(shown, ["3@2", "3@2", "2@1", "2@2"].map(str::to_owned));
    assert!(is_handed_over(&mut cluster, 1));
    assert!(cluster.refusals.is_empty(), "{:?}", cluster.refusals);
}

#[test]
fn nothing_is_planned_for_a_node_about_to_stop() {
    let mut cluster = Cluster::with_rows(3, &ROWS);
    leave(&mut cluster, 3);
    cluster.run(20_000);
    assert!(cluster.plans.is_empty(), "{:?}", cluster.plans);
    assert_eq!(cluster.show(2), "2@1");
    assert!(is_handed_over(&mut cluster, 3));
}

#[test]
fn a_move_of_its_own_survives_the_change_of_leader_in_between() {
    let mut cluster = Cluster::with_rows(3, &ROWS);
    cluster.deny = true;
    leave(&mut cluster, 1);
    cluster.run(5);
    assert_eq!(cluster.show(0), "1@1");
    cluster.deny = false;
    cluster.elect(2);
    // The renewal after this one says it again, to whoever leads.
    cluster.until(0, "3@2", 1_000);
    cluster.run(50);
    assert!(is_handed_over(&mut cluster, 1));
}

#[test]
fn where_nobody_can_take_over_a_stop_does_not_wait() {
    let mut cluster = Cluster::with_rows(3, &ROWS);
    for n in 1..=3 {
        leave(&mut cluster, n);
    }
    cluster.run(450);
    for n in 1..=3 {
        assert!(is_handed_over(&mut cluster, n), "node-{n}");
    }
    let mut alone = Cluster::with_rows(3, &["1", "1"]);
    leave(&mut alone, 1);
    alone.run(1);
    assert_eq!(alone.show(1), "1@1", "it serves until it stops");
    assert!(is_handed_over(&mut alone, 1));
}
