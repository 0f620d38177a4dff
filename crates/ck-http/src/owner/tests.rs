use ck_control::{Config, Incarnation};
use ck_core::Epoch;

use super::*;
use crate::Backend as _;
use crate::fake::Fake;

const PARTITION: PartitionId = PartitionId(3);

fn state() -> State {
    State::clone(&Fake::with_partitions(Config::default(), 3).state())
}

fn token(state: &State, epoch: u64) -> FencingToken {
    FencingToken {
        incarnation: state.incarnation(),
        partition: PARTITION,
        epoch: Epoch(epoch),
    }
}

fn elsewhere(state: &State) -> NotOwner {
    let row = state.table().unwrap().row(PARTITION).unwrap();
    NotOwner::Elsewhere {
        partition: PARTITION,
        primary: row.primary().cloned(),
    }
}

#[track_caller]
fn is(problem: &Problem, status: u16, code: Code) {
    assert_eq!((problem.status, problem.known_code()), (status, Some(code)));
    assert_eq!(
        problem.retry_after_ms.is_some(),
        status == 503 || code == Code::NoPartitions,
        "{problem}"
    );
}

#[test]
fn whoever_asks_the_wrong_node_is_told_the_right_one() {
    let state = state();
    for fence in [None, Some(token(&state, 1))] {
        let problem = refusal(&state, &elsewhere(&state), fence);
        is(&problem, 421, Code::NotOwner);
        let newest = problem.newest.unwrap();
        let row = state.table().unwrap().row(PARTITION).unwrap();
        let primary = state
            .member_by_node(row.primary().unwrap().as_str())
            .unwrap();
        assert_eq!(newest.partition.as_deref(), Some("partition-3"));
        assert_eq!(newest.primary_node.as_deref(), Some(primary.node.as_str()));
        assert_eq!(newest.primary_address.as_ref(), Some(&primary.http_address));
        assert_eq!(newest.epoch, Some(1));
        assert_eq!(
            (newest.incarnation, newest.version),
            (state.incarnation().0, state.version().0)
        );
    }
}

#[test]
fn a_node_that_knows_less_than_its_caller_sends_it_nowhere() {
    let state = state();
    let later = [
        token(&state, 2),
        FencingToken {
            incarnation: Incarnation(state.incarnation().0 + 1),
            ..token(&state, 1)
        },
    ];
    for fence in later {
        let problem = refusal(&state, &elsewhere(&state), Some(fence));
        is(&problem, 503, Code::Moving);
        is(&differs(&state, token(&state, 1), fence), 503, Code::Moving);
    }
}

#[test]
fn an_old_grant_is_refused_with_the_present_one() {
    let state = state();
    let own = token(&state, 1);
    let problem = differs(&state, own, token(&state, 0));
    is(&problem, 409, Code::EpochOld);
    assert_eq!(problem.newest.unwrap().epoch, Some(1));
    let older = FencingToken {
        incarnation: Incarnation(0),
        ..token(&state, 9)
    };
    is(&differs(&state, own, older), 409, Code::EpochOld);
    let other = FencingToken {
        partition: PartitionId(4),
        ..own
    };
    is(&differs(&state, own, other), 400, Code::InvalidParameter);
}

#[test]
fn what_passes_says_when_to_come_back() {
    let state = state();
    let partition = PARTITION;
    let token = token(&state, 1);
    for (refused, code) in [
        (NotOwner::Moving { partition }, Code::Moving),
        (NotOwner::LeaseLapsed { partition }, Code::Moving),
        (NotOwner::Ended { token }, Code::Moving),
        (
            NotOwner::Elsewhere {
                partition,
                primary: None,
            },
            Code::Unavailable,
        ),
    ] {
        is(&refusal(&state, &refused, None), 503, code);
    }
}

#[test]
fn what_does_not_exist_is_said() {
    let state = state();
    let partition = PartitionId(64);
    let unknown = |partitions| NotOwner::Unknown {
        partition,
        partitions,
    };
    is(
        &refusal(&state, &unknown(64), None),
        404,
        Code::PartitionUnknown,
    );
    is(&refusal(&state, &unknown(0), None), 409, Code::NoPartitions);
    is(
        &refusal(&state, &NotOwner::Advisory, None),
        409,
        Code::Advisory,
    );
}

#[test]
fn a_fence_is_one_header_with_one_token() {
    let mut headers = HeaderMap::new();
    assert_eq!(fence(&headers), Ok(None));
    headers.insert(CK_FENCE, "1.3.12".parse().unwrap());
    assert_eq!(fence(&headers), Ok(Some("1.3.12".parse().unwrap())));
    headers.append(CK_FENCE, "1.3.12".parse().unwrap());
    assert_eq!(fence(&headers).unwrap_err().status, 400);
    for wrong in ["", "1.3", "1.03.4", "a.b.c", "1.3.4.5", "\u{e9}"] {
        let value = hyper::header::HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
        headers.insert(CK_FENCE, value);
        let problem = fence(&headers).unwrap_err();
        is(&problem, 400, Code::InvalidParameter);
        assert_eq!(problem.field.as_deref(), Some("ck-fence"), "{wrong}");
    }
}
