use alloc::collections::BTreeMap;
use alloc::string::ToString;

use ck_core::{Domain, NodeState, PartitionId};

use super::world::{World, config, node};
use crate::state::{
    ChangeReason, Command, EndReason, EventKind, MemberChange, MoveRejection, PartitionState,
    Rejection,
};
use crate::{MemberNumber, OfficeId};

fn update(n: u64, change: MemberChange) -> Command {
    Command::Update {
        node: node(n),
        change,
    }
}

#[test]
fn each_field_of_a_node_can_be_changed() {
    let mut world = World::of(2, config(4, 3));
    let change = MemberChange {
        display_name: Some("second".to_string()),
        weight: Some(4),
        domain: Some(Some(Domain::new("eu/1").unwrap())),
        services: Some(BTreeMap::new()),
        labels: Some(BTreeMap::from([("disk".to_string(), "ssd".to_string())])),
        state: Some(NodeState::Draining),
        peer_address: Some("10.0.0.2:1".to_string()),
        http_address: Some("10.0.0.2:2".to_string()),
    };
    let events = world.ok(update(2, change.clone()));
    assert_eq!(events, [EventKind::NodeChanged { node: node(2) }]);
    let member = world.state.member_by_node("node-2").unwrap();
    assert_eq!((member.weight, member.state), (4, NodeState::Draining));
    assert_eq!(member.labels["disk"], "ssd");
    assert_eq!(world.state.placement_version(), world.version());
    let topology = world.state.topology();
    assert_eq!(topology.node("node-2").unwrap().state, NodeState::Draining);
    let version = world.version();
    assert_eq!(world.ok(update(2, change)), []);
    assert_eq!(world.version(), version, "the same again changes nothing");
    world.ok(update(
        2,
        MemberChange {
            domain: Some(None),
            ..MemberChange::default()
        },
    ));
    assert_eq!(world.state.member_by_node("node-2").unwrap().domain, None);
}

#[test]
fn a_label_makes_no_plan_stale() {
    let mut world = World::of(2, config(4, 3));
    let planned = world.state.placement_version();
    let labels = Some(BTreeMap::from([("a".to_string(), "b".to_string())]));
    world.ok(update(
        2,
        MemberChange {
            labels,
            ..MemberChange::default()
        },
    ));
    assert_eq!(world.state.placement_version(), planned);
    assert!(world.version() > planned);
}

#[test]
fn wrong_changes_of_a_node_are_refused() {
    let mut world = World::of(2, config(4, 3));
    let none = MemberChange::default;
    assert_eq!(world.refused(update(2, none())), Rejection::NoField);
    let unknown = update(
        9,
        MemberChange {
            weight: Some(1),
            ..none()
        },
    );
    assert_eq!(
        world.refused(unknown),
        Rejection::NodeUnknown { node: node(9) }
    );
    let down = update(
        2,
        MemberChange {
            state: Some(NodeState::Down),
            ..none()
        },
    );
    assert_eq!(world.refused(down), Rejection::StateDown);
    let weight = update(
        2,
        MemberChange {
            weight: Some(0),
            ..none()
        },
    );
    assert!(matches!(world.refused(weight), Rejection::Range { .. }));
    let peer_address = Some("127.0.0.1:10001".to_string());
    let taken = update(
        2,
        MemberChange {
            peer_address,
            ..none()
        },
    );
    assert!(matches!(
        world.refused(taken),
        Rejection::AddressInUse { .. }
    ));
}

#[test]
fn a_removal_fails_over_and_drops_every_copy() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 2 1"]);
    let events = world.remove(1);
    world.check(&[
        "2 3 epoch 2 held 2 sync 2 3 degraded",
        "2 3 epoch 1 held 2 sync 2 3 degraded",
        "3 2 epoch 1 held 3 sync 2 3 degraded",
    ]);
    let changes = |kind: &&EventKind| {
        matches!(
            kind,
            EventKind::PartitionChanged {
                reason: ChangeReason::Removed,
                ..
            }
        )
    };
    assert_eq!(
        events.iter().filter(changes).count(),
        3,
        "each changed row is told once"
    );
    let left = EventKind::Left {
        node: node(1),
        member: MemberNumber(1),
        reason: EndReason::Removed,
        partitions_primary: 1,
        partitions_replica: 2,
    };
    assert_eq!(events.last(), Some(&left));
    assert!(world.state.member_by_node("node-1").is_none());
    assert_eq!(world.state.table().unwrap().index_of("node-1"), None);
}

