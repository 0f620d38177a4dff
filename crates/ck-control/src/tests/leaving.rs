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

#[test]
fn a_stop_waits_for_a_copy_that_is_being_brought_up_to_date() {
    let mut cluster = Cluster::with_rows(3, &["1 2 3"]);
    cluster.kill(2);
    cluster.kill(3);
    cluster.run(3_000);
    assert_eq!(cluster.show(0), "1@1");
    cluster.hangs.insert(2);
    cluster.restart(2);
    cluster.run(500);
    leave(&mut cluster, 1);
    cluster.run(500);
    assert!(!is_handed_over(&mut cluster, 1), "node-2 copies yet");
    cluster.hangs.clear();
    // The copy that hangs is given up and made again.
    cluster.until(0, "2@2", 60_000);
    cluster.run(500);
    assert!(is_handed_over(&mut cluster, 1));
}

/// All stop at once, so that no stop is committed, and start again, node-1 leading.
fn all_stop_and_start(cluster: &mut Cluster) {
    cluster.leading = None;
    for n in 1..=3 {
        let now = cluster.now;
        cluster.node(n).agent.handle(AgentInput::Stop, now);
    }
    cluster.run(10);
    assert_eq!(cluster.marks.len(), 3);
    for n in 1..=3 {
        cluster.kill(n);
        cluster.restart(n);
    }
    cluster.elect(1);
}

#[test]
fn a_stop_of_all_that_nobody_could_commit_is_known_by_the_marks() {
    let mut cluster = Cluster::with_rows(3, &ROWS);
    all_stop_and_start(&mut cluster);
    // Their acknowledgements are not durable, and nobody gives an order; no lease is waited for.
    let took = cluster.until(0, "1@2", 1_000);
    cluster.until(2, "2@2", 1_000);
    assert!(took < 1_000, "{took} ms");
    assert!(cluster.marks.is_empty(), "they have acted since");
    for partition in 0..4 {
        let partition = ck_core::PartitionId(partition);
        let control = cluster.world.state.partition(partition);
        assert_eq!(control.unwrap().in_sync.len(), 3);
    }
}

#[test]
fn a_session_acts_on_nothing_while_the_mark_of_the_stop_before_is_in_its_store() {
    let mut cluster = Cluster::with_rows(3, &ROWS);
    cluster.keeps.insert(2);
    all_stop_and_start(&mut cluster);
    cluster.run(10_000);
    assert_eq!(cluster.show(2), "-");
    let now = cluster.now;
    assert_eq!(cluster.node(2).agent.lease_ends(), crate::Time::ZERO);
    let session = cluster.world.session(2);
    assert_eq!(cluster.node(2).agent.session(), Some(session), "it renews");
    cluster.keeps.clear();
    cluster.until(2, "2@2", 1_000);
    assert!(cluster.now > now);
}
