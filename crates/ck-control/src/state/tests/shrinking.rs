//! What leaves an in-sync set stays out of it, and the last copies stay.

use ck_core::{Epoch, PartitionId};

use super::world::{World, config, node, registration, table};
use crate::state::{
    Command, InSyncChange, Move, MoveRejection, Party, Rejection, TransferCommand, Trigger,
};
use crate::{MemberNumber, TransferId};

const P: PartitionId = PartitionId(0);

fn party(world: &World, n: u64) -> Party {
    Party {
        member: MemberNumber(n),
        session: world.session(n),
    }
}

fn step(step: TransferCommand) -> Command {
    Command::Transfer { office: None, step }
}

/// Opens {1*, 2, 3} → {4*, 2, 3}; the target has copied.
fn prepared(world: &mut World) -> TransferId {
    let begun = Move {
        partition: P,
        source: party(world, 1),
        target: party(world, 4),
        handoff: true,
        leaving: Some(MemberNumber(1)),
        reason: Trigger::Manual,
        force: false,
    };
    world.ok(step(TransferCommand::Open(begun)));
    let transfer = TransferId(world.position);
    world.ok(step(TransferCommand::Prepared { transfer }));
    transfer
}

fn shrink(world: &World, n: u64) -> Command {
    Command::InSync {
        partition: P,
        session: world.session(1),
        epoch: Epoch(1),
        change: InSyncChange::Remove(MemberNumber(n)),
    }
}

/// The primary went on without the target, so a report from before that must not put it back.
#[test]
fn a_target_taken_out_is_not_put_back_by_a_report_that_is_past() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let transfer = prepared(&mut world);
    let caught_up = step(TransferCommand::CaughtUp {
        transfer,
        session: world.session(1),
        epoch: Epoch(1),
    });
    world.ok(caught_up.clone());
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 4 moving"]);
    world.ok(shrink(&world, 4));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 stable"]);
    let late = world.refused(caught_up);
    assert_eq!(
        late,
        Rejection::Move(MoveRejection::TransferUnknown { transfer })
    );
}

#[test]
fn an_addition_on_its_way_can_be_refused_before_it_is_in_sync() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let transfer = prepared(&mut world);
    world.ok(shrink(&world, 4));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 stable"]);
    assert!(world.state.transfer(transfer).is_none());
}

#[test]
fn the_last_two_copies_are_not_removed_together() {
    let mut world = World::with_rows(4, &["1 2"]);
    world.ok(Command::Close { node: node(1) });
    let refused = world.refused(Command::Close { node: node(2) });
    assert!(
        matches!(
            refused,
            Rejection::Move(MoveRejection::LastCopy { partition: P, .. })
        ),
        "{refused}"
    );
}

#[test]
fn partitions_are_not_created_over_a_node_that_has_just_gone() {
    let mut world = World::of(4, config(1, 3));
    world.expire(&[1]);
    let create = |rows: &[&str]| Command::CreatePartitions {
        table: table(rows),
        strategy: None,
    };
    let refused = world.refused(create(&["1 2 3"]));
    assert!(matches!(refused, Rejection::RowNode { .. }), "{refused}");
    world.ok(create(&["2 3 4"]));
    assert!(
        world
            .state
            .member_by_node(registration(1).node.as_str())
            .is_some()
    );
}

#[test]
fn a_member_that_is_being_removed_does_not_take_the_last_in_sync_set_with_it() {
    let mut world = World::with_rows(3, &["1 2", "2 1"]);
    world.ok(Command::Close { node: node(2) });
    world.expire(&[1]);
    world.check(&[
        "1 2 epoch 1 lost 1 known 1 2 unavailable",
        // As a primary it still acts, and goes on alone.
        "2 1 epoch 1 held 2 sync 2 degraded",
    ]);
    world.ok(Command::Remove {
        node: node(2),
        office: Some(world.office()),
    });
    assert_eq!(world.show(0), "1 epoch 1 lost 1 known 1 unavailable");
    world.come_back(1, true);
    assert_eq!(world.show(0), "1 epoch 2 held 1 sync 1 degraded");
}

#[test]
fn what_comes_back_before_the_removal_is_granted_with_the_whole_set() {
    let mut world = World::with_rows(3, &["1 2"]);
    world.ok(Command::Close { node: node(2) });
    world.expire(&[1]);
    world.come_back(1, true);
    world.check(&["1 2 epoch 2 held 1 sync 1 2 degraded"]);
}
