use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::world::{World, config, genesis, node, registration};
use crate::state::{Command, EventKind, Registration, Rejection};
use crate::{Config, Generation, MemberNumber, SessionId, StoreId};

fn refusal(spoil: impl FnOnce(&mut Registration)) -> Rejection {
    let mut world = World::of(3, config(4, 3));
    let mut newcomer = registration(4);
    spoil(&mut newcomer);
    world.refused(Command::Register(newcomer))
}

#[test]
fn the_founder_is_member_one_whoever_comes_first() {
    let mut world = World::empty();
    world.ok(genesis(config(4, 3)));
    let events = world.ok(Command::Register(registration(5)));
    let session = SessionId(world.position);
    assert_eq!(
        events,
        [
            EventKind::Joined {
                node: node(5),
                member: MemberNumber(2),
                cluster_size: 1,
                founder: false
            },
            EventKind::SessionOpened {
                node: node(5),
                member: MemberNumber(2),
                session,
                granted: 0
            },
        ]
    );
    let events = world.ok(Command::Register(registration(1)));
    let (member, cluster_size, founder) = (MemberNumber(1), 2, true);
    assert_eq!(
        events[0],
        EventKind::Joined {
            node: node(1),
            member,
            cluster_size,
            founder
        }
    );
    world.ok(Command::Register(registration(2)));
    assert_eq!(
        world.state.member_by_node("node-2").unwrap().number,
        MemberNumber(3)
    );
}

#[test]
fn the_founders_name_is_kept_for_its_store() {
    let mut world = World::empty();
    world.ok(genesis(config(4, 3)));
    let other = Registration {
        store: StoreId(99),
        ..registration(1)
    };
    let refused = world.refused(Command::Register(other));
    assert_eq!(
        refused,
        Rejection::NodeInUse {
            node: node(1),
            member: MemberNumber(1)
        }
    );
}

#[test]
fn what_a_node_says_of_itself_is_kept() {
    let world = World::of(3, config(4, 3));
    let member = world.state.member_by_node("node-3").unwrap();
    assert_eq!(member.number, MemberNumber(3));
    assert_eq!(member.http_address, "127.0.0.1:8003");
    assert_eq!(member.services["kv"], "127.0.0.1:9003");
    assert_eq!(member.session, member.last_session);
    assert_eq!(member.joined_at_ms, world.position * 1_000);
    let session = world.state.open_session_of("node-3").unwrap();
    assert_eq!(
        (session.id.0, session.floor.0),
        (world.position, world.position)
    );
    assert_eq!(world.state.topology().nodes().len(), 3);
}

#[test]
fn another_store_under_a_known_name_is_refused_with_the_remedy() {
    let refused = refusal(|one| {
        *one = Registration {
            store: StoreId(99),
            ..registration(2)
        }
    });
    assert_eq!(
        refused,
        Rejection::NodeInUse {
            node: node(2),
            member: MemberNumber(2)
        }
    );
    assert!(
        refused.to_string().contains("`ck remove node-2`"),
        "{refused}"
    );
    assert!(!refused.is_retryable());
}

#[test]
fn a_copied_store_is_refused() {
    let refused = refusal(|one| one.store = StoreId(2));
    assert_eq!(
        refused,
        Rejection::StoreInUse {
            got: node(4),
            node: node(2)
        }
    );
}

#[test]
fn an_address_belongs_to_one_node() {
    for spoil in [
        (|one: &mut Registration| one.peer_address = "127.0.0.1:10002".to_string()) as fn(&mut _),
        |one| one.http_address = "127.0.0.1:8002".to_string(),
    ] {
        let refused = refusal(spoil);
        assert!(
            matches!(&refused, Rejection::AddressInUse { node: taken, .. } if *taken == node(2))
        );
    }
}

#[test]
fn nodes_without_a_surface_share_no_address() {
    let mut world = World::of(1, config(4, 3));
    for n in 2..=3 {
        let quiet = Registration {
            http_address: String::new(),
            ..registration(n)
        };
        world.ok(Command::Register(quiet));
    }
}

#[test]
fn oversized_fields_are_refused_by_name() {
    let many = |count: usize, bytes: usize| {
        (0..count)
            .map(|n| (format!("k{n}"), "v".repeat(bytes)))
            .collect::<BTreeMap<_, _>>()
    };
    let cases: [(&str, Rejection); 10] = [
        (
            "display_name",
            refusal(|one| one.display_name = "x".repeat(10 << 20)),
        ),
        (
            "peer_address",
            refusal(|one| one.peer_address = String::new()),
        ),
        (
            "peer_address",
            refusal(|one| one.peer_address = "x".repeat(257)),
        ),
        (
            "peer_address",
            refusal(|one| one.peer_address = "a b:1".to_string()),
        ),
        (
            "http_address",
            refusal(|one| one.http_address = "a\n:1".to_string()),
        ),
        ("weight", refusal(|one| one.weight = 0)),
        ("services", refusal(|one| one.services = many(65, 1))),
        ("services", refusal(|one| one.services = many(1, 1_025))),
        ("labels", refusal(|one| one.labels = many(60, 1_000))),
        (
            "labels",
            refusal(|one| one.labels = BTreeMap::from([(String::new(), String::new())])),
        ),
    ];
    for (field, refused) in cases {
        assert!(refused.to_string().starts_with(field), "{field}: {refused}");
        assert!(
            refused.to_string().len() < 300,
            "a refusal does not repeat what is oversized"
        );
    }
}

#[test]
fn a_node_too_old_for_the_log_is_refused() {
    let refused = refusal(|one| one.command_version = 0);
    assert_eq!(
        refused,
        Rejection::NodeTooOld {
            node: node(4),
            got: 0,
            needed: 1
        }
    );
}

#[test]
fn a_number_that_is_not_the_nodes_is_refused() {
    let unknown = refusal(|one| one.member = Some(MemberNumber(9)));
    assert_eq!(
        unknown,
        Rejection::MemberUnknown {
            member: MemberNumber(9)
        }
    );
    let zero = refusal(|one| one.member = Some(MemberNumber(0)));
    assert_eq!(
        zero,
        Rejection::MemberUnknown {
            member: MemberNumber(0)
        }
    );
    let other = refusal(|one| one.member = Some(MemberNumber(2)));
    let (member, got) = (MemberNumber(2), node(4));
    assert_eq!(
        other,
        Rejection::MemberIsOther {
            member,
            node: node(2),
            got
        }
    );
}

#[test]
fn members_are_bounded() {
    let mut world = World::of(
        2,
        Config {
            members_max: 2,
            ..config(4, 3)
        },
    );
    let refused = world.refused(Command::Register(registration(3)));
    assert_eq!(refused, Rejection::MembersFull { max: 2 });
    world.stop(2);
    world.come_back(2, true);
}

#[test]
fn a_newcomer_has_no_previous_session() {
    let refused = refusal(|one| one.previous = Some(SessionId(3)));
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
        holds_store: false,
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(unlocked)), open);
    let served = Registration {
        served: true,
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(served)), open);
    let itself = Registration {
        generation: Generation(1),
        ..proof.clone()
    };
    assert_eq!(world.refused(Command::Register(itself)), open);
    assert!(open.is_retryable());
    world.ok(Command::Register(proof));
    assert!(world.state.session(session).is_none());
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
    let change = crate::MemberChange {
        state: Some(ck_core::NodeState::Cordoned),
        ..crate::MemberChange::default()
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
    assert_eq!(member.state, ck_core::NodeState::Cordoned);
    assert_eq!(member.peer_address, "10.0.0.2:1");
    assert!(member.joined_at_ms < member.registered_at_ms);
}
