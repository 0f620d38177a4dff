//! A new incarnation after a restore or a forced recovery.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use ck_core::PartitionId;

use super::world::{World, node};
use crate::state::{
    Command, InSyncChange, NewIncarnation, Registration, Rejection, State, StopMark,
};
use crate::{ClusterId, FencingToken, Incarnation, MemberNumber, Nonce, Position};

fn anew(world: &World, gone: &[u64]) -> NewIncarnation {
    NewIncarnation {
        cluster: ClusterId(8),
        incarnation: Incarnation(2),
        position: Position(world.position + 1),
        at_ms: 5,
        actor: "operator".to_string(),
        gone: gone.iter().copied().map(MemberNumber).collect(),
        new_stores: false,
        doubts_copies: false,
    }
}

/// The world of the new incarnation, under an office of node-1, where nobody is registered yet.
fn after(world: &World, with: &NewIncarnation) -> World {
    let state = world.state.begin_anew(with).unwrap();
    state.check_invariants().unwrap();
    let mut after = World {
        state,
        position: with.position.0,
        term: 2,
    };
    after.ok(Command::Office {
        member: MemberNumber(1),
        nonce: Nonce(9),
        term: 2,
    });
    after
}

fn tokens(state: &State) -> Vec<FencingToken> {
    let token = |(partition, control): (PartitionId, &crate::PartitionControl)| FencingToken {
        incarnation: state.incarnation(),
        partition,
        epoch: control.epoch,
    };
    state.partitions().map(token).collect()
}

#[test]
fn survivors_are_granted_what_they_have_at_higher_tokens() {
    let world = World::with_rows(5, &["1 2 3", "3 1 4", "3 4 5", "2 4 5"]);
    let before = tokens(&world.state);
    let mut after = after(&world, &anew(&world, &[3, 4, 5]));
    after.check(&[
        "1 2 epoch 1 lost 1 known 1 2 unavailable",
        "1 epoch 1 known 1 unavailable",
        " epoch 1 sync unavailable",
        "2 epoch 1 lost 2 known 2 unavailable",
    ]);
    for n in [1, 2] {
        after.come_back(n, true);
    }
    after.check(&[
        "1 2 epoch 2 held 1 sync 1 2 degraded",
        "1 epoch 2 held 1 sync 1 degraded",
        " epoch 1 sync unavailable",
        "2 epoch 2 held 2 sync 2 degraded",
    ]);
    let state = &after.state;
    assert_eq!(state.incarnation(), Incarnation(2));
    assert_eq!(state.formed().unwrap().cluster, ClusterId(8));
    assert!(state.version() > world.version());
    for (old, new) in before.iter().zip(tokens(state)) {
        assert!(new > *old && new.epoch >= old.epoch, "{old} to {new}");
    }
    // What nobody has is somebody's again by an order that says so, and by nothing else.
    let promote = |accept_loss| Command::Promote {
        partition: PartitionId(2),
        member: MemberNumber(2),
        accept_loss,
    };
    after.refused(promote(false));
    after.ok(promote(true));
    after.check(&["1 2 epoch 2 held 1 sync 1 2 degraded"]);
    assert_eq!(after.show(2), "2 epoch 2 held 2 sync 2 degraded");
}

#[test]
fn members_that_are_gone_stay_so() {
    let world = World::with_rows(3, &["1 2 3"]);
    let mut after = after(&world, &anew(&world, &[2, 3]));
    let lost = world.restart(3);
    let refused = after.refused(Command::Register(lost.clone()));
    let member = MemberNumber(3);
    assert_eq!(refused, Rejection::MemberRemoved { member });
    // Its name with an emptied disk is a new member, under a number that never was.
    let wiped = Registration {
        member: None,
        previous: None,
        store: crate::StoreId(33),
        ..lost
    };
    after.ok(Command::Register(wiped));
    let number = after.state.member_by_node(node(3).as_str()).unwrap().number;
    assert_eq!(number, MemberNumber(4));
}

#[test]
fn a_copy_without_proof_is_not_taken_for_whole() {
    let mut world = World::with_rows(3, &["1 2 3", "2 1 3"]);
    // Node 2 stopped cleanly; what it missed since, nobody knows.
    world.stop(2);
    let mut after = after(&world, &anew(&world, &[3]));
    after.come_back(1, false);
    after.come_back(2, false);
    assert!(after.state.partitions().all(|(_, control)| {
        let session = control.holder.map(|holder| holder.session);
        session.is_none_or(|session| after.state.session(session).is_none())
    }));
    // The mark of a clean stop in its own store still counts.
    let mut marked = self::after(&world, &anew(&world, &[3]));
    let newest = marked.state.member(MemberNumber(1)).unwrap();
    let mark = StopMark {
        session: newest.last_session.unwrap(),
        start: newest.generation,
    };
    let registration = Registration {
        stopped: Some(mark),
        ..marked.restart(1)
    };
    marked.ok(Command::Register(registration));
    assert_eq!(marked.show(0), "1 2 epoch 2 held 1 sync 1 degraded");
}

