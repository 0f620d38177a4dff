//! Each rule keeps quiet on what is sound and fires on what is not.

use std::collections::BTreeMap;

use ck_control::{
    ClusterId, Command, Config, Entry, FencingToken, Founder, Generation, Genesis, Incarnation,
    MemberNumber, Nonce, Position, Proposal, Registration, State, StoreId, TransferCommand,
    TransferId,
};
use ck_core::{Epoch, NodeId, PartitionId, Table};
use serde_json::{Value, json};

use super::*;

fn node(number: u64) -> NodeId {
    NodeId::new(&format!("node-{number}")).unwrap()
}

fn registration(number: u64) -> Registration {
    Registration {
        node: node(number),
        display_name: String::new(),
        store: StoreId(number.into()),
        generation: Generation(1),
        member: None,
        previous: None,
        homes: Vec::new(),
        process: ck_control::Nonce(number),
        durable: true,
        stopped: None,
        served: false,
        peer_address: format!("node-{number}:1"),
        http_address: String::new(),
        weight: 1,
        domain: None,
        services: BTreeMap::new(),
        labels: BTreeMap::new(),
        command_version: 1,
    }
}

fn entry(position: u64, command: Command) -> Entry {
    Entry {
        position: Position(position),
        term: 1,
        proposal: Proposal::new(0, String::new(), command),
    }
}

/// Three nodes, two partitions, all in sync.
fn sound() -> State {
    let config = Config {
        partitions: 2,
        ..Config::default()
    };
    let founder = Founder {
        node: node(1),
        store: StoreId(1),
    };
    let genesis = Genesis {
        cluster: ClusterId(1),
        name: "test".to_string(),
        incarnation: Incarnation(1),
        config,
        founder,
    };
    let office = Command::Office {
        member: MemberNumber(1),
        nonce: Nonce(1),
        term: 1,
    };
    let nodes = (1..=3).map(node).collect();
    let table = Table::from_rows(nodes, 3, [[0, 1, 2], [1, 2, 0]]).unwrap();
    let mut commands = vec![Command::Genesis(genesis), office];
    commands.extend((1..=3).map(|number| Command::Register(registration(number))));
    commands.push(Command::CreatePartitions {
        table,
        strategy: None,
    });
    let mut state = State::default();
    for (at, command) in commands.into_iter().enumerate() {
        state
            .apply(&entry(at as u64 + 1, command))
            .unwrap()
            .unwrap();
    }
    state
}

fn spoilt(state: &State, spoil: impl FnOnce(&mut Value)) -> State {
    let mut value = serde_json::to_value(state).unwrap();
    spoil(&mut value);
    serde_json::from_value(value).unwrap()
}

fn harmless() -> Command {
    Command::DeleteCustom {
        key: "none".to_string(),
        expected: None,
    }
}

fn step(
    rule: &mut dyn Invariant,
    before: &State,
    after: &State,
    command: Command,
) -> Option<String> {
    let entry = entry(after.applied().0, command);
    let seen = Observation::Committed {
        before,
        after,
        entry: &entry,
        accepted: true,
    };
    rule.observe(0, &seen).err()
}

fn token(epoch: u64) -> FencingToken {
    FencingToken {
        incarnation: Incarnation(1),
        partition: PartitionId(0),
        epoch: Epoch(epoch),
    }
}

#[test]
fn i1_fires_on_a_second_grant_of_an_epoch() {
    let (mut rule, state) = (OneGrant::default(), sound());
    assert_eq!(step(&mut rule, &State::default(), &state, harmless()), None);
    assert_eq!(step(&mut rule, &state, &state, harmless()), None);
    let again = spoilt(&state, |value| {
        let other = value["partitions"][1]["holder"].clone();
        value["partitions"][0]["holder"] = other;
    });
    assert!(step(&mut rule, &state, &again, harmless()).is_some());
}

