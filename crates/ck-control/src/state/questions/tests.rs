use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ck_core::{NodeState, PartitionId};

use crate::state::tests::world::{World, node, table};
use crate::state::{
    Command, MemberChange, Move, PartitionState, Party, RebalanceCommand, TransferCommand, Trigger,
};
use crate::{MemberNumber, StopHazard};

fn may_stop(world: &World, n: u64) -> Vec<String> {
    let answer = world.state.may_stop(node(n).as_str()).unwrap();
    assert_eq!(answer.is_allowed(), answer.blocking.is_empty());
    let told = answer.blocking.iter();
    told.map(|(partition, why)| format!("{} {why:?}", partition.0))
        .collect()
}

fn findings(world: &World, partition: u32) -> Vec<String> {
    let explained = world.state.explain(PartitionId(partition)).unwrap();
    explained.findings.iter().map(ToString::to_string).collect()
}

fn obstacles(world: &World, partition: u32, n: u64) -> Vec<String> {
    let id = PartitionId(partition);
    let found = world.state.why_not(id, node(n).as_str()).unwrap();
    found.iter().map(ToString::to_string).collect()
}

fn begin(world: &mut World, rows: &[&str]) {
    let base = world.version();
    world.ok(Command::Rebalance {
        step: RebalanceCommand::Begin {
            base,
            table: table(rows),
            trigger: Trigger::Manual,
            started_at_ms: 0,
        },
    });
}

fn party(world: &World, n: u64) -> Party {
    let member = world.state.member_by_node(node(n).as_str()).unwrap().number;
    let session = world.session(n);
    Party { member, session }
}

fn open(world: &mut World, partition: u32, source: u64, target: u64, leaving: Option<u64>) {
    let begun = Move {
        partition: PartitionId(partition),
        source: party(world, source),
        target: party(world, target),
        handoff: leaving == Some(source),
        leaving: leaving.map(MemberNumber),
        reason: Trigger::Manual,
        force: false,
    };
    let office = Some(world.office());
    let step = TransferCommand::Open(begun);
    world.ok(Command::Transfer { office, step });
}

#[test]
fn one_of_three_may_stop_and_then_no_other() {
    let mut world = World::with_rows(4, &["1 2 3", "2 3 4"]);
    assert!(may_stop(&world, 1).is_empty());
    world.stop(1);
    assert!(may_stop(&world, 1).is_empty(), "it is down already");
    assert_eq!(may_stop(&world, 2), ["0 MinInSync { left: 1, least: 2 }"]);
    assert!(may_stop(&world, 4).is_empty());
    world.stop(2);
    assert_eq!(
        may_stop(&world, 3),
        ["0 LastCopy", "1 MinInSync { left: 1, least: 2 }"]
    );
    assert!(world.state.may_stop("nobody").is_none());
}

#[test]
fn a_copy_that_is_leaving_does_not_count() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.ok(Command::Close { node: node(3) });
    assert_eq!(may_stop(&world, 1), ["0 MinInSync { left: 1, least: 2 }"]);
    let words = StopHazard::MinInSync { left: 1, least: 2 }.to_string();
    assert!(words.contains("min_in_sync is 2"), "{words}");
}

#[test]
fn a_stable_partition_has_nothing_to_say() {
    let world = World::with_rows(3, &["1 2 3"]);
    let explained = world.state.explain(PartitionId(0)).unwrap();
    assert_eq!(explained.state, PartitionState::Stable);
    assert_eq!(explained.primary, Some(node(1)));
    assert!(explained.findings.is_empty() && explained.copies.len() == 3);
    assert!(world.state.explain(PartitionId(1)).is_none());
}

#[test]
fn a_partition_without_a_primary_names_whom_it_waits_for() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.expire(&[1, 2, 3]);
    let told = findings(&world, 0);
    assert!(
        told[0].contains("start one of node-1, node-2, node-3"),
        "{told:?}"
    );
    assert_eq!(told[1], "nobody may act on it");
    world.come_back(2, false);
    let told = findings(&world, 0);
    assert!(
        told[1].starts_with("node-2 came back without proof"),
        "{told:?}"
    );
    let told = obstacles(&world, 0, 2);
    assert!(
        told.iter().any(|why| why.contains("without proof")),
        "{told:?}"
    );
}

#[test]
fn a_move_under_way_says_who_waits_for_whom() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    begin(&mut world, &["4 2 3"]);
    assert_eq!(
        findings(&world, 0),
        ["the plan under way (manual) has not come to it yet"]
    );
    assert_eq!(
        obstacles(&world, 0, 4),
        ["the plan under way brings it here"]
    );
    open(&mut world, 0, 1, 4, Some(1));
    assert_eq!(
        findings(&world, 0),
        ["moving to node-4 (prepare): waits for node-4 to copy from node-1"]
    );
    let told = obstacles(&world, 0, 4);
    assert_eq!(told[0], "it is on its way here (prepare)");
    let told = obstacles(&world, 0, 2);
    assert_eq!(told[0], "a move to node-4 is under way (prepare)");
    let explained = world.state.explain(PartitionId(0)).unwrap();
    let plan = explained.plan.unwrap();
    assert!(!plan.reached && plan.nodes[0] == node(4));
}

#[test]
fn limits_pauses_and_nodes_that_are_away_are_named() {
    let rows = ["1 2 3", "1 2 3", "1 2 3"];
    let mut world = World::with_rows(4, &rows);
    begin(&mut world, &["4 2 3", "4 2 3", "4 2 3"]);
    open(&mut world, 0, 1, 4, Some(1));
    open(&mut world, 1, 1, 4, Some(1));
    let told = findings(&world, 2);
    assert!(
        told.len() == 2
            && told
                .iter()
                .all(|why| why.contains("max_transfers_per_node")),
        "{told:?}"
    );
    assert!(obstacles(&world, 2, 4)[1].contains("2 moves"));
    let step = RebalanceCommand::Pause { paused: true };
    world.ok(Command::Rebalance { step });
    assert_eq!(findings(&world, 2), ["its plan is paused; `ck resume`"]);
    let step = RebalanceCommand::Pause { paused: false };
    world.ok(Command::Rebalance { step });
    world.expire(&[4]);
    let told = findings(&world, 2);
    assert_eq!(told, ["its plan waits for node-4, which is not up"]);
}

#[test]
fn a_node_outside_the_row_hears_of_its_state_and_of_the_planner() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    assert_eq!(obstacles(&world, 0, 1), ["it is the primary"]);
    assert_eq!(
        obstacles(&world, 0, 2),
        ["it has a copy; node-1 is the primary"]
    );
    let planner = obstacles(&world, 0, 4);
    assert_eq!(planner.len(), 1, "{planner:?}");
    let change = MemberChange {
        state: Some(NodeState::Cordoned),
        ..MemberChange::default()
    };
    world.ok(Command::Update {
        node: node(4),
        change,
    });
    world.stop(4);
    let told = obstacles(&world, 0, 4);
    assert!(
        told[0].contains("cordoned") && told[1].contains("stopped"),
        "{told:?}"
    );
    assert!(world.state.why_not(PartitionId(9), "node-1").is_none());
    assert!(world.state.why_not(PartitionId(0), "nobody").is_none());
}