#[test]
fn a_removal_begins_with_a_close() {
    let mut world = World::of(2, config(4, 3));
    let office = Some(world.office());
    let early = world.refused(Command::Remove {
        node: node(2),
        office,
    });
    assert_eq!(early, Rejection::NotClosing { node: node(2) });
    world.ok(Command::Close { node: node(2) });
    assert!(world.state.open_session_of("node-2").unwrap().closing);
    assert_eq!(world.state.topology().nodes().len(), 1);
    assert_eq!(
        world.ok(Command::Close { node: node(2) }),
        [],
        "closing twice is closing"
    );
}

#[test]
fn a_removal_that_ends_a_session_names_the_office_that_waited() {
    let mut world = World::of(3, config(4, 3));
    world.ok(Command::Close { node: node(2) });
    let session = world.session(2);
    let missing = world.refused(Command::Remove {
        node: node(2),
        office: None,
    });
    assert_eq!(
        missing,
        Rejection::OfficeMissing {
            node: node(2),
            session
        }
    );
    let past = world.refused(Command::Remove {
        node: node(2),
        office: Some(OfficeId(1)),
    });
    assert!(matches!(past, Rejection::OfficePast { .. }));
    world.stop(2);
    world.ok(Command::Remove {
        node: node(2),
        office: None,
    });
}

#[test]
fn the_last_node_is_not_removed() {
    let mut world = World::of(2, config(4, 3));
    world.ok(Command::Close { node: node(2) });
    let refused = world.refused(Command::Close { node: node(1) });
    assert_eq!(refused, Rejection::LastMember { node: node(1) });
    let unknown = world.refused(Command::Close { node: node(9) });
    assert_eq!(unknown, Rejection::NodeUnknown { node: node(9) });
}

#[test]
fn removing_the_only_copy_leaves_the_partition_unavailable_and_told() {
    let mut world = World::of(2, config(1, 1));
    let table = super::world::table(&["2"]);
    world.ok(Command::CreatePartitions {
        table,
        strategy: None,
    });
    world.expire(&[2]);
    let events = world.remove(2);
    world.check(&[" epoch 1 sync unavailable"]);
    let gone = events.iter().any(|kind| {
        matches!(
            kind,
            EventKind::PartitionChanged {
                new_primary: None,
                ..
            }
        )
    });
    assert!(gone, "{events:?}");
    // A plan has nothing to copy from; only an operator may say that what is lost is lost.
    let plan = world.plan(&["1"]);
    assert_eq!(world.ok(plan), []);
    world.check(&[" epoch 1 sync unavailable"]);
    let promote = |accept_loss| Command::Promote {
        partition: PartitionId(0),
        member: MemberNumber(1),
        accept_loss,
    };
    let silent = world.refused(promote(false));
    assert!(matches!(
        silent,
        Rejection::Move(MoveRejection::LossNotAccepted { .. })
    ));
    world.ok(promote(true));
    world.check(&["1 epoch 2 held 1 sync 1 stable"]);
}

#[test]
fn removing_a_lost_member_keeps_what_the_others_may_know() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    world.expire(&[1, 2, 3]);
    let events = world.remove(1);
    world.check(&["2 3 epoch 1 known 2 3 unavailable"]);
    let changed = |kind: &&EventKind| matches!(kind, EventKind::PartitionChanged { .. });
    assert_eq!(events.iter().filter(changed).count(), 1);
    world.come_back(3, true);
    world.check(&["3 2 epoch 2 held 3 sync 2 3 degraded"]);
}

#[test]
fn a_partition_that_does_not_exist_is_unavailable() {
    let world = World::with_rows(3, &["1 2 3"]);
    let state = world.state.partition_state(PartitionId(9));
    assert_eq!(state, PartitionState::Unavailable);
}
