//! What the cluster refuses, as problems.

use ck_api::{Code, Problem};
use ck_control::state::MoveRejection;
use ck_control::{ConfigError, MemberNumber, Rejection, State};
use ck_core::PartitionId;
use ck_node::OperationError;

use crate::orders::newest;
use crate::reply::Refused;

/// When to try again while an election may be under way.
const ELECTION_MS: u64 = 500;

impl From<OperationError> for Refused {
    fn from(error: OperationError) -> Self {
        operation(&error).into()
    }
}

/// A refusal that says where things stand, when an old picture of them may have led to it.
pub(crate) fn with_newest(error: &OperationError, state: &State) -> Refused {
    let mut problem = operation(error);
    let partition = match error {
        OperationError::Rejected(Rejection::Move(refused)) => {
            problem.detail = named(&problem.detail, refused, state);
            partition(refused)
        }
        _ => None,
    };
    if partition.is_none() && problem.status != 412 {
        return problem.into();
    }
    problem.with_newest(newest(state, partition)).into()
}

/// The log knows members by number; people know nodes.
fn named(detail: &str, refused: &MoveRejection, state: &State) -> String {
    let (MoveRejection::PartitionHeld { member, .. }
    | MoveRejection::LossNotAccepted { member, .. }
    | MoveRejection::TransferLimit { member, .. }
    | MoveRejection::PartySession { member, .. }
    | MoveRejection::NotInSync { member, .. }
    | MoveRejection::MinInSync { member, .. }) = refused
    else {
        return detail.to_owned();
    };
    match state.member(*member) {
        Some(known) => with_name(detail, *member, known.node.as_str()),
        None => detail.to_owned(),
    }
}

/// `detail` with a name in place of a member's number; `member 12` is not `member 1`.
fn with_name(detail: &str, member: MemberNumber, name: &str) -> String {
    let number = format!("member {member}");
    let mut parts = detail.split(number.as_str());
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_another = part.starts_with(|next: char| next.is_ascii_digit());
        text.push_str(if is_another { &number } else { name });
        text.push_str(part);
    }
    text
}

/// The partition a refusal is about.
fn partition(refused: &MoveRejection) -> Option<PartitionId> {
    match refused {
        MoveRejection::PartitionUnavailable { partition }
        | MoveRejection::PartitionHeld { partition, .. }
        | MoveRejection::LossNotAccepted { partition, .. }
        | MoveRejection::TransferUnderWay { partition, .. }
        | MoveRejection::TransferShape { partition }
        | MoveRejection::NotInSync { partition, .. }
        | MoveRejection::MinInSync { partition, .. }
        | MoveRejection::LastCopy { partition, .. }
        | MoveRejection::GrantPast { partition, .. }
        | MoveRejection::Braked { partition } => Some(*partition),
        _ => None,
    }
}

fn operation(error: &OperationError) -> Problem {
    let detail = error.to_string();
    let of = |code: Code| Problem::new(code, detail.clone());
    let problem = match error {
        OperationError::Rejected(rejection) => return self::rejection(rejection),
        OperationError::NotLeader { .. } => of(Code::NotLeader).with_retry_after_ms(ELECTION_MS),
        OperationError::NoLeader { .. } => of(Code::NoLeader).with_retry_after_ms(ELECTION_MS),
        OperationError::NotFormed { .. } => of(Code::NotFormed).with_retry_after_ms(1000),
        OperationError::Unknown { .. } => of(Code::OutcomeUnknown),
        OperationError::Unreachable { address, .. } => of(Code::NodeUnreachable)
            .with_field("peer_addr")
            .with_value(address),
        OperationError::WrongNode { address, .. } => of(Code::WrongNode)
            .with_field("peer_addr")
            .with_value(address),
        OperationError::OtherCluster { wanted, .. } => of(Code::OtherCluster)
            .with_field("cluster")
            .with_value(wanted),
        OperationError::Conflict { field, wanted, .. } => of(Code::ConfigurationConflict)
            .with_field(field)
            .with_value(wanted),
        OperationError::Placement { .. } => of(Code::NoPlacement),
        OperationError::NoPartitions => of(Code::NoPartitions),
        OperationError::Busy { .. } => of(Code::Busy).with_retry_after_ms(1000),
        OperationError::Stopping { .. } => of(Code::Stopping),
        OperationError::Unauthorized { .. } => of(Code::Unauthorized),
        OperationError::Store { .. } => {
            let title = "The node cannot write to its disk";
            Problem::refusal(error.code(), 503, title, detail.clone())
        }
        // A conflict that may pass, such as a node that still has to be emptied, says so.
        other => {
            let title = Code::Conflict.title();
            let problem = Problem::refusal(other.code(), 409, title, detail.clone());
            if other.is_retryable() {
                problem.with_retry_after_ms(1000)
            } else {
                problem
            }
        }
    };
    debug_assert!(problem.code == error.code() || Code::from_name(error.code()).is_none());
    problem
}

