use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::world::{World, config, genesis, node, registration};
use crate::state::{
    COMMAND_VERSION, Command, EventKind, Halt, Proposal, Rejection, Snapshot, State,
};
use crate::{
    Config, ConfigChange, ConfigError, Incarnation, MemberNumber, Nonce, OfficeId, Position,
    SessionId,
};

#[test]
fn nothing_happens_before_genesis() {
    let mut world = World::empty();
    let stop = Command::Stop {
        member: MemberNumber(1),
        session: SessionId(1),
    };
    assert_eq!(world.refused(stop), Rejection::NotFormed);
    let office = Command::Office {
        member: MemberNumber(1),
        nonce: Nonce(1),
        term: 1,
    };
    assert_eq!(world.refused(office), Rejection::NotFormed);
    assert_eq!(
        world.refused(Command::Register(registration(1))),
        Rejection::NotFormed
    );
    assert_eq!(world.state.applied(), Position(3));
    assert!(world.state.formed().is_none());
}

#[test]
fn genesis_forms_the_cluster_once() {
    let mut world = World::empty();
    let events = world.ok(genesis(config(8, 3)));
    assert_eq!(
        events,
        [EventKind::Formed {
            name: "test".to_string()
        }]
    );
    assert_eq!(world.state.incarnation(), Incarnation(1));
    assert_eq!(world.state.config().partitions, 8);
    assert_eq!(world.version().0, 1);
    let again = world.refused(genesis(config(8, 3)));
    assert_eq!(
        again,
        Rejection::AlreadyFormed {
            name: "test".to_string()
        }
    );
}

#[test]
fn a_wrong_genesis_is_refused() {
    let mut world = World::empty();
    let wrong = world.refused(genesis(config(0, 3)));
    assert!(
        matches!(wrong, Rejection::Config(ConfigError::Range { .. })),
        "{wrong}"
    );
    let Command::Genesis(mut first) = genesis(Config::default()) else {
        unreachable!()
    };
    first.incarnation = Incarnation(0);
    assert!(matches!(
        world.refused(Command::Genesis(first.clone())),
        Rejection::Range { .. }
    ));
    first.incarnation = Incarnation(1);
    first.name = "x".repeat(129);
    assert!(matches!(
        world.refused(Command::Genesis(first)),
        Rejection::Length { got: 129, .. }
    ));
}

#[test]
fn an_office_counts_only_in_its_own_term() {
    let mut world = World::of(1, config(4, 1));
    world.term = 3;
    let late = Command::Office {
        member: MemberNumber(1),
        nonce: Nonce(2),
        term: 2,
    };
    assert_eq!(
        world.refused(late),
        Rejection::OfficeTerm { got: 2, log: 3 }
    );
    let version = world.version();
    world.ok(Command::Office {
        member: MemberNumber(1),
        nonce: Nonce(2),
        term: 3,
    });
    let office = *world.state.office().unwrap();
    assert_eq!((office.id, office.term), (OfficeId(world.position), 3));
    assert_eq!(
        world.version(),
        version,
        "who leads is no part of what is published"
    );
}

#[test]
fn an_office_is_a_members_or_the_founders() {
    let mut world = World::empty();
    world.ok(genesis(config(4, 1)));
    let office = |member| Command::Office {
        member: MemberNumber(member),
        nonce: Nonce(1),
        term: 1,
    };
    let unknown = Rejection::MemberUnknown {
        member: MemberNumber(2),
    };
    assert_eq!(world.refused(office(2)), unknown);
    world.ok(office(1));
    world.ok(Command::Register(registration(1)));
    world.ok(Command::Register(registration(2)));
    world.ok(office(2));
    world.remove(1);
    assert_eq!(
        world.refused(office(1)),
        Rejection::MemberRemoved {
            member: MemberNumber(1)
        }
    );
}

#[test]
fn an_unknown_command_version_halts_and_changes_nothing() {
    let mut world = World::of(1, config(4, 1));
    let before = world.state.clone();
    let mut entry = world.entry(Command::Close { node: node(1) });
    entry.proposal.version = COMMAND_VERSION + 1;
    let halt = world.state.apply(&entry).unwrap_err();
    let position = entry.position;
    assert_eq!(
        halt,
        Halt::UnknownVersion {
            position,
            got: COMMAND_VERSION + 1,
            known: COMMAND_VERSION
        }
    );
    assert_eq!(world.state, before);
}