#[test]
fn i1_fires_on_a_regrant_to_the_same_session_under_the_same_epoch() {
    let (mut rule, state) = (OneGrant::default(), sound());
    assert_eq!(step(&mut rule, &State::default(), &state, harmless()), None);
    let again = spoilt(&state, |value| {
        value["partitions"][0]["granted_at"] = json!(99);
    });
    assert!(step(&mut rule, &state, &again, harmless()).is_some());
}

#[test]
fn i2_fires_on_an_epoch_or_a_version_that_falls() {
    let (mut rule, state) = (Growth::default(), sound());
    assert_eq!(step(&mut rule, &State::default(), &state, harmless()), None);
    let lower = spoilt(&state, |value| value["partitions"][0]["epoch"] = json!(0));
    assert!(step(&mut rule, &state, &lower, harmless()).is_some());
    let older = spoilt(&state, |value| value["version"] = json!(1));
    assert!(step(&mut rule, &state, &older, harmless()).is_some());
}

#[test]
fn i2_fires_on_a_node_that_goes_back_or_leaves_the_line() {
    let (mut rule, state) = (Growth::default(), sound());
    assert_eq!(step(&mut rule, &State::default(), &state, harmless()), None);
    let place = 0;
    let mut see = |state: &State| rule.observe(0, &Observation::Seen { place, state }).err();
    assert_eq!(see(&state), None);
    assert!(see(&State::default()).is_some());
    let forgot = spoilt(&state, |value| value["partitions"][0]["epoch"] = json!(0));
    assert!(see(&forgot).is_some());
    rule.observe(0, &Observation::Restarted { place }).unwrap();
    let state = &State::default();
    assert_eq!(rule.observe(0, &Observation::Seen { place, state }), Ok(()));
}

#[test]
fn i3_fires_on_two_owners() {
    let owned = |owners: &[(usize, FencingToken)]| {
        let partition = PartitionId(0);
        NoOverlap.observe(0, &Observation::Owned { partition, owners })
    };
    assert_eq!(owned(&[(0, token(1))]), Ok(()));
    assert!(owned(&[(0, token(1)), (1, token(2))]).is_err());
}

#[test]
fn i4_fires_on_a_write_after_the_acknowledgement() {
    let mut rule = NothingAfterRelease::default();
    let (partition, epoch) = (PartitionId(0), Epoch(3));
    rule.observe(0, &Observation::Released { partition, epoch })
        .unwrap();
    let mut admit = |epoch| {
        let token = token(epoch);
        rule.observe(1, &Observation::Admitted { place: 0, token })
    };
    assert_eq!(admit(4), Ok(()));
    assert!(admit(3).is_err());
}

#[test]
fn i5_fires_on_a_resource_that_accepts_an_older_epoch() {
    let mut rule = ResourceEpochs::default();
    let mut accept = |epoch| {
        let token = token(epoch);
        rule.observe(0, &Observation::Accepted { token })
    };
    assert_eq!(accept(2), Ok(()));
    assert_eq!(accept(2), Ok(()));
    assert!(accept(1).is_err());
}

fn planned(step: TransferCommand) -> Command {
    Command::Transfer { office: None, step }
}

#[test]
fn i6_fires_when_planned_work_takes_a_copy_too_many() {
    let state = sound();
    let trim = || {
        planned(TransferCommand::Trim {
            partition: PartitionId(0),
            member: MemberNumber(3),
        })
    };
    let to = |members: Value| spoilt(&state, |value| value["partitions"][0]["in_sync"] = members);
    assert_eq!(
        step(&mut InSyncKept, &state, &to(json!([1, 2])), trim()),
        None
    );
    assert!(step(&mut InSyncKept, &state, &to(json!([1])), trim()).is_some());
    // The primary itself may shrink as far as it has to.
    assert_eq!(
        step(&mut InSyncKept, &state, &to(json!([1])), harmless()),
        None
    );
}

