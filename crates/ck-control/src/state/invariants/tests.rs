//! Each rule fires on a state, or a step, that breaks it.

mod partitions;
mod step;

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;

use ck_core::{NodeState, Version};

use crate::state::tests::world::{World, node};
use crate::state::{
    Brake, Command, InvariantError, PartitionControl, PastLease, Raise, Rebalance, State, Trigger,
};
use crate::{Incarnation, LeaseTerms, MemberNumber, Mode, Position, SessionId, StoreId};

/// Two partitions on four nodes, a custom value, all sessions open.
fn sound() -> State {
    let mut world = World::with_rows(4, &["1 2 3", "2 3 1"]);
    world.ok(Command::SetCustom {
        key: "k".to_string(),
        value: vec![1],
        expected: None,
    });
    world.state
}

/// Spoils a sound state and returns the rule it breaks.
fn broken(spoil: impl FnOnce(&mut State)) -> InvariantError {
    let mut state = sound();
    assert_eq!(state.check_invariants(), Ok(()));
    spoil(&mut state);
    state.check_invariants().expect_err("the rule should fire")
}

fn control(state: &mut State) -> &mut PartitionControl {
    &mut Arc::make_mut(&mut state.partitions)[0]
}

fn member(state: &mut State, number: u64) -> &mut crate::state::Member {
    Arc::make_mut(&mut state.members)
        .member_mut(MemberNumber(number))
        .unwrap()
}

fn session(state: &mut State, n: u64) -> &mut crate::state::Session {
    let id = state.open_session_of(node(n).as_str()).unwrap().id;
    Arc::make_mut(&mut state.sessions).get_mut(&id).unwrap()
}

macro_rules! fires {
    ($spoil:expr, $rule:pat) => {
        let error = broken($spoil);
        assert!(matches!(error, $rule), "{error:?}");
    };
}

use fires;

#[test]
fn a_wrong_configuration_fires() {
    fires!(|state| state.config.spread = 0, InvariantError::Config(_));
}

#[test]
fn anything_before_genesis_fires() {
    fires!(
        |state| state.genesis = None,
        InvariantError::BeforeGenesis { .. }
    );
    fires!(
        |state| *state = State {
            incarnation: Incarnation(3),
            ..State::default()
        },
        InvariantError::BeforeGenesis { .. }
    );
}

#[test]
fn what_lies_ahead_fires() {
    use InvariantError::Ahead;
    fires!(
        |state| state.office.as_mut().unwrap().id.0 = 999,
        Ahead { .. }
    );
    fires!(|state| state.planned_on = Version(999), Ahead { .. });
    fires!(|state| state.reshaped = Some(Version(999)), Ahead { .. });
    fires!(
        |state| session(state, 1).floor = Position(999),
        Ahead { .. }
    );
    fires!(
        |state| control(state).granted_at = Position(999),
        Ahead { .. }
    );
    fires!(
        |state| Arc::make_mut(&mut state.customs)
            .values_mut()
            .for_each(|c| c.version.0 = 999),
        Ahead { .. }
    );
}

#[test]
fn a_number_never_given_fires() {
    fires!(
        |state| state.newest_member = MemberNumber(3),
        InvariantError::NumberNotGiven { .. }
    );
    fires!(
        |state| state.founder_joined = false,
        InvariantError::NumberNotGiven { .. }
    );
}

#[test]
fn members_that_share_an_identity_fire() {
    use InvariantError::Shared;
    fires!(|state| member(state, 2).store = StoreId(1), Shared { .. });
    fires!(
        |state| member(state, 2).peer_address = "127.0.0.1:10001".to_string(),
        Shared { .. }
    );
    fires!(
        |state| member(state, 2).http_address = "127.0.0.1:8001".to_string(),
        Shared { .. }
    );
    fires!(|state| member(state, 2).node = node(1), Shared { .. });
}

#[test]
fn impossible_fields_of_a_member_fire() {
    use InvariantError::MemberField;
    fires!(|state| member(state, 2).weight = 0, MemberField { .. });
    fires!(
        |state| member(state, 2).state = NodeState::Down,
        MemberField { .. }
    );
    fires!(
        |state| member(state, 2).command_version = 0,
        MemberField { .. }
    );
    fires!(
        |state| member(state, 2).stopped_cleanly = true,
        MemberField { .. }
    );
    fires!(
        |state| member(state, 2).last_session = Some(SessionId(1)),
        MemberField { .. }
    );
}

#[test]
fn sessions_that_disagree_with_their_member_fire() {
    use InvariantError::SessionMember;
    fires!(
        |state| session(state, 2).member = MemberNumber(3),
        SessionMember { .. }
    );
    fires!(
        |state| member(state, 4).session = None,
        SessionMember { .. }
    );
    fires!(
        |state| member(state, 2).closing = true,
        SessionMember { .. }
    );
    fires!(
        |state| session(state, 2).generation.0 = 9,
        SessionMember { .. }
    );
    fires!(|state| member(state, 2).process.0 = 9, SessionMember { .. });
    fires!(
        |state| session(state, 2).floor = Position(1),
        SessionMember { .. }
    );
    fires!(
        |state| {
            let id = session(state, 4).id;
            Arc::make_mut(&mut state.sessions).remove(&id);
        },
        SessionMember { .. }
    );
}

#[test]
fn what_cannot_be_under_way_fires() {
    use InvariantError::{Ahead, Pending};
    let raise = |mode, since, waiting| {
        Some(Arc::new(Raise {
            mode,
            since: Position(since),
            waiting,
        }))
    };
    fires!(
        |state| state.raise = raise(Mode::Fenced, 1, vec![]),
        Pending { .. }
    );
    fires!(
        |state| {
            state.config.mode = Mode::Advisory;
            state.raise = raise(Mode::Fenced, 1, vec![SessionId(999)]);
        },
        Pending { .. }
    );
    let rebalance = |state: &State, done, since, base| {
        let target = state.table().unwrap().clone();
        let (trigger, actor) = (Trigger::Join, "operator".to_string());
        let (since, base) = (Position(since), Version(base));
        let rebalance = Rebalance {
            since,
            trigger,
            actor,
            base,
            target,
            started_at_ms: 0,
            total: 1,
            done,
            paused: false,
        };
        Some(Arc::new(rebalance))
    };
    fires!(
        |state| state.rebalance = rebalance(state, 2, 1, 1),
        Pending { .. }
    );
    fires!(
        |state| state.rebalance = rebalance(state, 1, 999, 1),
        Ahead { .. }
    );
    fires!(
        |state| state.rebalance = rebalance(state, 1, 1, 999),
        Ahead { .. }
    );
    let brake = Brake {
        since: Position(999),
        lost: 1,
        at_ms: 0,
    };
    fires!(|state| state.brake = Some(brake), Ahead { .. });
    let lease = PastLease {
        terms: LeaseTerms::default(),
        since: Position(999),
    };
    fires!(|state| state.past_lease = Some(lease), Ahead { .. });
}

#[test]
fn miscounted_bytes_fire() {
    fires!(
        |state| state.custom_bytes += 1,
        InvariantError::CustomBytes { .. }
    );
}

#[test]
fn disordered_history_fires() {
    fires!(
        |state| Arc::make_mut(&mut state.history).swap(0, 1),
        InvariantError::History { .. }
    );
    fires!(
        |state| state.config.history_max = 1,
        InvariantError::History { .. }
    );
}
