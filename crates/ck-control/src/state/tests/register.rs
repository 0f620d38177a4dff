use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::world::{World, config, genesis, node, registration};
use crate::state::{Command, EventKind, Registration, Rejection};
use crate::{Config, MemberNumber, SessionId, StoreId};

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
