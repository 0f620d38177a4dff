//! Plans amid stops: what a leader that carries one out leaves to whom.

use super::cluster::Cluster;
use crate::AgentInput;

fn begin(cluster: &mut Cluster, rows: &[&str]) {
    let plan = cluster.world.plan(rows);
    cluster.propose(plan);
    assert!(cluster.world.state.rebalance().is_some());
}

/// Node n ends its session, then its process.
fn stop(cluster: &mut Cluster, n: u64) {
    let now = cluster.now;
    cluster.node(n).agent.handle(AgentInput::Stop, now);
    cluster.run(100);
    cluster.kill(n);
}

#[test]
fn a_role_waits_on_a_live_primary_until_the_planned_one_is_back_and_up_to_date() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    stop(&mut cluster, 3);
    begin(&mut cluster, &["3 2 1"]);
    cluster.run(10_000);
    assert_eq!(cluster.show(0), "2@1");
    assert_eq!(
        cluster.world.show(0),
        "2 3 1 epoch 1 held 2 sync 1 2 degraded"
    );
    cluster.hangs.insert(3);
    cluster.restart(3);
    cluster.run(500);
    assert_eq!(cluster.show(0), "2@1", "it is back, and not up to date");
    cluster.hangs.clear();
    cluster.until(0, "3@2", 60_000);
    cluster.run(1_000);
    assert_eq!(
        cluster.world.show(0),
        "3 2 1 epoch 2 held 3 sync 1 2 3 stable"
    );
    assert_eq!(cluster.world.state.rebalance(), None);
}

#[test]
fn an_only_copy_stays_with_its_stopped_node_and_the_plan_ends() {
    let mut cluster = Cluster::with_rows(3, &["2", "1 2 3"]);
    // The copy of the only one does not get anywhere before its node stops.
    cluster.hangs.insert(3);
    begin(&mut cluster, &["3", "1 2 3"]);
    cluster.run(10);
    assert_eq!(cluster.world.state.transfers().len(), 1);
    stop(&mut cluster, 2);
    cluster.run(10_000);
    assert_eq!(
        cluster.world.show(0),
        "2 epoch 1 lost 2 known 2 unavailable"
    );
    assert_eq!(
        (cluster.show(0).as_str(), cluster.world.state.rebalance()),
        ("-", None)
    );
    cluster.restart(2);
    cluster.until(0, "2@2", 1_000);
}

#[test]
fn a_copy_planned_for_a_stopped_node_is_made_when_it_is_back() {
    let mut cluster = Cluster::with_rows(4, &["1 2 3"]);
    stop(&mut cluster, 4);
    begin(&mut cluster, &["1 2 4"]);
    cluster.run(10_000);
    let before = "1 2 3 epoch 1 held 1 sync 1 2 3 stable";
    assert_eq!(cluster.world.show(0), before);
    cluster.restart(4);
    cluster.run(60_000);
    let after = "1 2 4 epoch 1 held 1 sync 1 2 4 stable";
    assert_eq!(cluster.world.show(0), after);
}
