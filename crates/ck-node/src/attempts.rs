//! One operation, tried several times: what its outcome is when not every attempt was answered.

use ck_control::Rejection;
use ck_core::NodeId;

use crate::operation::{Operation, OperationError, Outcome};
use crate::wire::Forwarded;

/// What became of the attempts at one operation so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    last: Option<OperationError>,
    /// The attempt that may have been carried out. Whatever a later one is told is about the state
    /// that this one may have left, and says nothing of it.
    unknown: Option<OperationError>,
}

impl Attempts {
    /// An attempt failed; `None` when another one is worth it.
    pub(crate) fn failed(
        &mut self,
        operation: &Operation,
        failure: OperationError,
        me: &NodeId,
    ) -> Option<Forwarded> {
        let is_gone = matches!(
            failure,
            OperationError::Rejected(Rejection::NodeUnknown { .. })
        );
        if is_gone && self.unknown.is_some() && matches!(operation, Operation::Remove { .. }) {
            // An attempt whose answer was lost has done it.
            return Some(Ok(Outcome::Removed));
        }
        let again = match &failure {
            OperationError::NotLeader { .. } | OperationError::NoLeader { .. } => true,
            OperationError::Unknown { .. } => operation.is_idempotent(),
            // Another node, which led, stops; the next leader may take it on.
            OperationError::Stopping { node: other } => other != me,
            _ => false,
        };
        if matches!(failure, OperationError::Unknown { .. }) {
            self.unknown = Some(failure.clone());
        }
        if again {
            self.last = Some(failure);
            return None;
        }
        // Who registers learns from the refusal itself what its earlier attempt has left.
        let registers = matches!(operation, Operation::Register(_) | Operation::Join(_));
        let told = self.unknown.take().filter(|_| !registers);
        Some(Err(told.unwrap_or(failure)))
    }

    /// The time is up.
    pub(crate) fn give_up(self, voters: u64) -> Forwarded {
        if let Some(unknown) = self.unknown {
            return Err(unknown);
        }
        let reason = self.last.map_or_else(
            || "nothing was tried".to_owned(),
            |failure| failure.to_string(),
        );
        Err(OperationError::NoLeader { reason, voters })
    }
}

impl Operation {
    /// Whether carrying it out twice leaves what carrying it out once does.
    fn is_idempotent(&self) -> bool {
        match self {
            // Between the first time and the second somebody else may have written.
            Self::SetCustom { .. } | Self::DeleteCustom { .. } | Self::InSync { .. } => false,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use ck_control::{InSyncChange, MemberNumber, SessionId};
    use ck_core::{Epoch, PartitionId};

    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn unknown() -> OperationError {
        OperationError::Unknown { after_ms: 500 }
    }

    fn no_leader() -> OperationError {
        let reason = "an election".to_owned();
        OperationError::NoLeader { reason, voters: 3 }
    }

    fn gone() -> OperationError {
        let node = node("node-2");
        Rejection::NodeUnknown { node }.into()
    }

    /// The outcome of the attempts that failed so.
    fn outcome(operation: &Operation, failures: &[OperationError]) -> Forwarded {
        let mut attempts = Attempts::default();
        for failure in failures {
            let ended = attempts.failed(operation, failure.clone(), &node("node-1"));
            if let Some(ended) = ended {
                return ended;
            }
        }
        attempts.give_up(3)
    }

    #[test]
    fn what_may_have_been_carried_out_is_never_said_to_be_not() {
        let pause = Operation::PausePlan { paused: true };
        let stopping = || OperationError::Stopping {
            node: node("node-1"),
        };
        for failures in [
            vec![unknown(), no_leader(), no_leader()],
            vec![unknown(), Rejection::NoPartitions.into()],
            vec![no_leader(), unknown(), stopping()],
        ] {
            assert_eq!(outcome(&pause, &failures), Err(unknown()), "{failures:?}");
        }
        assert_eq!(
            outcome(&pause, &[no_leader(), stopping()]),
            Err(stopping()),
            "nothing was open"
        );
        assert!(matches!(
            outcome(&pause, &[no_leader()]),
            Err(OperationError::NoLeader { .. })
        ));
    }

    #[test]
    fn a_removal_whose_answer_was_lost_has_been_done_when_the_node_is_gone() {
        let node = node("node-2");
        let remove = Operation::Remove { node };
        assert_eq!(outcome(&remove, &[unknown(), gone()]), Ok(Outcome::Removed));
        assert_eq!(outcome(&remove, &[gone()]), Err(gone()));
    }

    #[test]
    fn a_change_of_the_in_sync_set_is_not_made_a_second_time_by_itself() {
        let change = Operation::InSync {
            partition: PartitionId(0),
            session: SessionId(1),
            epoch: Epoch(1),
            change: InSyncChange::Remove(MemberNumber(2)),
        };
        let mut attempts = Attempts::default();
        let ended = attempts.failed(&change, unknown(), &node("node-1"));
        assert_eq!(ended, Some(Err(unknown())));
    }
}
