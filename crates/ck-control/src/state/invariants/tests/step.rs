//! Each rule about steps fires on a step that breaks it.

use alloc::sync::Arc;

use super::{control, member, session, sound};
use crate::state::{Holder, InvariantError, State};
use crate::{MemberNumber, StoreId};

/// Spoils a sound state and returns the rule the step to it breaks.
fn broken_step(spoil: impl FnOnce(&mut State)) -> InvariantError {
    let before = sound();
    let mut after = before.clone();
    assert_eq!(after.check_step(&before), Ok(()));
    spoil(&mut after);
    after.check_step(&before).expect_err("the rule should fire")
}

macro_rules! step_fires {
    ($spoil:expr, $rule:pat) => {
        let error = broken_step($spoil);
        assert!(matches!(error, $rule), "{error:?}");
    };
}

#[test]
fn what_falls_fires() {
    use InvariantError::Fell;
    step_fires!(|state| state.applied.0 -= 1, Fell { .. });
    step_fires!(|state| state.version.0 -= 1, Fell { .. });
    step_fires!(|state| state.planned_on.0 -= 1, Fell { .. });
    step_fires!(|state| state.incarnation.0 -= 1, Fell { .. });
    step_fires!(|state| state.newest_member.0 -= 1, Fell { .. });
    step_fires!(|state| state.commands_seen -= 1, Fell { .. });
    step_fires!(|state| state.office = None, Fell { .. });
    step_fires!(|state| control(state).epoch.0 -= 1, Fell { .. });
    step_fires!(|state| member(state, 2).generation.0 -= 1, Fell { .. });
    step_fires!(|state| session(state, 2).floor.0 -= 1, Fell { .. });
}

#[test]
fn what_changes_for_ever_fires() {
    use InvariantError::Changed;
    step_fires!(|state| state.genesis = None, Changed { .. });
    step_fires!(|state| state.config.partitions = 9, Changed { .. });
    step_fires!(
        |state| state.config.hash = ck_core::KeyHash::Md5Mod,
        Changed { .. }
    );
    step_fires!(|state| state.table = None, Changed { .. });
    step_fires!(|state| member(state, 2).store = StoreId(9), Changed { .. });
}

#[test]
fn a_second_grant_at_one_epoch_fires() {
    use InvariantError::GrantedTwice;
    step_fires!(
        |state| {
            let session = session(state, 2).id;
            control(state).holder = Some(Holder {
                member: MemberNumber(2),
                session,
            });
        },
        GrantedTwice { .. }
    );
}

#[test]
fn what_comes_back_to_life_fires() {
    use InvariantError::Reborn;
    let after = sound();
    let mut before = after.clone();
    Arc::make_mut(&mut before.members).remove(MemberNumber(4));
    let error = after.check_step(&before).unwrap_err();
    assert!(matches!(error, Reborn { number: 4, .. }), "{error:?}");
    let mut before = after.clone();
    let id = session(&mut before, 4).id;
    Arc::make_mut(&mut before.sessions).remove(&id);
    let error = after.check_step(&before).unwrap_err();
    assert!(matches!(error, Reborn { .. }), "{error:?}");
}

#[test]
fn a_change_without_a_version_fires() {
    use InvariantError::Unversioned;
    step_fires!(|state| control(state).epoch.0 += 1, Unversioned { .. });
    step_fires!(|state| member(state, 2).weight = 2, Unversioned { .. });
    step_fires!(|state| state.customs = Arc::default(), Unversioned { .. });
    step_fires!(|state| state.config.settle_ms = 1, Unversioned { .. });
}
