//! The numbered format: what is written, what is read, what is refused.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ck_core::{Domain, NodeState, PartitionId};

use super::world::{World, config, node, registration, table};
use crate::state::{
    Brake, Command, InvariantError, MemberChange, Party, PastLease, Raise, Rebalance, Registration,
    SNAPSHOT_FORMAT, Snapshot, SnapshotError, Stage, State, Transfer, Trigger,
};
use crate::{Config, LeaseTerms, MemberNumber, Mode, Position, Profile, SwitchId, TransferId};

/// A state in which every part of the schema has something.
fn full() -> State {
    let mut world = World::of(
        4,
        Config {
            history_max: 8,
            ..config(3, 3)
        },
    );
    world.ok(Command::Register(Registration {
        domain: Some(Domain::new("eu-1a/rack-3").unwrap()),
        labels: BTreeMap::from([("disk".to_string(), "ssd".to_string())]),
        ..registration(5)
    }));
    let table = table(&["1 2 3", "2 3 5", "5 1 2"]);
    let strategy = Some("balanced".to_string());
    world.ok(Command::CreatePartitions { table, strategy });
    world.ok(Command::SetCustom {
        key: "k".to_string(),
        value: vec![0, 1, 255],
        expected: None,
    });
    let change = MemberChange {
        state: Some(NodeState::Cordoned),
        ..MemberChange::default()
    };
    world.ok(Command::Update {
        node: node(2),
        change,
    });
    world.stop(4);
    world.expire(&[1, 2, 3]);
    world.come_back(3, false);
    world.ok(Command::Close { node: node(2) });
    let mut state = world.state;
    begin_transfer(&mut state);
    begin_changes(&mut state);
    assert_eq!(state.check_invariants(), Ok(()));
    state
}

fn begin_transfer(state: &mut State) {
    let party = |member, session| Party {
        member: MemberNumber(member),
        session,
    };
    let target = party(5, state.open_session_of("node-5").unwrap().id);
    let source = party(3, state.open_session_of("node-3").unwrap().id);
    let id = TransferId(4);
    let transfer = Transfer {
        id,
        partition: PartitionId(2),
        stage: Stage::Release,
        source,
        target,
        handoff: true,
        leaving: Some(MemberNumber(1)),
        switch: Some(SwitchId(5)),
        revoked: None,
        force: false,
        in_sync_before: 3,
        reason: Trigger::Drain,
        done: 2,
        total: 3,
        attempt: 1,
        paused: true,
        since: Position(6),
        opened_at_ms: 7,
        stage_at_ms: 8,
    };
    Arc::make_mut(&mut state.transfers).insert(id, transfer);
    Arc::make_mut(&mut state.partitions)[2].transfer = Some(id);
}

fn begin_changes(state: &mut State) {
    state.rebalance = Some(Arc::new(Rebalance {
        since: Position(9),
        trigger: Trigger::Drain,
        actor: "operator".to_string(),
        base: state.version,
        target: state.table().unwrap().clone(),
        started_at_ms: 10,
        total: 3,
        done: 1,
        paused: true,
    }));
    state.brake = Some(Brake {
        since: Position(10),
        lost: 3,
        at_ms: 11,
    });
    state.past_lease = Some(PastLease {
        terms: LeaseTerms::of(Profile::Wan),
        since: Position(11),
    });
    state.config.mode = Mode::Leased;
    let waiting = state.sessions().map(|session| session.id).collect();
    state.raise = Some(Arc::new(Raise {
        mode: Mode::Fenced,
        since: Position(12),
        waiting,
    }));
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    bincode::serde::encode_to_vec(snapshot, bincode::config::standard()).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Snapshot, alloc::string::String> {
    let settings = bincode::config::standard().with_limit::<{ 1 << 20 }>();
    match bincode::serde::decode_from_slice::<Snapshot, _>(bytes, settings) {
        Ok((snapshot, read)) if read == bytes.len() => Ok(snapshot),
        Ok((_, read)) => Err(format!("{} bytes are left", bytes.len() - read)),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[test]
fn a_snapshot_reads_back_the_same() {
    let state = full();
    let bytes = encode(&Snapshot::of(&state));
    assert_eq!(decode(&bytes).unwrap().into_state(), Ok(state.clone()));
    let json = serde_json::to_string(&Snapshot::of(&state)).unwrap();
    let read: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(read.into_state(), Ok(state), "the text form holds the same");
}

/// Released formats are read for good: this file is never written again, only ones beside it.
///
/// To make the file of a new format: `CK_GOLDEN=write cargo test -p ck-control golden`.
#[test]
fn the_golden_file_of_format_1_is_read_and_written_byte_for_byte() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/snapshot-1.bin");
    let bytes = encode(&Snapshot::of(&full()));
    if SNAPSHOT_FORMAT == 1 && std::env::var_os("CK_GOLDEN").is_some_and(|mode| mode == "write") {
        assert!(
            !std::fs::exists(path).unwrap(),
            "{path} exists and is never changed"
        );
        std::fs::write(path, &bytes).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert_eq!(decode(&golden).unwrap().into_state(), Ok(full()));
    assert_eq!(
        bytes, golden,
        "the bytes of format {SNAPSHOT_FORMAT} have changed"
    );
}

#[test]
fn a_newer_format_is_refused_before_its_body_is_read() {
    let mut bytes = encode(&Snapshot::of(&full()));
    assert_eq!(bytes[0], 1, "the format comes first");
    bytes[0] = 2;
    bytes.truncate(1);
    let refused = decode(&bytes).unwrap_err();
    assert!(
        refused.contains("snapshot format 2 is newer than 1"),
        "{refused}"
    );
    assert_eq!(SnapshotError::check_format(1), Ok(()));
    assert_eq!(
        SnapshotError::check_format(0),
        Err(SnapshotError::Unknown { got: 0 })
    );
    assert_eq!(
        SnapshotError::check_format(9),
        Err(SnapshotError::Newer { got: 9, known: 1 })
    );
}

#[test]
fn a_snapshot_of_an_impossible_state_is_refused() {
    let mut state = full();
    state.custom_bytes = 0;
    let refused = decode(&encode(&Snapshot::of(&state))).unwrap().into_state();
    let counted = InvariantError::CustomBytes {
        counted: 0,
        actual: 4,
    };
    assert_eq!(refused, Err(SnapshotError::Invalid(counted)));
}

#[test]
fn a_member_twice_is_refused() {
    let mut json = serde_json::to_value(Snapshot::of(&full())).unwrap();
    let members = json["state"]["members"].as_array_mut().unwrap();
    let first = members[0].clone();
    members.push(first);
    let refused = serde_json::from_value::<Snapshot>(json)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("appears twice"), "{refused}");
}

#[test]
fn truncated_or_changed_bytes_never_panic() {
    let bytes = encode(&Snapshot::of(&full()));
    for end in 0..bytes.len() {
        assert!(
            decode(&bytes[..end]).is_err(),
            "{end} of {} bytes",
            bytes.len()
        );
    }
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            drop(decode(&bytes).map(Snapshot::into_state));
        }
    }
}

#[test]
fn a_clone_shares_and_changes_alone() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let before = world.state.clone();
    assert!(Arc::ptr_eq(
        before.table().unwrap(),
        world.state.table().unwrap()
    ));
    world.expire(&[1]);
    assert_eq!(before.partition(PartitionId(0)).unwrap().epoch.0, 1);
    assert_eq!(world.state.partition(PartitionId(0)).unwrap().epoch.0, 2);
}
