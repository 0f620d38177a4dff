use alloc::string::ToString;
use alloc::vec;

use ck_core::{Epoch, PartitionId, Version};

use super::world::{World, config, node, registration, table};
use crate::ConfigChange;
use crate::state::{ChangeReason, Command, EventKind, MemberChange, Rejection, Trigger};

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
fn a_plan_is_applied_at_once() {
    let mut world = World::with_rows(4, &["1 2 3", "2 3 1", "3 1 2"]);
    let old = world.session(1);
    let base = world.version();
    let events = world.ok(Command::ApplyPlan {
        base,
        table: table(&["4 2 3", "2 3 4", "3 1 2"]),
        trigger: Trigger::Join,
        started_at_ms: (world.position + 1) * 1_000 - 250,
    });
    world.check(&[
        "4 2 3 epoch 2 held 4 sync 2 3 4 stable",
        "2 3 4 epoch 1 held 2 sync 2 3 4 stable",
        "3 1 2 epoch 1 held 3 sync 1 2 3 stable",
    ]);
    let (trigger, partitions, nodes) = (Trigger::Join, 2, 4);
    let changed = |partition, from, old: u64, new: u64, epoch| EventKind::PartitionChanged {
        partition: PartitionId(partition),
        copy_from: vec![node(from)],
        copy_to: vec![node(4)],
        reason: ChangeReason::Join,
        old_primary: Some(node(old)),
        new_primary: Some(node(new)),
        epoch: Epoch(epoch),
    };
    assert_eq!(
        events,
        [
            EventKind::RebalanceStarted {
                trigger,
                partitions,
                nodes
            },
            changed(0, 1, 1, 4, 2),
            changed(1, 2, 2, 2, 1),
            EventKind::RebalanceCompleted {
                trigger,
                partitions,
                nodes,
                duration_ms: 250
            },
        ]
    );
    let floor = world.state.session(old).unwrap().floor;
    assert_eq!(
        floor.0, world.position,
        "what was taken without consent sets the floor"
    );
}

#[test]
fn a_plan_that_changes_nothing_is_no_change() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let version = world.version();
    let plan = world.plan(&["1 2 3"]);
    assert_eq!(world.ok(plan), []);
    assert_eq!(world.version(), version);
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
    let ahead = Command::ApplyPlan {
        base: Version(999),
        table: table(&["2 1 3"]),
        trigger: Trigger::Manual,
        started_at_ms: 0,
    };
    assert!(matches!(world.refused(ahead), Rejection::PlanStale { .. }));
}

#[test]
fn sessions_and_custom_values_make_no_plan_stale() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let plan = world.plan(&["2 1 3"]);
    world.ok(Command::SetCustom {
        key: "k".to_string(),
        value: vec![],
        expected: None,
    });
    world.stop(3);
    world.come_back(3, false);
    world.ok(plan);
    world.check(&["2 1 3 epoch 2 held 2 sync 1 2 3 stable"]);
}

#[test]
fn a_plan_needs_partitions() {
    let mut world = World::of(3, config(1, 3));
    let plan = world.plan(&["1 2 3"]);
    assert_eq!(world.refused(plan), Rejection::NoPartitions);
}

#[test]
fn a_degraded_plan_is_applied() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.remove(3);
    let plan = world.plan(&["2 1"]);
    world.ok(plan);
    world.check(&["2 1 epoch 2 held 2 sync 1 2 degraded"]);
}

#[test]
fn a_plan_leaves_a_partition_alone_whose_last_copies_are_away() {
    let mut world = World::with_rows(4, &["1 2 3", "4 1 2"]);
    world.expire(&[1, 2, 3]);
    let plan = world.plan(&["4", "4"]);
    let events = world.ok(plan);
    world.check(&[
        "1 2 3 epoch 1 lost 1 known 1 2 3 unavailable",
        "4 epoch 1 held 4 sync 4 degraded",
    ]);
    let counted = EventKind::RebalanceStarted {
        trigger: Trigger::Manual,
        partitions: 1,
        nodes: 4,
    };
    assert_eq!(events[0], counted);
    world.come_back(2, true);
    world.check(&["2 1 3 epoch 2 held 2 sync 1 2 3 degraded"]);
}

#[test]
fn a_plan_does_not_take_the_only_copy_from_a_stopped_node() {
    let mut world = World::of(2, config(1, 1));
    world.ok(create(&["1"]));
    world.stop(1);
    let plan = world.plan(&["2"]);
    world.ok(plan);
    world.check(&["1 epoch 1 lost 1 known 1 unavailable"]);
}

#[test]
fn a_plan_moves_a_stopped_primary_to_a_live_copy() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.stop(1);
    let plan = world.plan(&["2 3 1"]);
    world.ok(plan);
    world.check(&["2 3 1 epoch 2 held 2 sync 2 3 degraded"]);
}

#[test]
fn a_primary_is_not_taken_from_a_live_node_for_a_stopped_one() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.stop(2);
    let plan = world.plan(&["2 1 3"]);
    world.ok(plan);
    world.check(&["1 2 3 epoch 1 held 1 sync 1 3 degraded"]);
    world.come_back(2, false);
    world.check(&["1 2 3 epoch 1 held 1 sync 1 3 degraded"]);
}

#[test]
fn a_new_copy_on_a_stopped_node_is_not_in_sync() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    world.stop(4);
    let plan = world.plan(&["1 2 4"]);
    world.ok(plan);
    world.check(&["1 2 4 epoch 1 held 1 sync 1 2 degraded"]);
    world.come_back(4, true);
    let plan = world.plan(&["1 2 4"]);
    world.ok(plan);
    world.check(&["1 2 4 epoch 1 held 1 sync 1 2 4 stable"]);
}

#[test]
fn another_replication_factor_changes_the_rows_by_plan() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let change = ConfigChange {
        replication_factor: Some(2),
        ..ConfigChange::default()
    };
    let stale = world.plan(&["1 2 3"]);
    world.ok(Command::Configure { change });
    assert!(matches!(world.refused(stale), Rejection::PlanStale { .. }));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 stable"]);
    let plan = world.plan(&["1 2"]);
    world.ok(plan);
    world.check(&["1 2 epoch 1 held 1 sync 1 2 stable"]);
}