#[test]
fn moves_and_plans_end_and_no_copy_is_forgotten() {
    let mut world = World::with_rows(4, &["1 2 3"]);
    let plan = world.plan(&["4 2 3"]);
    world.ok(plan);
    let shrink = Command::InSync {
        partition: PartitionId(0),
        session: world.session(1),
        epoch: world.state.partition(PartitionId(0)).unwrap().epoch,
        change: InSyncChange::Remove(MemberNumber(3)),
    };
    world.ok(shrink);
    let state = world.state.begin_anew(&anew(&world, &[])).unwrap();
    state.check_invariants().unwrap();
    assert_eq!(state.rebalance(), None);
    assert_eq!(state.transfers().len(), 0);
    assert_eq!(state.sessions().len(), 0);
    let control = state.partition(PartitionId(0)).unwrap();
    assert_eq!(control.in_sync, [MemberNumber(1), MemberNumber(2)]);
    assert_eq!(
        state.history().last().unwrap().position,
        Position(world.position + 1)
    );
}

#[test]
fn new_stores_know_nothing_of_earlier_starts() {
    let world = World::with_rows(3, &["1 2 3"]);
    let fresh = |world: &World| Registration {
        homes: Vec::from([(crate::Home(77), world.restart(2).generation)]),
        durable: true,
        ..world.restart(2)
    };
    let mut kept = after(&world, &anew(&world, &[]));
    let refused = kept.refused(Command::Register(fresh(&kept)));
    assert!(matches!(refused, Rejection::StoreOld { .. }), "{refused}");
    let with = NewIncarnation {
        new_stores: true,
        doubts_copies: true,
        ..anew(&world, &[])
    };
    let mut restored = after(&world, &with);
    let registration = fresh(&restored);
    restored.ok(Command::Register(registration));
}

#[test]
fn copies_that_are_doubted_wait_until_somebody_says_which_counts() {
    let world = World::with_rows(3, &["1 2 3", "3 1 2"]);
    let with = NewIncarnation {
        doubts_copies: true,
        ..anew(&world, &[])
    };
    let mut doubted = after(&world, &with);
    for member in [1, 2, 3] {
        doubted.come_back(member, true);
    }
    let held = |world: &World| {
        let holders = world.state.partitions().map(|(_, control)| control.holder);
        holders.flatten().count()
    };
    let last_known = |world: &World| world.state.partitions().all(|(_, one)| one.last_known);
    assert!(last_known(&doubted), "nobody is granted anything");
    doubted.ok(Command::Promote {
        partition: PartitionId(0),
        member: MemberNumber(2),
        accept_loss: true,
    });
    let control = doubted.state.partition(PartitionId(0)).unwrap();
    assert_eq!(
        control.holder.map(|holder| holder.member),
        Some(MemberNumber(2))
    );
    assert_eq!(control.in_sync, [MemberNumber(2)]);
    let mut trusted = after(&world, &anew(&world, &[]));
    for member in [1, 2, 3] {
        trusted.come_back(member, true);
    }
    assert!(!last_known(&trusted));
    assert_eq!(held(&trusted), 2);
}

#[test]
fn whoever_stays_is_no_longer_being_removed() {
    let mut world = World::with_rows(3, &["1 2 3"]);
    world.ok(Command::Close { node: node(2) });
    assert!(world.state.members().any(|member| member.closing));
    let mut after = after(&world, &anew(&world, &[]));
    assert!(!after.state.members().any(|member| member.closing));
    after.come_back(2, true);
}

#[test]
fn what_goes_back_is_refused() {
    let world = World::with_rows(3, &["1 2 3"]);
    let good = anew(&world, &[]);
    let cases = [
        (
            NewIncarnation {
                incarnation: Incarnation(1),
                ..good.clone()
            },
            "incarnation",
        ),
        (
            NewIncarnation {
                position: Position(world.position),
                ..good.clone()
            },
            "position",
        ),
        (anew(&world, &[9]), "9"),
        (anew(&world, &[1, 2, 3]), "node-1"),
    ];
    for (with, part) in cases {
        let refused = world.state.begin_anew(&with).unwrap_err().to_string();
        assert!(refused.contains(part), "{refused}");
    }
    let nobody = State::default().begin_anew(&NewIncarnation {
        gone: BTreeSet::new(),
        ..good
    });
    assert_eq!(nobody.unwrap_err(), Rejection::NotFormed);
}