/// A refusal of the replicated state, under its own code.
pub(crate) fn rejection(rejection: &Rejection) -> Problem {
    let (status, title) = match rejection {
        Rejection::NotFormed => (503, Code::NotFormed.title()),
        Rejection::NodeUnknown { .. } | Rejection::MemberUnknown { .. } => {
            (404, Code::NodeUnknown.title())
        }
        Rejection::CustomUnknown { .. } => (404, Code::CustomUnknown.title()),
        Rejection::Move(MoveRejection::PartitionUnknown { .. }) => {
            (404, Code::PartitionUnknown.title())
        }
        Rejection::Move(MoveRejection::TransferUnknown { .. }) => {
            (404, "There is no such transfer, or not any more")
        }
        Rejection::CustomVersion { .. } | Rejection::PlanStale { .. } => {
            (412, Code::PreconditionFailed.title())
        }
        Rejection::Length {
            field, got, max, ..
        } if got > max && field.contains("value") => (413, Code::BodyTooLarge.title()),
        Rejection::Config(_)
        | Rejection::Length { .. }
        | Rejection::Characters { .. }
        | Rejection::Count { .. }
        | Rejection::Range { .. }
        | Rejection::StateDown
        | Rejection::NoField => (400, "A field has a value that is not allowed"),
        Rejection::TooFewNodes { .. } => (409, Code::TooFewNodes.title()),
        Rejection::NoPartitions => (409, Code::NoPartitions.title()),
        _ => (409, Code::Conflict.title()),
    };
    let mut problem = Problem::refusal(rejection.code(), status, title, rejection.to_string());
    problem.field = field(rejection);
    if let Rejection::TooFewNodes { have, need } = rejection {
        problem = problem.with_count((*have).into(), (*need).into());
    }
    let may_pass = matches!(rejection, Rejection::Move(_)) && rejection.is_retryable();
    if may_pass || (rejection.is_retryable() && status == 503) {
        problem = problem.with_retry_after_ms(1000);
    }
    problem
}

fn field(rejection: &Rejection) -> Option<String> {
    match rejection {
        Rejection::Length { field, .. }
        | Rejection::Characters { field, .. }
        | Rejection::Count { field, .. }
        | Rejection::Range { field, .. }
        | Rejection::CustomFull { field, .. }
        | Rejection::Config(
            ConfigError::Range { field, .. } | ConfigError::Exceeds { field, .. },
        ) => Some(field.clone()),
        Rejection::Config(ConfigError::Voters { .. }) => Some("voters".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ck_core::NodeId;

    use super::*;

    fn node() -> NodeId {
        "node-1".parse().unwrap()
    }

    #[test]
    fn a_conflict_is_never_a_500_and_says_what_falls_short() {
        let problem = rejection(&Rejection::TooFewNodes { have: 2, need: 3 });
        assert_eq!(
            (problem.status, problem.have, problem.need),
            (409, Some(2), Some(3))
        );
        assert_eq!(problem.code, "too-few-nodes");
        let problem = rejection(&Rejection::NodeInUse {
            node: node(),
            member: ck_control::MemberNumber(1),
        });
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (409, "node-in-use")
        );
    }

    #[test]
    fn a_name_takes_the_place_of_its_own_number_alone() {
        let said = "member 1 holds what member 12 and member 1 wait for; not member 10";
        assert_eq!(
            with_name(said, MemberNumber(1), "node-1"),
            "node-1 holds what member 12 and node-1 wait for; not member 10"
        );
        assert_eq!(with_name(said, MemberNumber(2), "node-2"), said);
    }

    #[test]
    fn an_address_that_does_not_answer_is_the_callers_to_mend() {
        let error = OperationError::Unreachable {
            node: node(),
            address: "127.0.0.1:1".into(),
            reason: "refused".into(),
        };
        let problem = operation(&error);
        assert_eq!(
            (problem.status, problem.value.as_deref()),
            (422, Some("127.0.0.1:1"))
        );
    }

    #[test]
    fn what_may_pass_says_when_to_come_back() {
        for error in [
            OperationError::NotLeader {
                node: node(),
                leader: None,
            },
            OperationError::NoLeader {
                reason: "none".into(),
                voters: 3,
            },
            OperationError::NotFormed {
                node: node(),
                waiting_for: "1 of 3".into(),
            },
            OperationError::Busy { limit: 1 },
        ] {
            let problem = operation(&error);
            assert_eq!(problem.status, 503, "{error}");
            assert!(problem.retry_after_ms.is_some(), "{error}");
            assert_eq!(problem.code, error.code());
        }
        let unknown = operation(&OperationError::Unknown { after_ms: 5 });
        assert_eq!((unknown.status, unknown.retry_after_ms), (504, None));
    }

    #[test]
    fn a_refused_move_is_a_conflict_that_says_whether_it_may_pass() {
        let partition = PartitionId(3);
        let member = ck_control::MemberNumber(2);
        for (refused, status, may_pass) in [
            (MoveRejection::PartitionUnknown { partition }, 404, false),
            (
                MoveRejection::PartitionHeld { partition, member },
                409,
                false,
            ),
            (
                MoveRejection::LossNotAccepted { partition, member },
                409,
                false,
            ),
            (MoveRejection::TransferLimit { member, max: 2 }, 409, true),
            (MoveRejection::Braked { partition }, 409, true),
            (MoveRejection::NoRebalance, 409, false),
        ] {
            let error = OperationError::Rejected(refused.into());
            let problem = operation(&error);
            assert_eq!(
                (problem.status, &*problem.code),
                (status, error.code()),
                "{error}"
            );
            assert_eq!(problem.retry_after_ms.is_some(), may_pass, "{error}");
        }
        let draining = OperationError::Draining {
            node: node(),
            copies: 3,
        };
        let problem = operation(&draining);
        assert_eq!((problem.status, problem.retry_after_ms), (409, Some(1000)));
    }
}
