use super::world::{World, config, node, registration, table};
use crate::state::{
    ChangeReason, Command, EventKind, InSyncChange, Party, Registration, Rejection,
};
use crate::{MemberNumber, Nonce, OfficeId, SessionId};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use ck_core::{Epoch, PartitionId};

#[test]
fn an_expired_primary_is_replaced_by_an_in_sync_replica() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    let events = world.expire(&[1]);
    world.check(&[
        "2 1 3 epoch 2 held 2 sync 2 3 degraded",
        "2 3 1 epoch 1 held 2 sync 2 3 degraded",
        "3 1 2 epoch 1 held 3 sync 2 3 degraded",
    ]);
    let expired = "expired".to_string();
    assert_eq!(
        events[1],
        EventKind::HealthChanged {
            node: node(1),
            healthy: false,
            status: expired,
        }
    );
    assert_eq!(
        events[2],
        EventKind::PartitionChanged {
            partition: PartitionId(0),
            copy_from: vec![],
            copy_to: vec![],
            reason: ChangeReason::Failover,
            old_primary: Some(node(1)),
            new_primary: Some(node(2)),
            epoch: Epoch(2),
        }
    );
    assert_eq!(events.len(), 3, "only what changed is told");
}

#[test]
fn successors_are_spread_counting_those_just_picked() {
    let mut world = World::with_rows(3, &["1 2 3", "1 2 3", "1 2 3", "1 2 3"]);
    world.expire(&[1]);
    world.check(&[
        "2 1 3 epoch 2 held 2 sync 2 3 degraded",
        "3 1 2 epoch 2 held 3 sync 2 3 degraded",
        "2 1 3 epoch 2 held 2 sync 2 3 degraded",
        "3 1 2 epoch 2 held 3 sync 2 3 degraded",
    ]);
}

#[test]
fn ties_go_to_the_first_in_the_row() {
    let mut world = World::with_rows(3, &["1 3 2"]);
    world.expire(&[1]);
    world.check(&["3 1 2 epoch 2 held 3 sync 2 3 degraded"]);
}

#[test]
fn primaries_count_by_weight() {
    let mut world = World::of(2, config(6, 3));
    world.ok(Command::Register(Registration {
        weight: 3,
        ..registration(3)
    }));
    let rows = ["1 2 3"; 6];
    world.ok(Command::CreatePartitions {
        table: table(&rows),
        strategy: None,
    });
    world.expire(&[1]);
    let heirs: Vec<u64> = world
        .state
        .partitions()
        .map(|(_, one)| one.holder.unwrap().member.0)
        .collect();
    // 0/1 = 0/3: row order; then 1/1 > 0/3, 1/3, 2/3; 1/1 = 3/3: row order; then 2/1 > 3/3.
    assert_eq!(heirs, [2, 3, 3, 3, 2, 3]);
}

#[test]
fn sessions_that_expire_together_end_together() {
    let mut world = World::with_rows(4, &["1 2 3", "2 1 4", "3 4 1"]);
    world.expire(&[1, 2]);
    world.check(&[
        "3 1 2 epoch 2 held 3 sync 3 degraded",
        "4 2 1 epoch 2 held 4 sync 4 degraded",
        "3 4 1 epoch 1 held 3 sync 3 4 degraded",
    ]);
}

#[test]
fn a_set_that_keeps_none_is_left_as_last_known() {
    let mut world = World::with_rows(4, &["1 2 3", "4 3 1"]);
    let events = world.expire(&[1, 2, 3]);
    world.check(&["1 2 3 epoch 1 lost 1 known 1 2 3 unavailable"]);
    world.check(&[
        "1 2 3 epoch 1 lost 1 known 1 2 3 unavailable",
        "4 3 1 epoch 1 held 4 sync 4 degraded",
    ]);
    let EventKind::PartitionChanged {
        new_primary, epoch, ..
    } = events.last().unwrap()
    else {
        panic!("{events:?}")
    };
    assert_eq!((new_primary, *epoch), (&None, Epoch(1)));
}

