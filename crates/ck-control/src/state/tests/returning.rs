//! Which partitions a node has when it comes back.

use super::world::{World, config, table};
use crate::state::{ChangeReason, Command, EndReason, EventKind, Registration, StopMark};
use crate::{Generation, Home, SessionId};
use alloc::vec::Vec;

#[test]
fn killing_and_restarting_all_nodes_gives_the_same_rows() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    let before = world.state.table().cloned();
    for n in [2, 3, 1] {
        world.come_back(n, true);
    }
    assert_eq!(world.state.table().cloned(), before);
    world.check(&[
        "1 2 3 epoch 2 held 1 sync 1 2 3 stable",
        "2 3 1 epoch 2 held 2 sync 1 2 3 stable",
        "3 1 2 epoch 2 held 3 sync 1 2 3 stable",
    ]);
}

#[test]
fn the_last_to_stop_cleanly_has_everything_when_it_is_back() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    for n in 1..=3 {
        world.stop(n);
    }
    world.check(&["3 2 1 epoch 3 lost 3 known 3 unavailable"]);
    for n in [1, 2] {
        world.come_back(n, false);
    }
    world.check(&["3 2 1 epoch 3 lost 3 known 3 unavailable"]);
    world.come_back(3, false);
    world.check(&[
        "3 2 1 epoch 4 held 3 sync 3 degraded",
        "3 2 1 epoch 3 held 3 sync 3 degraded",
        "3 1 2 epoch 2 held 3 sync 3 degraded",
    ]);
}

#[test]
fn a_return_tells_how_the_old_session_ended_and_what_it_was_granted() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    let old = world.session(2);
    let events = world.come_back(2, true);
    let names = |kind: &EventKind| match kind {
        EventKind::SessionEnded {
            session,
            reason: EndReason::Replaced,
            ..
        } => *session == old,
        EventKind::SessionOpened { granted: 1, .. } => true,
        // Its old process was replaced before its session had ended.
        EventKind::Rejoined {
            offline_ms: 0,
            last_seen_ms: None,
            partitions_before: 3,
            ..
        } => true,
        _ => false,
    };
    assert!(events.len() == 3 && events.iter().all(names), "{events:?}");
}

#[test]
fn a_return_after_an_expiry_tells_how_long_the_node_was_away() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    world.expire(&[2]);
    let ended = world.state.member_by_node("node-2").unwrap();
    let ended = ended.last_ended_at_ms;
    let events = world.come_back(2, true);
    let back = world.state.member_by_node("node-2").unwrap();
    let away = back.registered_at_ms - ended.unwrap();
    let rejoined = events.iter().any(|kind| {
        matches!(kind, EventKind::Rejoined { offline_ms, last_seen_ms, partitions_before: 3, .. }
            if *offline_ms == away && *last_seen_ms == ended)
    });
    assert!(rejoined, "{events:?}");
    let healthy = |kind: &&EventKind| matches!(kind, EventKind::HealthChanged { healthy: true, status, .. } if status == "active");
    assert_eq!(events.iter().filter(healthy).count(), 1, "{events:?}");
}

#[test]
fn a_crashed_node_without_durable_acknowledgements_loses_what_others_have() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    world.come_back(1, false);
    world.check(&[
        "2 1 3 epoch 2 held 2 sync 2 3 degraded",
        "2 3 1 epoch 1 held 2 sync 2 3 degraded",
        "3 1 2 epoch 1 held 3 sync 2 3 degraded",
    ]);
}

#[test]
fn a_crashed_node_without_durable_acknowledgements_is_doubted_where_it_is_the_last() {
    let mut world = World::of(1, config(2, 1));
    world.ok(Command::CreatePartitions {
        table: table(&["1", "1"]),
        strategy: None,
    });
    world.come_back(1, false);
    world.check(&["1 epoch 1 lost 1 known 1 unproven 1 unavailable"]);
    world.come_back(1, true);
    world.check(&["1 epoch 1 lost 1 known 1 unproven 1 unavailable"]);
}

