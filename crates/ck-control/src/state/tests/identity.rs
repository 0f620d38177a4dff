//! Who a registration is of, and when it takes an open session's place.

use alloc::string::ToString;
use alloc::vec::Vec;

use ck_core::NodeState;

use super::world::{World, config, node, registration};
use crate::state::{Command, EventKind, HOMES_MAX, MemberChange, Registration, Rejection};
use crate::{Generation, Home, MemberNumber, Nonce, SessionId, StoreId};

#[test]
fn a_newcomer_has_no_previous_session() {
    let refused = World::of(3, config(4, 3)).refused(Command::Register(Registration {
        previous: Some(SessionId(3)),
        ..registration(4)
    }));
    let (got, newest) = (Some(SessionId(3)), None);
    assert_eq!(
        refused,
        Rejection::PreviousSession {
            node: node(4),
            got,
            newest
        }
    );
}

#[test]
fn a_registration_compares_the_newest_session_and_sets() {
    let mut world = World::of(2, config(4, 3));
    let newest = Some(world.session(2));
    let stale = Registration {
        previous: None,
        ..world.restart(2)
    };
    let refused = world.refused(Command::Register(stale));
    assert_eq!(
        refused,
        Rejection::PreviousSession {
            node: node(2),
            got: None,
            newest
        }
    );
    assert!(refused.is_retryable());
    let twice = world.restart(2);
    world.ok(Command::Register(twice.clone()));
    let again = world.refused(Command::Register(twice));
    assert!(
        matches!(again, Rejection::PreviousSession { .. }),
        "the first one won"
    );
}

#[test]
fn a_restart_that_lost_its_number_is_known_by_its_store() {
    let mut world = World::of(2, config(4, 3));
    let restart = Registration {
        member: None,
        ..world.restart(2)
    };
    world.ok(Command::Register(restart));
    assert_eq!(
        world.state.member_by_node("node-2").unwrap().number,
        MemberNumber(2)
    );
}

#[test]
fn an_open_session_ends_only_by_proof_that_its_process_is_dead() {
    let mut world = World::of(2, config(4, 3));
    let session = world.session(2);
    let open = Rejection::SessionOpen {
        node: node(2),
        session,
    };
    let proof = world.restart(2);
    let unlocked = Registration {
        homes: Vec::new(),
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(unlocked)), open);
    let copied = Registration {
        homes: Vec::from([(Home(2), Generation(1)), (Home(99), Generation(2))]),
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(copied)), open);
    let served = Registration {
        served: true,
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(served)), open);
    let itself = Registration {
        generation: Generation(1),
        process: registration(2).process,
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(itself)), open);
    assert!(open.is_retryable());
    world.ok(Command::Register(proof));
    assert!(world.state.session(session).is_none());
}

#[test]
fn two_homes_of_one_store_prove_nothing_of_each_other() {
    let mut world = World::of(2, config(4, 3));
    world.expire(&[2]);
    let copy = Registration {
        homes: Vec::from([(Home(2), Generation(1)), (Home(99), Generation(2))]),
        ..world.restart(2)
    };
    world.ok(Command::Register(copy));
    let session = world.session(2);
    // The original holds its own lock, and has started more often than the copy; but what it has
    // is not what the copy has been told since.
    let original = Registration {
        generation: Generation(9),
        homes: Vec::from([(Home(2), Generation(9))]),
        ..world.restart(2)
    };
    let old = |known| Rejection::StoreOld {
        node: node(2),
        known: Generation(known),
    };
    let refused = world.refused(Command::Register(original.clone()));
    assert_eq!(refused, old(2));
    assert!(!refused.is_retryable());
    // Nor does it come in once the copy has ended.
    world.stop(2);
    let original = Registration {
        previous: Some(session),
        ..original
    };
    assert_eq!(world.refused(Command::Register(original)), old(2));
    assert!(
        refused.to_string().contains("`ck remove node-2`"),
        "{refused}"
    );
}

#[test]
fn a_store_put_back_in_its_home_to_before_the_newest_start_is_refused() {
    let old = Rejection::StoreOld {
        node: node(1),
        known: Generation(2),
    };
    // With its session open, ended by itself, and stopped cleanly.
    let ends: [fn(&mut World); 3] = [
        |_| {},
        |world| drop(world.expire(&[1])),
        |world| drop(world.stop(1)),
    ];
    for end in ends {
        let mut world = World::of(2, config(4, 3));
        let put_back = Registration {
            process: Nonce(77),
            durable: true,
            ..world.restart(1)
        };
        world.come_back(1, true);
        end(&mut world);
        let member = world.state.member_by_node("node-1").unwrap();
        let put_back = Registration {
            previous: member.last_session,
            ..put_back
        };
        // Home and number of the start are those of the member.
        assert_eq!(put_back.home(), member.home);
        assert_eq!(put_back.generation, member.generation);
        let nowhere = Registration {
            homes: Vec::new(),
            ..put_back.clone()
        };
        for put_back in [put_back, nowhere] {
            let refused = world.refused(Command::Register(put_back));
            assert_eq!(refused, old);
            assert!(!refused.is_retryable());
        }
    }
}

