//! Plans carried out by transfers: what they come to, and what they never do.

use alloc::vec;
use alloc::vec::Vec;

use ck_core::{Epoch, PartitionId};

use super::world::{World, config, node, table};
use crate::state::{
    ChangeReason, Command, EventKind, Move, MoveRejection, Party, RebalanceCommand, Rejection,
    TransferCommand, Trigger,
};
use crate::{ConfigChange, MemberNumber, Position, Release, SwitchId, TransferId};

fn party(world: &World, n: u64) -> Party {
    let member = MemberNumber(n);
    let known = world.state.member(member).unwrap();
    // Of a node that is away, the session it had.
    let session = known.session.or(known.last_session).unwrap();
    Party { member, session }
}

/// From the primary, as it stands.
fn to(world: &World, partition: u32, target: u64, handoff: bool, leaving: Option<u64>) -> Move {
    let partition = PartitionId(partition);
    let holder = world.state.partition(partition).unwrap().holder.unwrap();
    Move {
        partition,
        source: Party {
            member: holder.member,
            session: holder.session,
        },
        target: party(world, target),
        handoff,
        leaving: leaving.map(MemberNumber),
        reason: Trigger::Join,
        force: false,
    }
}

fn begin(world: &mut World, rows: &[&str]) -> Position {
    let plan = world.plan(rows);
    world.ok(plan);
    assert!(world.state.rebalance().is_some());
    Position(world.position)
}

fn step(step: TransferCommand) -> Command {
    Command::Transfer { office: None, step }
}

fn refused(world: &mut World, next: TransferCommand) -> MoveRejection {
    match world.refused(step(next)) {
        Rejection::Move(why) => why,
        other => panic!("{other}"),
    }
}

fn open(world: &mut World, begun: Move) -> TransferId {
    world.ok(step(TransferCommand::Open(begun)));
    TransferId(world.position)
}

fn catch_up(world: &mut World, transfer: TransferId) -> Vec<EventKind> {
    world.ok(step(TransferCommand::Prepared { transfer }));
    let moved = world.state.transfer(transfer).unwrap();
    let control = world.state.partition(moved.partition).unwrap();
    let (session, epoch) = (control.holder.unwrap().session, control.epoch);
    world.ok(step(TransferCommand::CaughtUp {
        transfer,
        session,
        epoch,
    }))
}

/// Opens the switch; the acknowledgement that fits it.
fn open_switch(world: &mut World, transfer: TransferId) -> Release {
    world.ok(step(TransferCommand::OpenSwitch { transfer }));
    let moved = world.state.transfer(transfer).unwrap();
    let partition = moved.partition;
    Release {
        session: moved.source.session,
        partition,
        epoch: world.state.partition(partition).unwrap().epoch,
        switch: SwitchId(world.position),
    }
}

fn done(world: &World) -> (u32, u32) {
    let plan = world.state.rebalance().unwrap();
    (plan.done, plan.total)
}

#[test]
fn each_move_tells_what_it_changed_and_the_end_how_much() {
    let mut world = World::with_rows(4, &["1 2 3", "2 3 1", "3 1 2"]);
    let since = begin(&mut world, &["4 2 3", "2 3 4", "3 1 2"]);
    let changed = |partition, from, old: u64, new: u64, epoch| EventKind::PartitionChanged {
        partition: PartitionId(partition),
        copy_from: vec![node(from)],
        copy_to: vec![node(4)],
        reason: ChangeReason::Join,
        old_primary: Some(node(old)),
        new_primary: Some(node(new)),
        epoch: Epoch(epoch),
    };
    let begun = to(&world, 0, 4, true, Some(1));
    let transfer = open(&mut world, begun);
    assert_eq!(catch_up(&mut world, transfer), []);
    let release = open_switch(&mut world, transfer);
    let events = world.ok(step(TransferCommand::Commit { transfer, release }));
    assert_eq!(events, [changed(0, 1, 1, 4, 2)]);
    assert_eq!(done(&world), (0, 2));
    world.ok(step(TransferCommand::Activated { transfer }));
    world.ok(step(TransferCommand::Finish { transfer }));
    assert_eq!(done(&world), (1, 2));
    let begun = to(&world, 1, 4, false, Some(1));
    let transfer = open(&mut world, begun);
    assert_eq!(catch_up(&mut world, transfer), [changed(1, 2, 2, 2, 1)]);
    assert_eq!(done(&world), (2, 2));
    world.check(&[
        "4 2 3 epoch 2 held 4 sync 2 3 4 stable",
        "2 3 4 epoch 1 held 2 sync 2 3 4 stable",
        "3 1 2 epoch 1 held 3 sync 1 2 3 stable",
    ]);
    let step = RebalanceCommand::Finish { since };
    let completed = EventKind::RebalanceCompleted {
        trigger: Trigger::Manual,
        partitions: 2,
        nodes: 4,
        duration_ms: (world.position + 1) * 1_000,
    };
    assert_eq!(world.ok(Command::Rebalance { step }), [completed]);
}

#[test]
fn a_plan_does_not_take_the_only_copy_from_a_stopped_node() {
    let mut world = World::of(2, config(1, 1));
    world.ok(Command::CreatePartitions {
        table: table(&["1"]),
        strategy: None,
    });
    begin(&mut world, &["2"]);
    let begun = to(&world, 0, 2, true, Some(1));
    let transfer = open(&mut world, begun);
    world.stop(1);
    assert_eq!(world.state.transfer(transfer), None);
    let partition = PartitionId(0);
    let away = MoveRejection::PartitionUnavailable { partition };
    assert_eq!(refused(&mut world, TransferCommand::Open(begun)), away);
    let member = MemberNumber(1);
    let trim = TransferCommand::Trim { partition, member };
    assert_eq!(refused(&mut world, trim), away);
    world.check(&["1 epoch 1 lost 1 known 1 unavailable"]);
    world.ok(Command::Rebalance {
        step: RebalanceCommand::Abort,
    });
    let plan = world.plan(&["2"]);
    assert_eq!(world.ok(plan), [], "a plan made now has nothing to move");
    world.come_back(1, false);
    world.check(&["1 epoch 2 held 1 sync 1 stable"]);
}

