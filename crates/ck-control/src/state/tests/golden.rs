//! Commands are kept in the log and sent between builds: the bytes of a version never change.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use ck_core::{Domain, NodeState, Version};

use super::world::{config, genesis, node, registration, table};
use crate::state::{COMMAND_VERSION, Command, Entry, MemberChange, Proposal, Registration, State};
use crate::{ConfigChange, MemberNumber, Nonce, OfficeId, Position, SessionId};

fn change() -> MemberChange {
    MemberChange {
        display_name: Some("third".to_string()),
        weight: Some(2),
        domain: Some(None),
        services: Some(BTreeMap::new()),
        labels: Some(BTreeMap::from([("disk".to_string(), "ssd".to_string())])),
        state: Some(NodeState::Draining),
        peer_address: Some("10.0.0.3:1".to_string()),
        http_address: Some(String::new()),
    }
}

/// A log with every command in it that moves nothing, each of them accepted.
fn log() -> Vec<Entry> {
    let session = |position| SessionId(position);
    let office = OfficeId(2);
    let key = || "k".to_string();
    let commands = [
        genesis(config(2, 2)),
        Command::Office {
            member: MemberNumber(1),
            nonce: Nonce(u64::MAX),
            term: 1,
        },
        Command::Register(registration(1)),
        Command::Register(Registration {
            domain: Some(Domain::new("eu-1a/rack-3").unwrap()),
            ..registration(2)
        }),
        Command::Register(registration(3)),
        Command::CreatePartitions {
            table: table(&["1 2", "2 1"]),
            strategy: Some("balanced".to_string()),
        },
        Command::Update {
            node: node(3),
            change: change(),
        },
        Command::SetCustom {
            key: key(),
            value: vec![0, 128, 255],
            expected: Some(Version(0)),
        },
        Command::DeleteCustom {
            key: key(),
            expected: Some(Version(7)),
        },
        Command::Configure {
            change: ConfigChange {
                settle_ms: Some(1),
                voters: Some(5),
                ..ConfigChange::default()
            },
        },
        Command::Stop {
            member: MemberNumber(3),
            session: session(5),
        },
        Command::Expire {
            office,
            sessions: vec![session(4)],
        },
        Command::Close { node: node(2) },
        Command::Remove {
            node: node(2),
            office: Some(office),
        },
    ];
    let entry = |(at, command)| {
        let proposal = Proposal::new(1_800_000_000_000, "operator".to_string(), command);
        Entry {
            position: Position(at as u64 + 1),
            term: 1,
            proposal,
        }
    };
    commands.into_iter().enumerate().map(entry).collect()
}

/// The same log of members that understand version 2, each command in its newest version.
fn newest() -> Vec<Entry> {
    let mut state = State::default();
    let mut entries = log();
    for entry in &mut entries {
        if let Command::Register(registration) = &mut entry.proposal.command {
            registration.command_version = 2;
        }
        entry.proposal = entry.proposal.clone().for_members_of(&state);
        state.apply(entry).unwrap().unwrap();
    }
    entries
}

/// To make the file of a new version: `CK_GOLDEN=write cargo test -p ck-control golden`.
#[track_caller]
fn check(version: u16, entries: &[Entry]) {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let path = format!("{directory}/commands-{version}.bin");
    let settings = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(entries, settings).unwrap();
    let writes = std::env::var_os("CK_GOLDEN").is_some_and(|mode| mode == "write");
    if COMMAND_VERSION == version && writes {
        assert!(
            !std::fs::exists(&path).unwrap(),
            "{path} exists and is never changed"
        );
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    let (read, _) = bincode::serde::decode_from_slice::<Vec<Entry>, _>(&golden, settings).unwrap();
    assert_eq!(read, entries);
    assert_eq!(
        bytes, golden,
        "the bytes of command version {version} have changed"
    );
}

#[test]
fn the_golden_file_of_command_version_1_is_read_and_written_byte_for_byte() {
    check(1, &log());
}

#[test]
fn the_golden_file_of_command_version_2_is_read_and_written_byte_for_byte() {
    check(2, &newest());
}

#[test]
fn an_expiry_names_the_nodes_once_every_member_understands_that() {
    let said = |entries: &[Entry]| {
        let mut state = State::default();
        for entry in entries {
            state.apply(entry).unwrap().unwrap();
        }
        let expiry = state.history().find(|one| one.kind == "expire");
        (expiry.unwrap().summary.clone(), state)
    };
    let (old, state) = said(&log());
    assert_eq!(old, "1 sessions expired");
    let (new, newer) = said(&newest());
    assert_eq!(new, "1 session of node-2 expired: no renewal for 2.1 s");
    // But for what is said, and for which builds may join from then on, nothing differs.
    assert_eq!(state.table(), newer.table());
    assert_eq!(state.version(), newer.version());
    let versions = newest().into_iter().map(|entry| entry.proposal.version);
    assert_eq!(versions.filter(|version| *version == 2).count(), 1);
    // A member of an older build would halt.
    let mut state = State::default();
    for entry in log() {
        let proposal = entry.proposal.clone().for_members_of(&state);
        assert_eq!(proposal.version, 1, "{}", proposal.command.name());
        state.apply(&entry).unwrap().unwrap();
    }
}

#[test]
fn the_golden_commands_are_all_accepted() {
    let mut state = State::default();
    let mut names = Vec::new();
    for entry in log() {
        let command = &entry.proposal.command;
        state
            .apply(&entry)
            .unwrap()
            .unwrap_or_else(|why| panic!("{}: {why}", command.name()));
        state.check_invariants().unwrap();
        names.push(command.name());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 12, "every command is in it");
}
