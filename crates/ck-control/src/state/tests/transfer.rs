//! Steps of moves as entries: what is accepted, and above all what is refused.

use ck_core::{Epoch, PartitionId};

use super::world::{World, node};
use crate::state::{
    Command, Move, MoveRejection, Party, Rejection, Stage, TransferCommand, Trigger,
};
use crate::{MemberNumber, OfficeId, Position, Release, SessionId, SwitchId, TransferId};

const P: PartitionId = PartitionId(0);

fn party(world: &World, n: u64) -> Party {
    Party {
        member: MemberNumber(n),
        session: world.session(n),
    }
}

fn handoff(world: &World, source: u64, target: u64) -> Move {
    Move {
        partition: P,
        source: party(world, source),
        target: party(world, target),
        handoff: true,
        leaving: Some(MemberNumber(source)),
        reason: Trigger::Manual,
        force: false,
    }
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

/// {1*, 2, 3} on its way to {4*, 2, 3}, with the switch open.
fn released() -> (World, TransferId, Release) {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let begun = handoff(&world, 1, 4);
    world.ok(step(TransferCommand::Open(begun)));
    let transfer = TransferId(world.position);
    world.ok(step(TransferCommand::Prepared { transfer }));
    let (session, epoch) = (world.session(1), Epoch(1));
    world.ok(step(TransferCommand::CaughtUp {
        transfer,
        session,
        epoch,
    }));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 4 moving"]);
    world.ok(step(TransferCommand::OpenSwitch { transfer }));
    let release = Release {
        session,
        partition: P,
        epoch,
        switch: SwitchId(world.position),
    };
    (world, transfer, release)
}

#[test]
fn an_acknowledgement_counts_only_where_all_four_match() {
    let (mut world, transfer, release) = released();
    let session = SessionId(release.session.0 + 1);
    for wrong in [
        Release { session, ..release },
        Release {
            partition: PartitionId(1),
            ..release
        },
        Release {
            epoch: Epoch(0),
            ..release
        },
        Release {
            switch: SwitchId(release.switch.0 - 1),
            ..release
        },
    ] {
        let release = wrong;
        let why = refused(&mut world, TransferCommand::Commit { transfer, release });
        assert!(matches!(why, MoveRejection::ReleasePast { .. }), "{why}");
    }
    world.ok(step(TransferCommand::Commit { transfer, release }));
    world.check(&["4 1 2 3 epoch 2 held 4 sync 1 2 3 4 moving"]);
    let again = refused(&mut world, TransferCommand::Commit { transfer, release });
    assert_eq!(
        again,
        MoveRejection::TransferStage {
            transfer,
            stage: Stage::Activate
        }
    );
}

#[test]
fn an_abort_after_the_switch_grants_the_source_anew() {
    let (mut world, transfer, release) = released();
    world.ok(step(TransferCommand::Abort { transfer }));
    world.check(&["1 2 3 epoch 2 held 1 sync 1 2 3 stable"]);
    let late = refused(&mut world, TransferCommand::Commit { transfer, release });
    assert_eq!(late, MoveRejection::TransferUnknown { transfer });
}

#[test]
fn an_abort_before_the_switch_leaves_all_as_it_was() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let begun = handoff(&world, 1, 4);
    world.ok(step(TransferCommand::Open(begun)));
    let transfer = TransferId(world.position);
    world.ok(step(TransferCommand::Abort { transfer }));
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 stable"]);
}

#[test]
fn an_abort_after_the_commit_is_refused() {
    let (mut world, transfer, release) = released();
    world.ok(step(TransferCommand::Commit { transfer, release }));
    let why = refused(&mut world, TransferCommand::Abort { transfer });
    assert!(matches!(why, MoveRejection::TransferStage { .. }));
}

#[test]
fn a_target_that_is_closing_is_not_granted_the_role() {
    let (mut world, transfer, release) = released();
    world.ok(Command::Close { node: node(4) });
    let why = refused(&mut world, TransferCommand::Commit { transfer, release });
    assert!(matches!(why, MoveRejection::PartySession { .. }), "{why}");
}

#[test]
fn a_target_that_comes_back_has_to_begin_again() {
    let (mut world, _, _) = released();
    world.come_back(4, false);
    world.check(&["1 2 3 epoch 2 held 1 sync 1 2 3 stable"]);
}

#[test]
fn a_source_that_dies_leaves_the_target_among_those_who_may_take_over() {
    let (mut world, _, _) = released();
    world.expire(&[1, 2, 3]);
    world.check(&["4 2 3 epoch 2 held 4 sync 4 degraded"]);
    assert_eq!(world.state.transfers().len(), 0);
}

#[test]
fn all_sides_that_die_leave_a_last_known_set_with_the_target_in_it() {
    let (mut world, _, _) = released();
    world.expire(&[1, 2, 3, 4]);
    world.check(&["1 2 3 4 epoch 1 lost 1 known 1 2 3 4 unavailable"]);
    world.come_back(4, true);
    world.check(&["4 1 2 3 epoch 2 held 4 sync 1 2 3 4 degraded"]);
}

#[test]
fn catching_up_under_a_past_grant_does_not_count() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let begun = Move {
        handoff: false,
        leaving: Some(MemberNumber(3)),
        source: party(&world, 2),
        ..handoff(&world, 1, 4)
    };
    world.ok(step(TransferCommand::Open(begun)));
    let transfer = TransferId(world.position);
    world.ok(step(TransferCommand::Prepared { transfer }));
    let (session, epoch) = (world.session(1), Epoch(1));
    let caught_up = TransferCommand::CaughtUp {
        transfer,
        session,
        epoch,
    };
    world.expire(&[1]);
    let why = refused(&mut world, caught_up);
    assert!(matches!(why, MoveRejection::GrantPast { .. }), "{why}");
    let (session, epoch) = (world.session(2), Epoch(2));
    world.ok(step(TransferCommand::CaughtUp {
        transfer,
        session,
        epoch,
    }));
    // Node-3 keeps its copy: without it fewer than before would be in sync.
    world.check(&["2 1 3 4 epoch 2 held 2 sync 2 3 4 stable"]);
}

