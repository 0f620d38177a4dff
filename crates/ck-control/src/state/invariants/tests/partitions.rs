//! Each rule about partitions and moves fires on a state that breaks it.

use alloc::sync::Arc;

use ck_core::{Epoch, PartitionId};

use super::{broken, control, fires, session, sound};
use crate::state::tests::world::table;
use crate::state::{Holder, InvariantError, Party, Stage, State, Transfer, Trigger};
use crate::{MemberNumber, Position, SwitchId, TransferId};

#[test]
fn counts_that_disagree_fire() {
    use InvariantError::PartitionCount;
    fires!(
        |state| drop(Arc::make_mut(&mut state.partitions).pop()),
        PartitionCount { .. }
    );
    fires!(|state| state.config.partitions = 9, PartitionCount { .. });
    fires!(|state| state.table = None, PartitionCount { .. });
}

#[test]
fn a_row_of_a_stranger_fires() {
    let stranger = table(&["1 2 3", "2 3 9"]);
    fires!(
        |state| state.table = Some(Arc::new(stranger)),
        InvariantError::RowNode { .. }
    );
}

#[test]
fn an_epoch_without_a_grant_fires() {
    fires!(
        |state| control(state).epoch = Epoch(0),
        InvariantError::Grant { .. }
    );
    fires!(
        |state| control(state).granted_at = Position(0),
        InvariantError::Grant { .. }
    );
}

#[test]
fn an_impossible_holder_fires() {
    use InvariantError::{Holder as Wrong, HolderNotFirst, HolderOutOfSync};
    let session_of = |state: &mut State, n| session(state, n).id;
    fires!(
        |state| control(state).holder.as_mut().unwrap().member.0 = 9,
        Wrong { .. }
    );
    fires!(
        |state| control(state).holder.as_mut().unwrap().session = session_of(&mut sound(), 2),
        Wrong { .. }
    );
    fires!(
        |state| control(state).holder.as_mut().unwrap().session.0 = 999,
        Wrong { .. }
    );
    fires!(
        |state| {
            let session = session_of(state, 2);
            control(state).holder = Some(Holder {
                member: MemberNumber(2),
                session,
            });
        },
        HolderNotFirst { .. }
    );
    fires!(
        |state| control(state).in_sync.retain(|one| *one != MemberNumber(1)),
        HolderOutOfSync { .. }
    );
    fires!(
        |state| control(state).last_known = true,
        HolderOutOfSync { .. }
    );
}

#[test]
fn an_impossible_in_sync_set_fires() {
    use InvariantError::InSync;
    fires!(|state| control(state).in_sync.swap(0, 1), InSync { .. });
    fires!(
        |state| control(state).in_sync.push(MemberNumber(4)),
        InSync { .. }
    );
    fires!(
        |state| control(state).in_sync.push(MemberNumber(9)),
        InSync { .. }
    );
    fires!(
        |state| control(state).unproven.push(MemberNumber(4)),
        InSync { .. }
    );
}

#[test]
fn an_impossible_last_known_set_fires() {
    use InvariantError::LastKnown;
    fires!(
        |state| control(state).unproven.push(MemberNumber(2)),
        LastKnown { .. }
    );
    fires!(
        |state| {
            let control = control(state);
            control.holder = None;
            control.last_known = true;
        },
        LastKnown { .. }
    );
    fires!(
        |state| {
            let control = control(state);
            control.holder = None;
            control.last_known = true;
            control.in_sync.clear();
        },
        LastKnown { .. }
    );
}

/// Partition 0 on its way from node-1 to node-4, at release.
fn with_transfer(state: &mut State, spoil: impl FnOnce(&mut Transfer)) {
    let id = TransferId(3);
    let party = |state: &mut State, n| {
        let session = session(state, n);
        Party {
            member: session.member,
            session: session.id,
        }
    };
    let mut transfer = Transfer {
        id,
        partition: PartitionId(0),
        stage: Stage::Release,
        source: party(state, 1),
        target: party(state, 4),
        handoff: true,
        leaving: Some(MemberNumber(1)),
        switch: Some(SwitchId(4)),
        revoked: None,
        force: false,
        in_sync_before: 3,
        reason: Trigger::Join,
        done: 1,
        total: 1,
        attempt: 1,
        paused: false,
        since: Position(4),
        opened_at_ms: 0,
        stage_at_ms: 0,
    };
    spoil(&mut transfer);
    Arc::make_mut(&mut state.transfers).insert(id, transfer);
    let control = control(state);
    control.transfer = Some(id);
    control.in_sync.push(MemberNumber(4));
}

#[test]
fn a_transfer_that_does_not_fit_fires() {
    use InvariantError::{Ahead, Transfer};
    let mut state = sound();
    with_transfer(&mut state, |_| ());
    assert_eq!(
        state.check_invariants(),
        Ok(()),
        "the target is in sync beside the row"
    );
    assert_eq!(state.partition_state(PartitionId(0)).name(), "moving");
    fires!(
        |state| with_transfer(state, |one| one.id.0 = 9),
        Transfer { .. }
    );
    fires!(
        |state| with_transfer(state, |one| one.switch = None),
        Transfer { .. }
    );
    fires!(
        |state| with_transfer(state, |one| one.stage = Stage::Prepare),
        Transfer { .. }
    );
    fires!(
        |state| with_transfer(state, |one| one.source.member.0 = 9),
        Transfer { .. }
    );
    fires!(
        |state| with_transfer(state, |one| one.source = one.target),
        Transfer { .. }
    );
    fires!(
        |state| with_transfer(state, |one| one.done = 2),
        Transfer { .. }
    );
    fires!(
        |state| with_transfer(state, |one| one.since.0 = 999),
        Ahead { .. }
    );
    fires!(
        |state| control(state).transfer = Some(TransferId(3)),
        Transfer { .. }
    );
    fires!(
        |state| {
            with_transfer(state, |_| ());
            control(state).in_sync.pop();
            control(state).transfer = None;
        },
        Transfer { .. }
    );
}