#[test]
fn a_plan_leaves_a_partition_alone_whose_last_copies_are_away() {
    let mut world = World::with_rows(4, &["1 2 3", "4 1 2"]);
    begin(&mut world, &["4", "4"]);
    let begun = to(&world, 0, 4, true, Some(1));
    world.expire(&[1, 2, 3]);
    let partition = PartitionId(0);
    let away = MoveRejection::PartitionUnavailable { partition };
    assert_eq!(refused(&mut world, TransferCommand::Open(begun)), away);
    for member in [1, 2, 3].map(MemberNumber) {
        let trim = TransferCommand::Trim { partition, member };
        assert_eq!(refused(&mut world, trim), away);
        let partition = PartitionId(1);
        if member.0 != 3 {
            world.ok(step(TransferCommand::Trim { partition, member }));
        }
    }
    world.check(&[
        "1 2 3 epoch 1 lost 1 known 1 2 3 unavailable",
        "4 epoch 1 held 4 sync 4 degraded",
    ]);
    assert_eq!(done(&world), (1, 2));
    world.come_back(2, true);
    world.check(&["2 1 3 epoch 2 held 2 sync 1 2 3 degraded"]);
}

#[test]
fn a_primary_is_not_taken_from_a_live_node_for_one_that_is_away() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    begin(&mut world, &["2 1 3"]);
    world.stop(2);
    let begun = to(&world, 0, 2, true, None);
    let why = refused(&mut world, TransferCommand::Open(begun));
    assert!(matches!(why, MoveRejection::PartySession { .. }), "{why}");
    world.come_back(2, false);
    // It is back, and lacks what was written meanwhile.
    let begun = to(&world, 0, 2, true, None);
    let why = refused(&mut world, TransferCommand::Open(begun));
    assert!(matches!(why, MoveRejection::TransferShape { .. }), "{why}");
    world.check(&["1 2 3 epoch 1 held 1 sync 1 3 degraded"]);
    let update = to(&world, 0, 2, false, None);
    let transfer = open(&mut world, update);
    catch_up(&mut world, transfer);
    let transfer = open(&mut world, begun);
    let release = open_switch(&mut world, transfer);
    world.stop(2);
    let why = refused(&mut world, TransferCommand::Commit { transfer, release });
    assert_eq!(why, MoveRejection::TransferUnknown { transfer });
    world.check(&["1 2 3 epoch 2 held 1 sync 1 3 degraded"]);
}

#[test]
fn a_new_copy_is_in_sync_only_once_it_has_caught_up() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    world.stop(4);
    begin(&mut world, &["1 2 4"]);
    let begun = to(&world, 0, 4, false, Some(3));
    let why = refused(&mut world, TransferCommand::Open(begun));
    assert!(matches!(why, MoveRejection::PartySession { .. }), "{why}");
    world.come_back(4, true);
    let begun = to(&world, 0, 4, false, Some(3));
    let transfer = open(&mut world, begun);
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 moving"]);
    let (session, epoch) = (world.session(1), Epoch(1));
    let caught_up = TransferCommand::CaughtUp {
        transfer,
        session,
        epoch,
    };
    let early = refused(&mut world, caught_up);
    assert!(matches!(early, MoveRejection::TransferStage { .. }));
    world.ok(step(TransferCommand::Prepared { transfer }));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 moving"]);
    world.ok(step(caught_up));
    world.check(&["1 2 4 epoch 1 held 1 sync 1 2 4 stable"]);
    assert_eq!(done(&world), (1, 1));
}

#[test]
fn the_role_goes_to_no_copy_that_has_not_caught_up() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    begin(&mut world, &["4 2 3"]);
    let begun = to(&world, 0, 4, true, Some(1));
    let transfer = open(&mut world, begun);
    world.ok(step(TransferCommand::Prepared { transfer }));
    let why = refused(&mut world, TransferCommand::OpenSwitch { transfer });
    let (partition, member) = (PartitionId(0), MemberNumber(4));
    assert_eq!(why, MoveRejection::NotInSync { partition, member });
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 moving"]);
}

#[test]
fn a_lower_replication_factor_is_reached_by_trims() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let change = ConfigChange {
        replication_factor: Some(2),
        ..ConfigChange::default()
    };
    world.ok(Command::Configure { change });
    begin(&mut world, &["1 2"]);
    let partition = PartitionId(0);
    let trim = |n| TransferCommand::Trim {
        partition,
        member: MemberNumber(n),
    };
    world.ok(step(trim(3)));
    world.check(&["1 2 epoch 1 held 1 sync 1 2 stable"]);
    assert_eq!(done(&world), (1, 1));
    let shape = MoveRejection::TransferShape { partition };
    assert_eq!(refused(&mut world, trim(2)), shape);
}

#[test]
fn a_degraded_plan_is_carried_out() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.remove(3);
    begin(&mut world, &["2 1"]);
    let begun = to(&world, 0, 2, true, None);
    let transfer = open(&mut world, begun);
    let release = open_switch(&mut world, transfer);
    world.ok(step(TransferCommand::Commit { transfer, release }));
    world.ok(step(TransferCommand::Activated { transfer }));
    world.check(&["2 1 epoch 2 held 2 sync 1 2 degraded"]);
    assert_eq!(done(&world), (1, 1));
}