#[test]
fn a_store_that_was_moved_or_booted_anew_comes_back_once_its_old_session_is_over() {
    let mut world = World::of(2, config(4, 3));
    let session = world.session(2);
    let moved = Registration {
        homes: Vec::from([(Home(2), Generation(1)), (Home(98), Generation(2))]),
        ..world.restart(2)
    };
    let open = Rejection::SessionOpen {
        node: node(2),
        session,
    };
    assert_eq!(world.refused(Command::Register(moved.clone())), open);
    world.expire(&[2]);
    world.ok(Command::Register(moved));
}

#[test]
fn where_the_system_tells_no_home_nothing_proves_a_process_dead() {
    let mut world = World::of(2, config(4, 3));
    world.stop(2);
    let nowhere = |world: &World| Registration {
        homes: Vec::new(),
        ..world.restart(2)
    };
    let first = nowhere(&world);
    world.ok(Command::Register(first));
    let second = nowhere(&world);
    let refused = world.refused(Command::Register(second.clone()));
    assert!(
        matches!(refused, Rejection::SessionOpen { .. }),
        "{refused}"
    );
    world.expire(&[2]);
    world.ok(Command::Register(second));
}

#[test]
fn homes_are_bounded() {
    let mut world = World::of(2, config(4, 3));
    world.stop(2);
    let many = Registration {
        homes: (0..=HOMES_MAX as u64)
            .map(|home| (Home(home), Generation(1)))
            .collect(),
        ..world.restart(2)
    };
    let refused = world.refused(Command::Register(many));
    assert!(refused.to_string().starts_with("homes: 33"), "{refused}");
}

#[test]
fn an_older_generation_is_refused() {
    let mut world = World::of(2, config(4, 3));
    world.come_back(2, true);
    world.stop(2);
    let old = Registration {
        generation: Generation(1),
        ..world.restart(2)
    };
    let (got, known) = (Generation(1), Generation(2));
    let refused = world.refused(Command::Register(old));
    assert_eq!(
        refused,
        Rejection::Generation {
            node: node(2),
            got,
            known
        }
    );
}

#[test]
fn a_fenced_process_registers_anew_at_the_same_generation() {
    let mut world = World::of(2, config(4, 3));
    world.expire(&[2]);
    let same = Registration {
        generation: Generation(1),
        process: registration(2).process,
        homes: registration(2).homes,
        ..world.restart(2)
    };
    world.ok(Command::Register(same));
    assert!(world.state.open_session_of("node-2").is_some());
}

#[test]
fn a_removed_node_is_refused_under_its_number_and_joins_under_a_new_one() {
    let mut world = World::of(3, config(4, 3));
    world.remove(3);
    let ghost = Registration {
        member: Some(MemberNumber(3)),
        ..registration(3)
    };
    let refused = world.refused(Command::Register(ghost));
    assert_eq!(
        refused,
        Rejection::MemberRemoved {
            member: MemberNumber(3)
        }
    );
    world.ok(Command::Register(Registration {
        store: StoreId(99),
        ..registration(3)
    }));
    assert_eq!(
        world.state.member_by_node("node-3").unwrap().number,
        MemberNumber(4)
    );
}

#[test]
fn a_removed_founder_comes_back_as_any_other() {
    let mut world = World::of(2, config(4, 3));
    world.remove(1);
    assert!(world.state.is_removed(MemberNumber(1)));
    let events = world.ok(Command::Register(Registration {
        store: StoreId(9),
        ..registration(1)
    }));
    let (member, cluster_size, founder) = (MemberNumber(3), 2, false);
    assert_eq!(
        events[0],
        EventKind::Joined {
            node: node(1),
            member,
            cluster_size,
            founder
        }
    );
}

#[test]
fn a_node_being_removed_does_not_come_back() {
    let mut world = World::of(2, config(4, 3));
    world.ok(Command::Close { node: node(2) });
    let back = world.restart(2);
    let refused = world.refused(Command::Register(back));
    assert_eq!(refused, Rejection::Closing { node: node(2) });
}

#[test]
fn a_return_keeps_the_state_an_operator_set_and_takes_new_addresses() {
    let mut world = World::of(2, config(4, 3));
    let change = MemberChange {
        state: Some(NodeState::Cordoned),
        ..MemberChange::default()
    };
    world.ok(Command::Update {
        node: node(2),
        change,
    });
    let moved = Registration {
        peer_address: "10.0.0.2:1".to_string(),
        ..world.restart(2)
    };
    world.ok(Command::Register(moved));
    let member = world.state.member_by_node("node-2").unwrap();
    assert_eq!(member.state, NodeState::Cordoned);
    assert_eq!(member.peer_address, "10.0.0.2:1");
    assert!(member.joined_at_ms < member.registered_at_ms);
}