#[test]
fn an_unknown_command_version_is_not_even_read() {
    let proposal = Proposal::new(0, "operator".to_string(), Command::Close { node: node(1) });
    let settings = bincode::config::standard();
    let mut bytes = bincode::serde::encode_to_vec(&proposal, settings).unwrap();
    assert_eq!(bytes[0], 1, "the version comes first");
    let read = |bytes: &[u8]| {
        bincode::serde::decode_from_slice::<Proposal, _>(bytes, settings).map(|(value, _)| value)
    };
    assert_eq!(read(&bytes).unwrap(), proposal);
    bytes[0] = 3;
    bytes.truncate(1);
    let refused = format!("{:?}", read(&bytes).unwrap_err());
    assert!(refused.contains("command version 3"), "{refused}");
}

#[test]
fn command_version_zero_is_refused() {
    let mut world = World::of(1, config(4, 1));
    let mut entry = world.entry(Command::Close { node: node(1) });
    entry.proposal.version = 0;
    let refused = world.state.apply(&entry).unwrap();
    assert_eq!(refused, Err(Rejection::CommandVersion { got: 0 }));
}

#[test]
fn an_entry_is_not_applied_twice() {
    let mut world = World::of(1, config(4, 1));
    let entry = world.entry(Command::Register(registration(2)));
    world.state.apply(&entry).unwrap().unwrap();
    let applied = entry.position;
    let halt = world.state.apply(&entry).unwrap_err();
    assert_eq!(
        halt,
        Halt::Repeated {
            position: applied,
            applied
        }
    );
}

#[test]
fn an_actor_is_bounded() {
    let mut world = World::of(1, config(4, 1));
    let mut entry = world.entry(Command::Register(registration(2)));
    entry.proposal.actor = "x".repeat(257);
    let refused = world.state.apply(&entry).unwrap().unwrap_err();
    assert!(matches!(
        refused,
        Rejection::Length {
            got: 257,
            max: 256,
            ..
        }
    ));
}

#[test]
fn a_configuration_change_is_told_by_field() {
    let mut world = World::of(1, config(4, 3));
    let planned = world.state.placement_version();
    let change = ConfigChange {
        rejoin_grace_ms: Some(5),
        ..ConfigChange::default()
    };
    let events = world.ok(Command::Configure {
        change: change.clone(),
    });
    assert_eq!(
        events,
        [EventKind::ConfigChanged {
            fields: vec!["rejoin_grace_ms".to_string()]
        }]
    );
    assert_eq!(world.state.config().rejoin_grace_ms, 5);
    assert_eq!(
        world.state.placement_version(),
        planned,
        "no plan depends on the grace"
    );
    let version = world.version();
    assert_eq!(world.ok(Command::Configure { change }), []);
    assert_eq!(
        world.version(),
        version,
        "the same value again changes nothing"
    );
    let change = ConfigChange {
        spread: Some(2),
        ..ConfigChange::default()
    };
    world.ok(Command::Configure { change });
    assert_eq!(world.state.placement_version(), world.version());
}

#[test]
fn a_wrong_configuration_change_is_refused() {
    let mut world = World::of(1, config(4, 3));
    let change = ConfigChange {
        spread: Some(9),
        ..ConfigChange::default()
    };
    let refused = world.refused(Command::Configure { change });
    assert_eq!(
        refused.to_string(),
        "configuration refused: spread 9 exceeds replication_factor 3; lower the one or raise the \
         other"
    );
    let change = ConfigChange::default();
    let refused = world.refused(Command::Configure { change });
    assert_eq!(refused, Rejection::Config(ConfigError::NoField));
}

#[test]
fn history_keeps_the_newest_accepted_commands() {
    let mut world = World::of(
        1,
        Config {
            history_max: 3,
            ..config(4, 3)
        },
    );
    world.refused(Command::Register(registration(1)));
    for n in 2..=4 {
        world.ok(Command::Register(registration(n)));
    }
    let kept: alloc::vec::Vec<_> = world.state.history().collect();
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[2].summary, "node-4 joined as member 4");
    assert_eq!((&*kept[2].kind, &*kept[2].actor), ("register", "operator"));
    let change = ConfigChange {
        history_max: Some(1),
        ..ConfigChange::default()
    };
    world.ok(Command::Configure { change });
    assert_eq!(world.state.history().len(), 1);
    let change = ConfigChange {
        history_max: Some(0),
        ..ConfigChange::default()
    };
    world.ok(Command::Configure { change });
    assert_eq!(world.state.history().len(), 0);
}

#[test]
fn the_default_state_is_valid_and_unformed() {
    let state = State::default();
    assert_eq!(state.check_invariants(), Ok(()));
    assert_eq!(Snapshot::of(&state).into_state(), Ok(state));
}