#[test]
fn only_an_in_sync_replica_is_promoted() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.come_back(2, false);
    world.check(&["1 2 3 epoch 1 held 1 sync 1 3 degraded"]);
    world.expire(&[1]);
    world.check(&["3 1 2 epoch 2 held 3 sync 3 degraded"]);
    world.expire(&[3]);
    world.check(&["3 1 2 epoch 2 lost 3 known 3 unavailable"]);
}

#[test]
fn a_closing_node_is_not_promoted() {
    let mut world = World::with_rows(3, &["1 2 3", "1 2 3"]);
    world.ok(Command::Close { node: node(2) });
    world.expire(&[1]);
    world.check(&[
        "3 1 2 epoch 2 held 3 sync 2 3 degraded",
        "3 1 2 epoch 2 held 3 sync 2 3 degraded",
    ]);
}

#[test]
fn an_expired_session_is_never_revived() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let old = world.session(1);
    world.expire(&[1]);
    let member = MemberNumber(1);
    let refused = world.refused(Command::Stop {
        member,
        session: old,
    });
    assert_eq!(refused, Rejection::SessionEnded { session: old });
    let refused = world.refused(Command::Expire {
        office: world.office(),
        sessions: vec![old],
    });
    assert_eq!(refused, Rejection::NothingToExpire { got: 1 });
}

#[test]
fn an_expiry_passes_over_sessions_that_have_ended() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let sessions = vec![
        world.session(1),
        world.session(2),
        world.session(2),
        SessionId(999),
    ];
    world.stop(2);
    world.ok(Command::Expire {
        office: world.office(),
        sessions,
    });
    assert!(world.state.open_session_of("node-1").is_none());
    let stopped = world.state.member_by_node("node-2").unwrap();
    assert!(stopped.stopped_cleanly);
}

#[test]
fn an_expiry_of_a_past_office_is_refused() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let (got, session) = (world.office(), world.session(1));
    world.ok(Command::Office {
        member: MemberNumber(2),
        nonce: Nonce(9),
        term: 1,
    });
    let last = Some(world.office());
    let late = Command::Expire {
        office: got,
        sessions: vec![session],
    };
    assert_eq!(world.refused(late), Rejection::OfficePast { got, last });
    let made_up = Command::Expire {
        office: OfficeId(999),
        sessions: vec![session],
    };
    assert!(matches!(
        world.refused(made_up),
        Rejection::OfficePast { .. }
    ));
    assert!(world.state.session(session).is_some());
}

#[test]
fn a_clean_stop_fails_over_like_an_expiry() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.stop(1);
    world.check(&["2 1 3 epoch 2 held 2 sync 2 3 degraded"]);
    let session = SessionId(1);
    let refused = world.refused(Command::Stop {
        member: MemberNumber(9),
        session,
    });
    assert_eq!(
        refused,
        Rejection::MemberUnknown {
            member: MemberNumber(9)
        }
    );
}

#[test]
fn a_grant_to_an_ended_session_counts_for_nothing() {
    let mut world = World::with_rows(3, &["2", "1 2 3"]);
    world.come_back(2, false);
    let (member, session) = (MemberNumber(2), world.session(2));
    world.ok(Command::InSync {
        partition: PartitionId(1),
        session: world.session(1),
        epoch: Epoch(1),
        change: InSyncChange::Add(Party { member, session }),
    });
    world.check(&[
        "2 epoch 1 lost 2 known 2 unproven 2 unavailable",
        "1 2 3 epoch 1 held 1 sync 1 2 3 stable",
    ]);
    world.expire(&[1]);
    assert_eq!(world.show(1), "2 1 3 epoch 2 held 2 sync 2 3 degraded");
}

#[test]
fn a_last_known_set_is_not_shrunk_for_those_it_doubts() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.expire(&[1, 2, 3]);
    world.come_back(2, false);
    world.come_back(3, false);
    world.expire(&[3]);
    world.check(&["1 2 3 epoch 1 lost 1 known 1 2 3 unproven 2 3 unavailable"]);
    world.come_back(1, true);
    world.check(&["1 2 3 epoch 2 held 1 sync 1 degraded"]);
}
