//! Crashes, stops, returns and removals.

use ck_core::NodeState;

use super::cluster::Cluster;
use crate::state::tests::world::{node, table};
use crate::{AgentInput, Command, MemberChange, RebalanceCommand, Trigger};

#[test]
fn a_killed_primary_is_replaced_within_a_lease() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.kill(2);
    let taken = cluster.until(0, "3@2", 2_500);
    assert!((1_600..=2_200).contains(&taken), "{taken}");
}

#[test]
fn a_returning_node_is_brought_up_to_date_before_it_is_in_sync() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.kill(2);
    cluster.until(0, "3@2", 2_500);
    cluster.hangs.insert(2);
    cluster.restart(2);
    cluster.run(3_000);
    assert!(
        cluster.world.show(0).contains("sync 1 3 "),
        "{}",
        cluster.world.show(0)
    );
    cluster.hangs.clear();
    cluster.restart(2);
    cluster.run(45_000);
    assert!(
        cluster.world.show(0).contains("sync 1 2 3 stable"),
        "{}",
        cluster.world.show(0)
    );
    assert_eq!(cluster.show(0), "3@2", "{:?}", cluster.refusals);
}

#[test]
fn a_stop_ends_the_lease_first_and_fails_over_at_its_commit() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    let now = cluster.now;
    cluster.node(2).agent.handle(AgentInput::Stop, now);
    assert_eq!(cluster.show(0), "-", "before the entry is even sent");
    cluster.run(1);
    assert_eq!(cluster.show(0), "3@2");
    cluster.run(5_000);
    assert_eq!(cluster.node(2).agent.session(), None, "never resumed");
    assert!(cluster.world.state.open_session_of("node-2").is_none());
}

#[test]
fn several_sessions_expire_in_one_entry() {
    let mut cluster = Cluster::with_rows(5, &["2 3 1", "3 2 1"]);
    cluster.kill(2);
    cluster.kill(3);
    cluster.until(0, "1@2", 3_000);
    assert_eq!(cluster.show(1), "1@2");
    let expiries = cluster
        .world
        .state
        .history()
        .filter(|entry| entry.kind == "expire")
        .count();
    assert_eq!(expiries, 1);
}

#[test]
fn a_removed_node_ends_as_an_expiry() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.propose(Command::Close { node: node(2) });
    cluster.run(1_000);
    assert!(cluster.world.state.member_by_node("node-2").is_some());
    cluster.until(0, "3@2", 3_000);
    assert!(cluster.world.state.member_by_node("node-2").is_none());
    cluster.run(100);
    assert!(
        cluster.plans.contains(&Trigger::Loss),
        "{:?}",
        cluster.plans
    );
}

#[test]
fn an_operator_who_lets_moves_go_on_is_not_overruled_by_what_was_lost_before() {
    let mut cluster = Cluster::with_rows(6, &["1 2 3", "4 5 6", "2 3 4"]);
    for n in 4..=6 {
        cluster.kill(n);
    }
    cluster.run(3_000);
    assert!(cluster.world.state.brake().is_some());
    let office = None;
    cluster.propose(Command::Brake { office, lost: 0 });
    cluster.run(1_000);
    assert_eq!(cluster.world.state.brake(), None);
}

#[test]
fn much_lost_at_once_pulls_the_brake_and_promotions_go_on() {
    let mut cluster = Cluster::with_rows(5, &["2 1 3", "3 1 2", "4 1 5"]);
    for n in [2, 3, 4] {
        cluster.kill(n);
    }
    cluster.until(0, "1@2", 3_000);
    cluster.run(100);
    assert_eq!(cluster.world.state.brake().map(|brake| brake.lost), Some(3));
    assert!(cluster.owner(1).is_some() && cluster.owner(2).is_some());
    cluster.run(40_000);
    assert_eq!(cluster.world.state.brake(), None, "time lets go");
}