#[test]
fn a_last_known_member_with_proof_is_granted_at_once() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    world.expire(&[1, 2, 3]);
    world.check(&[
        "1 2 3 epoch 1 lost 1 known 1 2 3 unavailable",
        "2 3 1 epoch 1 lost 2 known 1 2 3 unavailable",
    ]);
    let events = world.come_back(3, true);
    world.check(&[
        "3 1 2 epoch 2 held 3 sync 1 2 3 degraded",
        "3 2 1 epoch 2 held 3 sync 1 2 3 degraded",
        "3 1 2 epoch 2 held 3 sync 1 2 3 degraded",
    ]);
    let recovered = |kind: &&EventKind| {
        matches!(
            kind,
            EventKind::PartitionChanged {
                reason: ChangeReason::Recovered,
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(recovered).count(), 3);
    world.come_back(1, true);
    world.check(&["3 1 2 epoch 2 held 3 sync 1 2 3 degraded"]);
}

#[test]
fn a_doubted_member_leaves_when_one_with_proof_takes_over() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.expire(&[1, 2, 3]);
    world.come_back(2, false);
    world.check(&["1 2 3 epoch 1 lost 1 known 1 2 3 unproven 2 unavailable"]);
    world.come_back(3, true);
    world.check(&["3 1 2 epoch 2 held 3 sync 1 3 degraded"]);
}

#[test]
fn a_clean_stop_is_no_proof_for_a_member_that_was_doubted_before() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.expire(&[1, 2, 3]);
    world.come_back(2, false);
    world.stop(2);
    world.come_back(2, false);
    world.check(&["1 2 3 epoch 1 lost 1 known 1 2 3 unproven 2 unavailable"]);
}

#[test]
fn a_clean_stop_is_proof_in_a_last_known_set() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.stop(2);
    world.stop(3);
    world.stop(1);
    world.check(&["1 2 3 epoch 1 lost 1 known 1 unavailable"]);
    world.come_back(2, false);
    world.check(&["1 2 3 epoch 1 lost 1 known 1 unavailable"]);
    world.come_back(1, false);
    world.check(&["1 2 3 epoch 2 held 1 sync 1 degraded"]);
}

#[test]
fn a_return_is_not_granted_what_another_holds() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.expire(&[1]);
    world.check(&["2 1 3 epoch 2 held 2 sync 2 3 degraded"]);
    world.come_back(1, true);
    world.check(&["2 1 3 epoch 2 held 2 sync 2 3 degraded"]);
}

#[test]
fn a_return_with_another_weight_makes_plans_stale() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let planned = world.state.placement_version();
    world.come_back(2, true);
    assert_eq!(world.state.placement_version(), planned);
    let heavier = Registration {
        weight: 2,
        durable: true,
        ..world.restart(2)
    };
    assert_eq!(world.state.reshaped(), None);
    world.ok(Command::Register(heavier));
    assert_eq!(world.state.placement_version(), world.version());
    assert_eq!(world.state.reshaped(), Some(world.version()));
    // Whoever leads when the plan begins: then it is looked after.
    let plan = world.plan(&["2 1 3"]);
    world.ok(plan);
    assert_eq!(world.state.reshaped(), None);
}

/// The next registration of node n, whose store has the mark of a clean stop of `session`.
fn marked(world: &World, n: u64, session: SessionId) -> Command {
    let start = world
        .state
        .session(session)
        .map_or(Generation(1), |one| one.generation);
    let mark = StopMark { session, start };
    Command::Register(Registration {
        stopped: Some(mark),
        durable: false,
        ..world.restart(n)
    })
}

#[test]
fn the_last_of_a_planned_stop_of_all_comes_back_by_its_mark() {
    let mut world = World::with_rows(3, &["1 2 3", "2 3 1"]);
    world.stop(1);
    world.stop(2);
    // The entry of the third's own stop found no majority.
    let session = world.session(3);
    world.come_back(1, false);
    world.check(&[
        "3 1 2 epoch 2 held 3 sync 3 degraded",
        "3 2 1 epoch 2 held 3 sync 3 degraded",
    ]);
    let back = marked(&world, 3, session);
    world.ok(back);
    world.check(&[
        "3 1 2 epoch 3 held 3 sync 3 degraded",
        "3 2 1 epoch 3 held 3 sync 3 degraded",
    ]);
}

