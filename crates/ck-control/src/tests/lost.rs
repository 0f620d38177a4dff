//! Nodes that are away, as an office counts them.

use crate::tests::cluster::Cluster;

#[test]
fn a_node_away_since_before_the_office_is_lost_after_the_grace_counted_from_it() {
    let mut cluster = Cluster::with_rows(4, &["1 2 3", "2 3 1"]);
    cluster.kill(3);
    cluster.run(3_000);
    cluster.kill(1);
    cluster.elect(2);
    let grace = cluster.world.state.config().rejoin_grace_ms;
    cluster.run(u32::try_from(grace).unwrap() - 1_000);
    let lost = |cluster: &mut Cluster| {
        let now = cluster.now;
        cluster.node(2).leader.lost(now)
    };
    assert_eq!(lost(&mut cluster), []);
    cluster.run(2_000);
    assert_eq!(lost(&mut cluster), [crate::MemberNumber(3)]);
}

/// A cluster that slept, or had no majority, has itself not answered: nobody is condemned for it.
#[test]
fn a_gap_that_is_the_offices_own_costs_no_session() {
    let mut cluster = Cluster::with_rows(3, &["1 2 3", "2 3 1"]);
    cluster.run(10_000);
    let before: std::vec::Vec<_> = (1..=3).map(|n| cluster.node(n).agent.session()).collect();
    let asleep = core::time::Duration::from_secs(10);
    cluster.now = cluster.now.after(asleep);
    cluster.run(10_000);
    let after: std::vec::Vec<_> = (1..=3).map(|n| cluster.node(n).agent.session()).collect();
    assert_eq!(before, after);
    assert_eq!(cluster.show(0), "1@1");
}