#[test]
fn copies_are_made_elsewhere_only_after_the_grace() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.kill(2);
    cluster.until(0, "3@2", 3_000);
    cluster.run(50_000);
    assert!(!cluster.plans.contains(&Trigger::Loss));
    cluster.run(12_000);
    assert!(cluster.plans.contains(&Trigger::Loss));
}

/// Node n comes and goes too often.
fn flap(cluster: &mut Cluster, n: u64) {
    for _ in 0..4 {
        cluster.kill(n);
        cluster.run(3_000);
        cluster.restart(n);
        cluster.run(500);
    }
}

#[test]
fn a_node_that_comes_and_goes_gets_nothing_new_until_it_is_quiet() {
    let mut cluster = Cluster::with_rows(4, &["1 3 2"]);
    flap(&mut cluster, 4);
    let plan = cluster.world.plan(&["1 3 4"]);
    cluster.propose(plan);
    cluster.run(20_000);
    assert_eq!(cluster.world.state.transfers().len(), 0, "damped");
    cluster.run(20_000);
    assert!(cluster.world.show(0).starts_with("1 3 4 "));
}

#[test]
fn a_node_that_comes_and_goes_is_brought_up_to_date_at_each_return() {
    let mut cluster = Cluster::with_rows(3, &["1 3 2"]);
    flap(&mut cluster, 2);
    cluster.run(2_000);
    let shown = cluster.world.show(0);
    assert!(shown.ends_with("sync 1 2 3 stable"), "{shown}");
}

#[test]
fn copies_are_brought_up_to_date_under_the_brake_and_nothing_is_moved() {
    let mut cluster = Cluster::with_rows(6, &["1 2 3", "1 3 4", "1 5 4"]);
    for n in [2, 3, 4] {
        cluster.kill(n);
    }
    cluster.run(3_000);
    let plan = cluster.world.plan(&["1 2 6", "1 3 4", "1 5 4"]);
    cluster.propose(plan);
    for n in [2, 3, 4] {
        cluster.restart(n);
    }
    cluster.run(5_000);
    assert!(cluster.world.state.brake().is_some());
    for (partition, shown) in [
        "1 2 3 epoch 1 held 1 sync 1 2 3 stable",
        "1 3 4 epoch 1 held 1 sync 1 3 4 stable",
        "1 5 4 epoch 1 held 1 sync 1 4 5 stable",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(cluster.world.show(partition as u32), shown);
    }
    let office = None;
    cluster.propose(Command::Brake { office, lost: 0 });
    cluster.run(10_000);
    assert!(cluster.world.show(0).starts_with("1 2 6 "), "let go");
}

#[test]
fn a_new_node_and_a_draining_one_call_for_plans() {
    let mut cluster = Cluster::with_rows(4, &["1 2 3"]);
    cluster.run(3_000);
    assert!(
        !cluster.plans.contains(&Trigger::Join),
        "joins settle first"
    );
    cluster.run(4_000);
    assert!(cluster.plans.contains(&Trigger::Join));
    let change = MemberChange {
        state: Some(NodeState::Draining),
        ..MemberChange::default()
    };
    let node = node(2);
    cluster.propose(Command::Update { node, change });
    cluster.run(1_000);
    assert!(cluster.plans.contains(&Trigger::Drain));
}

#[test]
fn a_plan_whose_node_is_lost_for_good_is_given_up() {
    let mut cluster = Cluster::with_rows(4, &["1 2 3"]);
    cluster.kill(4);
    cluster.run(3_000);
    cluster.propose(Command::Rebalance {
        step: RebalanceCommand::Begin {
            base: cluster.world.version(),
            table: table(&["1 2 4"]),
            trigger: Trigger::Join,
            started_at_ms: 0,
        },
    });
    cluster.run(50_000);
    assert!(
        cluster.world.state.rebalance().is_some(),
        "it may come back"
    );
    cluster.run(15_000);
    assert!(cluster.world.state.rebalance().is_none());
}