#[test]
fn a_mark_proves_its_process_gone_wherever_the_store_is_now() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let session = world.session(1);
    let elsewhere = Registration {
        stopped: Some(StopMark {
            session,
            start: Generation(1),
        }),
        served: true,
        homes: Vec::from([(Home(1), Generation(1)), (Home(77), Generation(2))]),
        ..world.restart(1)
    };
    world.ok(Command::Register(elsewhere));
    world.check(&["1 2 3 epoch 2 held 1 sync 1 2 3 stable"]);
}

#[test]
fn a_mark_of_an_earlier_session_is_none() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let session = world.session(1);
    let back = marked(&world, 1, session);
    world.ok(back);
    // It has acted since, and died: what its mark says is past.
    let again = marked(&world, 1, session);
    world.ok(again);
    world.check(&["2 1 3 epoch 3 held 2 sync 2 3 degraded"]);
}

#[test]
fn a_mark_counts_in_a_last_known_set_and_not_for_one_that_was_doubted() {
    let mut world = World::with_rows(3, &["1 2"]);
    let sessions = [world.session(1), world.session(2)];
    world.expire(&[1, 2]);
    let back = marked(&world, 2, sessions[1]);
    world.come_back(1, false);
    world.check(&["1 2 epoch 1 lost 1 known 1 2 unproven 1 unavailable"]);
    // A clean stop of the doubted one's new session says nothing of the old.
    let doubted = world.session(1);
    let again = marked(&world, 1, doubted);
    world.ok(again);
    world.check(&["1 2 epoch 1 lost 1 known 1 2 unproven 1 unavailable"]);
    world.ok(back);
    world.check(&["2 1 epoch 2 held 2 sync 2 degraded"]);
}

#[test]
fn a_mark_gives_nothing_back_that_others_went_on_with() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let session = world.session(1);
    world.expire(&[1]);
    world.check(&["2 1 3 epoch 2 held 2 sync 2 3 degraded"]);
    let back = marked(&world, 1, session);
    world.ok(back);
    world.check(&["2 1 3 epoch 2 held 2 sync 2 3 degraded"]);
}

#[test]
fn a_mark_is_the_next_starts_alone() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let session = world.session(1);
    let Command::Register(back) = marked(&world, 1, session) else {
        unreachable!("it is a registration");
    };
    // A start between followed writes of others, and lost them when it died.
    let second = Registration {
        generation: Generation(3),
        homes: Vec::from([(Home(1), Generation(3))]),
        ..back
    };
    world.ok(Command::Register(second));
    world.check(&["2 1 3 epoch 2 held 2 sync 2 3 degraded"]);
}

/// The third start of node n, of which the second had no session.
fn third_start(world: &World, n: u64) -> Registration {
    Registration {
        generation: Generation(3),
        homes: Vec::from([(Home(n), Generation(3))]),
        durable: false,
        ..world.restart(n)
    }
}

#[test]
fn a_logged_stop_is_the_next_starts_alone() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    for n in [3, 2, 1] {
        world.stop(n);
    }
    world.check(&["1 2 3 epoch 1 lost 1 known 1 unavailable"]);
    let third = third_start(&world, 1);
    world.ok(Command::Register(third));
    world.check(&["1 2 3 epoch 1 lost 1 known 1 unproven 1 unavailable"]);
}

#[test]
fn a_start_without_a_session_passes_a_stop_on() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let session = world.session(1);
    for n in [3, 2, 1] {
        world.stop(n);
    }
    let start = Generation(2);
    let third = Registration {
        stopped: Some(StopMark { session, start }),
        ..third_start(&world, 1)
    };
    world.ok(Command::Register(third));
    world.check(&["1 2 3 epoch 2 held 1 sync 1 degraded"]);
}
