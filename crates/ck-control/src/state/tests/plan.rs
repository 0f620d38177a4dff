//! The first table, and plans as entries: what they begin, and when they are refused.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;

use ck_core::{Epoch, PartitionId, Version};

use super::world::{World, config, node, registration, table};
use crate::state::{
    ChangeReason, Command, EventKind, MemberChange, MoveRejection, Rebalance, RebalanceCommand,
    Rejection, Trigger,
};
use crate::{ConfigChange, Position};

fn create(rows: &[&str]) -> Command {
    Command::CreatePartitions {
        table: table(rows),
        strategy: Some("balanced".to_string()),
    }
}

#[test]
fn partitions_are_created_once_and_granted() {
    let mut world = World::of(3, config(2, 3));
    let events = world.ok(create(&["1 2 3", "2 3 1"]));
    assert_eq!(events[0], EventKind::PartitionsCreated { partitions: 2 });
    assert_eq!(
        events[1],
        EventKind::PartitionChanged {
            partition: PartitionId(0),
            copy_from: vec![],
            copy_to: vec![node(1), node(2), node(3)],
            reason: ChangeReason::Created,
            old_primary: None,
            new_primary: Some(node(1)),
            epoch: Epoch(1),
        }
    );
    world.check(&[
        "1 2 3 epoch 1 held 1 sync 1 2 3 stable",
        "2 3 1 epoch 1 held 2 sync 1 2 3 stable",
    ]);
    assert_eq!(world.state.strategy(), Some("balanced"));
    let again = world.refused(create(&["1 2 3", "2 3 1"]));
    assert_eq!(again, Rejection::PartitionsExist { partitions: 2 });
}

#[test]
fn too_few_nodes_are_refused_and_nothing_hangs() {
    let mut world = World::of(2, config(2, 3));
    let refused = world.refused(create(&["1 2", "2 1"]));
    assert_eq!(refused, Rejection::TooFewNodes { have: 2, need: 3 });
    world.ok(Command::Register(registration(3)));
    world.ok(create(&["1 2 3", "2 3 1"]));
}

#[test]
fn a_table_that_does_not_fit_is_refused() {
    let mut world = World::of(3, config(2, 3));
    let count = world.refused(create(&["1 2 3"]));
    assert_eq!(
        count,
        Rejection::PartitionCount {
            got: 1,
            expected: 2
        }
    );
    let unknown = world.refused(create(&["1 2 3", "1 2 9"]));
    let partition = PartitionId(1);
    assert_eq!(
        unknown,
        Rejection::RowNode {
            partition,
            node: node(9)
        }
    );
    let empty = world.refused(create(&["1 2 3", ""]));
    assert_eq!(
        empty,
        Rejection::RowLength {
            partition,
            got: 0,
            max: 3
        }
    );
    world.ok(Command::Register(registration(4)));
    let long = world.refused(create(&["1 2 3", "1 2 3 4"]));
    assert_eq!(
        long,
        Rejection::RowLength {
            partition,
            got: 4,
            max: 3
        }
    );
    world.ok(Command::Close { node: node(4) });
    let closing = world.refused(create(&["1 2 3", "1 2 4"]));
    assert_eq!(
        closing,
        Rejection::RowNode {
            partition,
            node: node(4)
        }
    );
}

#[test]
fn a_plan_is_begun_and_moves_nothing_by_itself() {
    let rows = [
        "1 2 3 epoch 1 held 1 sync 1 2 3 stable",
        "2 3 1 epoch 1 held 2 sync 1 2 3 stable",
        "3 1 2 epoch 1 held 3 sync 1 2 3 stable",
    ];
    let mut world = World::with_rows(4, &["1 2 3", "2 3 1", "3 1 2"]);
    let (base, planned) = (world.version(), world.state.placement_version());
    let target = table(&["4 2 3", "2 3 4", "3 1 2"]);
    let trigger = Trigger::Join;
    let events = world.ok(Command::Rebalance {
        step: RebalanceCommand::Begin {
            base,
            table: target.clone(),
            trigger,
            started_at_ms: 250,
        },
    });
    let (partitions, nodes) = (2, 4);
    let started = EventKind::RebalanceStarted {
        trigger,
        partitions,
        nodes,
    };
    assert_eq!(events, [started]);
    let begun = Rebalance {
        since: Position(world.position),
        trigger,
        actor: "operator".to_string(),
        base,
        target: Arc::new(target),
        started_at_ms: 250,
        total: 2,
        done: 0,
        paused: false,
    };
    assert_eq!(world.state.rebalance(), Some(&begun));
    world.check(&rows);
    assert_eq!(world.state.transfers().len(), 0);
    assert_eq!(world.state.placement_version(), planned);
    let since = begun.since;
    let step = RebalanceCommand::Finish { since };
    let events = world.ok(Command::Rebalance { step });
    let completed = EventKind::RebalanceCompleted {
        trigger,
        partitions: 0,
        nodes,
        duration_ms: world.position * 1_000 - 250,
    };
    assert_eq!(events, [completed]);
    assert_eq!(world.state.rebalance(), None);
    world.check(&rows);
}