/// The sound state with a move of partition 0 that asks node-2 to take the role.
fn moving(stage: &str) -> State {
    spoilt(&sound(), |value| {
        value["transfers"] = json!({"9": {
            "id": 9, "partition": 0, "stage": stage,
            "source": {"member": 1, "session": 3}, "target": {"member": 2, "session": 4},
            "handoff": true, "leaving": null, "switch": 10, "revoked": null, "force": false,
            "in_sync_before": 3, "reason": "manual", "done": 0, "total": 0, "attempt": 1,
            "paused": false, "since": 10, "opened_at_ms": 0, "stage_at_ms": 0,
        }});
        value["partitions"][0]["transfer"] = json!(9);
    })
}

#[test]
fn i7_fires_on_a_move_that_does_not_end_after_everything_healed() {
    let (mut rule, state) = (Deadlines::default(), moving("release"));
    assert_eq!(step(&mut rule, &sound(), &state, harmless()), None);
    let hour = 3_600 * crate::clock::SECOND;
    assert_eq!(rule.observe(hour, &Observation::Passed), Ok(()));
    rule.observe(hour, &Observation::Healed).unwrap();
    assert_eq!(rule.observe(hour + 1, &Observation::Passed), Ok(()));
    assert!(rule.observe(2 * hour, &Observation::Passed).is_err());
    assert_eq!(step(&mut rule, &state, &sound(), harmless()), None);
    assert_eq!(rule.observe(3 * hour, &Observation::Passed), Ok(()));
}

#[test]
fn i8_fires_on_an_abort_that_moves_or_does_not_grant_anew() {
    let (state, open) = (sound(), moving("release"));
    let transfer = TransferId(9);
    let abort = |spoil: &dyn Fn(&mut Value)| {
        let mut rule = AbortKeeps::default();
        let opens = planned(TransferCommand::OpenSwitch { transfer });
        assert_eq!(step(&mut rule, &state, &open, opens), None);
        let after = spoilt(&state, spoil);
        let command = planned(TransferCommand::Abort { transfer });
        step(&mut rule, &open, &after, command)
    };
    let raised = |value: &mut Value| value["partitions"][0]["epoch"] = json!(2);
    assert_eq!(abort(&raised), None);
    assert!(abort(&|_| {}).is_some(), "the epoch was not raised");
    let moved = |value: &mut Value| {
        value["partitions"][0]["epoch"] = json!(2);
        let table = Table::from_rows((1..=3).map(node).collect(), 3, [[1, 0, 2], [1, 2, 0]]);
        value["table"] = serde_json::to_value(table.unwrap()).unwrap();
    };
    assert!(abort(&moved).is_some(), "the row was left changed");
}

#[test]
fn i9_fires_on_a_change_without_a_version() {
    let state = sound();
    assert_eq!(step(&mut NotModified, &state, &state, harmless()), None);
    let other = spoilt(&state, |value| {
        value["partitions"][0]["in_sync"] = json!([1, 2]);
    });
    assert!(step(&mut NotModified, &state, &other, harmless()).is_some());
    let newer = spoilt(&other, |value| value["version"] = json!(99));
    assert_eq!(step(&mut NotModified, &state, &newer, harmless()), None);
}

#[test]
fn g6_fires_on_an_owner_that_lacks_acknowledged_writes() {
    let serve = |missing| {
        let token = token(1);
        NoLoss.observe(0, &Observation::Serving { token, missing })
    };
    assert_eq!(serve(0), Ok(()));
    assert!(serve(1).is_err());
}

#[test]
fn a_violation_names_the_rule_and_the_time() {
    let mut rules = Invariants::default();
    let owners = [(0, token(1)), (1, token(1))];
    let (partition, owners) = (PartitionId(0), &owners[..]);
    let seen = Observation::Owned { partition, owners };
    let violation = rules.observe(5_000_000, &seen).unwrap_err();
    assert!(
        violation.to_string().starts_with("I3 no overlap at 5 ms: "),
        "{violation}"
    );
}