#[test]
fn a_revocation_needs_force_and_its_commit_an_office() {
    let (mut world, transfer, _) = released();
    let why = refused(&mut world, TransferCommand::Revoke { transfer });
    assert_eq!(why, MoveRejection::NotForced { transfer });
    let revoked = Position(world.position);
    let commit = TransferCommand::CommitRevoked { transfer, revoked };
    let why = refused(&mut world, commit);
    assert!(matches!(why, MoveRejection::NotRevoked { .. }));
    let past = world.refused(Command::Transfer {
        office: Some(OfficeId(1)),
        step: commit,
    });
    assert!(matches!(past, Rejection::OfficePast { .. }));
}

#[test]
fn a_revoked_role_stays_granted_until_an_office_has_waited_for_its_lease() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let begun = Move {
        leaving: None,
        force: true,
        ..handoff(&world, 1, 2)
    };
    world.ok(step(TransferCommand::Open(begun)));
    let transfer = TransferId(world.position);
    world.ok(step(TransferCommand::OpenSwitch { transfer }));
    let session = world.session(1);
    let release = Release {
        session,
        partition: P,
        epoch: Epoch(1),
        switch: SwitchId(world.position),
    };
    world.ok(step(TransferCommand::Revoke { transfer }));
    let revoked = Position(world.position);
    world.check(&["1 2 3 epoch 1 held 1 sync 1 2 3 moving"]);
    // What is taken without consent sets the floor: the lease counts only once this is applied.
    assert_eq!(world.state.session(session).unwrap().floor, revoked);
    let why = refused(&mut world, TransferCommand::Commit { transfer, release });
    assert!(matches!(why, MoveRejection::ReleasePast { .. }), "{why}");
    let commit = TransferCommand::CommitRevoked { transfer, revoked };
    let why = refused(&mut world, commit);
    assert_eq!(why, MoveRejection::NotRevoked { transfer, revoked });
    world.ok(Command::Transfer {
        office: Some(world.office()),
        step: commit,
    });
    world.check(&["2 1 3 epoch 2 held 2 sync 1 2 3 moving"]);
}

#[test]
fn moves_that_do_not_fit_the_row_are_refused() {
    let mut world = World::with_rows(5, &["1 2 3"]);
    let good = handoff(&world, 1, 4);
    let (two, four) = (party(&world, 2), party(&world, 4));
    for wrong in [
        Move {
            target: good.source,
            ..good
        },
        Move {
            source: two,
            ..good
        },
        Move {
            leaving: None,
            ..good
        },
        Move {
            leaving: Some(MemberNumber(5)),
            ..good
        },
        Move {
            target: two,
            ..good
        },
        Move {
            handoff: false,
            ..good
        },
        Move {
            handoff: false,
            leaving: None,
            ..good
        },
        Move {
            handoff: false,
            target: two,
            leaving: None,
            ..good
        },
        Move {
            source: four,
            target: party(&world, 5),
            ..good
        },
    ] {
        let why = refused(&mut world, TransferCommand::Open(wrong));
        assert!(
            matches!(why, MoveRejection::TransferShape { .. }),
            "{wrong:?}"
        );
    }
    let session = SessionId(1);
    let target = Party { session, ..four };
    let why = refused(&mut world, TransferCommand::Open(Move { target, ..good }));
    assert!(matches!(why, MoveRejection::PartySession { .. }));
    world.ok(step(TransferCommand::Open(good)));
    let why = refused(&mut world, TransferCommand::Open(good));
    assert!(matches!(why, MoveRejection::TransferUnderWay { .. }));
}

#[test]
fn a_node_takes_part_in_so_many_copying_moves_and_no_more() {
    let mut world = World::with_rows(4, &["1 2 3", "2 1 3", "3 1 2"]);
    for (at, source) in [(0, 1), (1, 2), (2, 3)] {
        let begun = Move {
            partition: PartitionId(at),
            ..handoff(&world, source, 4)
        };
        if at < 2 {
            world.ok(step(TransferCommand::Open(begun)));
        } else {
            let why = refused(&mut world, TransferCommand::Open(begun));
            let member = MemberNumber(4);
            assert_eq!(why, MoveRejection::TransferLimit { member, max: 2 });
        }
    }
}

#[test]
fn a_promotion_that_may_lose_writes_says_so_or_is_refused() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    let member = MemberNumber(2);
    let promote = |accept_loss| Command::Promote {
        partition: P,
        member,
        accept_loss,
    };
    let held = world.refused(promote(true));
    assert!(matches!(
        held,
        Rejection::Move(MoveRejection::PartitionHeld { .. })
    ));
    world.expire(&[1, 2, 3]);
    world.come_back(2, false);
    let silent = world.refused(promote(false));
    assert!(matches!(
        silent,
        Rejection::Move(MoveRejection::LossNotAccepted { .. })
    ));
    world.ok(promote(true));
    world.check(&["2 1 3 epoch 2 held 2 sync 2 degraded"]);
}

#[test]
fn a_live_node_with_the_only_copy_in_sync_is_not_removed() {
    let mut world = World::with_rows(3, &["1", "2 1 3"]);
    let why = world.refused(Command::Close { node: node(1) });
    assert!(matches!(
        why,
        Rejection::Move(MoveRejection::LastCopy { .. })
    ));
    world.expire(&[1]);
    world.ok(Command::Close { node: node(1) });
}