#[test]
fn a_plan_that_changes_nothing_is_no_change() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let version = world.version();
    for same in ["1 2 3", "1 3 2"] {
        let plan = world.plan(&[same]);
        assert_eq!(world.ok(plan), [], "{same}");
        assert_eq!(world.version(), version, "{same}");
        assert_eq!(world.state.rebalance(), None, "{same}");
    }
}

#[test]
fn a_plan_is_refused_while_another_is_carried_out() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let plan = world.plan(&["2 1 3"]);
    world.ok(plan);
    let since = Position(world.position);
    let other = world.plan(&["4 1 3"]);
    let under_way = MoveRejection::RebalanceUnderWay { since };
    assert_eq!(world.refused(other.clone()), under_way.into());
    world.ok(Command::Rebalance {
        step: RebalanceCommand::Abort,
    });
    world.ok(other);
}

#[test]
fn a_plan_is_refused_when_what_it_depends_on_has_changed() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let plan = world.plan(&["2 1 3"]);
    let planned = world.version();
    world.ok(Command::SetCustom {
        key: "k".to_string(),
        value: vec![],
        expected: None,
    });
    world.stop(3);
    world.come_back(3, false);
    let weight = MemberChange {
        weight: Some(2),
        ..MemberChange::default()
    };
    world.ok(Command::Update {
        node: node(3),
        change: weight,
    });
    let changed = world.version();
    assert_eq!(
        world.refused(plan),
        Rejection::PlanStale {
            base: planned,
            changed
        }
    );
    let ahead = World::plan_for(Version(999), &["2 1 3"]);
    assert_eq!(
        world.refused(ahead),
        Rejection::PlanStale {
            base: Version(999),
            changed
        }
    );
    let plan = world.plan(&["2 1 3"]);
    world.ok(plan);
}

#[test]
fn sessions_and_custom_values_make_no_plan_stale() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let base = world.version();
    let plan = world.plan(&["2 1 3"]);
    world.ok(Command::SetCustom {
        key: "k".to_string(),
        value: vec![],
        expected: None,
    });
    world.stop(3);
    world.come_back(3, false);
    assert!(world.version() > base);
    world.ok(plan);
    let begun = world.state.rebalance().unwrap();
    assert_eq!((begun.base, begun.total), (base, 1));
}

#[test]
fn a_plan_needs_partitions() {
    let mut world = World::of(3, config(1, 3));
    let plan = world.plan(&["1 2 3"]);
    assert_eq!(world.refused(plan), Rejection::NoPartitions);
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let mut world = World::with_rows(5, &["1 2 3", "2 3 1"]);
    world.ok(Command::Close { node: node(5) });
    let partition = PartitionId(1);
    let (got, expected) = (1, 2);
    let row = |got| Rejection::RowLength {
        partition,
        got,
        max: 3,
    };
    let node = |n| Rejection::RowNode {
        partition,
        node: node(n),
    };
    let cases: [(&[&str], Rejection); 5] = [
        (&["2 1 3"], Rejection::PartitionCount { got, expected }),
        (&["2 1 3", "1 2 9"], node(9)),
        (&["2 1 3", "1 2 5"], node(5)),
        (&["2 1 3", ""], row(0)),
        (&["2 1 3", "1 2 3 4"], row(4)),
    ];
    for (rows, why) in cases {
        let plan = world.plan(rows);
        assert_eq!(world.refused(plan), why);
    }
}

#[test]
fn a_degraded_plan_is_begun() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.remove(3);
    let plan = world.plan(&["2 1"]);
    world.ok(plan);
    assert_eq!(world.state.rebalance().unwrap().total, 1);
    world.check(&["1 2 epoch 1 held 1 sync 1 2 degraded"]);
}

#[test]
fn partitions_that_nobody_may_act_on_do_not_count() {
    let mut world = World::with_rows(4, &["1 2 3", "4 1 2"]);
    world.expire(&[1, 2, 3]);
    let plan = world.plan(&["4", "4"]);
    let events = world.ok(plan);
    let counted = EventKind::RebalanceStarted {
        trigger: Trigger::Manual,
        partitions: 1,
        nodes: 4,
    };
    assert_eq!(events, [counted]);
    world.expire(&[4]);
    world.ok(Command::Rebalance {
        step: RebalanceCommand::Abort,
    });
    let plan = world.plan(&["4", "1"]);
    assert_eq!(world.ok(plan), []);
    assert_eq!(world.state.rebalance(), None);
}

#[test]
fn a_lower_replication_factor_makes_plans_stale() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let change = ConfigChange {
        replication_factor: Some(2),
        ..ConfigChange::default()
    };
    let stale = world.plan(&["1 2"]);
    world.ok(Command::Configure { change });
    assert!(matches!(world.refused(stale), Rejection::PlanStale { .. }));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 stable"]);
    let plan = world.plan(&["1 2"]);
    world.ok(plan);
    assert_eq!(world.state.rebalance().unwrap().total, 1);
}
