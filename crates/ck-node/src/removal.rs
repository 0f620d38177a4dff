//! Taking a node out of the cluster for good.

use std::sync::Arc;
use std::time::Duration;

use ck_control::{Command, MemberChange, MemberNumber, MoveRejection, Rejection, State, Trigger};
use ck_core::{NodeId, NodeState};

use crate::execute::{propose, settled};
use crate::operation::{OperationError, Outcome};
use crate::planning;
use crate::shared::Shared;
use crate::wire::Forwarded;

/// Takes a node out for good. One that is alive is drained first, then closed; when its lease has
/// run out, the leader completes the removal.
pub(crate) async fn remove(node: &Arc<Shared>, name: NodeId, actor: &str) -> Forwarded {
    let state = settled(node).await?;
    let member = state
        .member_by_node(name.as_str())
        .ok_or_else(|| Rejection::NodeUnknown { node: name.clone() })?;
    let number = member.number;
    if !can_do_without(node, &state, number) {
        return Err(OperationError::LastVoter { node: name });
    }
    if member.session.is_some() && !member.closing && holds(&state, &name) > 0 {
        drain(node, &state, &name, actor).await?;
        let mut applied = node.publisher.applied();
        let emptied = applied.wait_for(|_| {
            let state = node.state();
            holds(&state, &name) == 0 || state.rebalance().is_none()
        });
        let _ = tokio::time::timeout(DRAINED_WITHIN, emptied).await;
    }
    let state = settled(node).await?;
    let last_copies = last_copies(&state, number);
    if last_copies > 0 {
        return Err(OperationError::LastCopy {
            node: name,
            partitions: last_copies,
        });
    }
    let copies = holds(&state, &name);
    let drains = state.rebalance().is_some() && state.open_session_of(name.as_str()).is_some();
    if copies > 0 && drains {
        return Err(OperationError::Draining { node: name, copies });
    }
    close(node, &name, actor).await?;
    node.wake.notify_one();
    Ok(Outcome::Removed)
}

/// Time a removal waits for a drain before it says that it goes on; who asked asks again.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

/// Partitions a node holds a copy of.
fn holds(state: &State, name: &NodeId) -> u64 {
    let rows = state.table().into_iter().flat_map(|table| table.rows());
    rows.filter(|row| row.contains(name.as_str())).count() as u64
}

/// Partitions of which a member has the only copy in sync.
fn last_copies(state: &State, number: MemberNumber) -> u64 {
    let alone = state
        .partitions()
        .filter(|(_, one)| one.in_sync == [number]);
    alone.count() as u64
}

/// Marks a node as draining, and plans for that. Where the other nodes are too few to take its
/// copies over, it is removed with fewer copies left.
async fn drain(
    node: &Arc<Shared>,
    state: &State,
    name: &NodeId,
    actor: &str,
) -> Result<(), OperationError> {
    let known = state.member_by_node(name.as_str());
    if known.is_some_and(|member| member.state != NodeState::Draining) {
        let change = MemberChange {
            state: Some(NodeState::Draining),
            ..MemberChange::default()
        };
        let node_name = name.clone();
        let command = Command::Update {
            node: node_name,
            change,
        };
        propose(node, command, actor).await?;
    }
    match planning::rebalance(node, Trigger::Drain, false, actor).await {
        Ok(_) | Err(OperationError::TooFewCopies { .. }) => Ok(()),
        // The leader's own plan came first, for the same reason.
        Err(OperationError::Rejected(Rejection::Move(MoveRejection::RebalanceUnderWay {
            ..
        }))) => Ok(()),
        Err(source) => Err(source),
    }
}

/// Commits that a node goes, and waits until it has gone.
async fn close(node: &Arc<Shared>, name: &NodeId, actor: &str) -> Result<(), OperationError> {
    let state = node.state();
    let member = state.member_by_node(name.as_str());
    if member.is_some_and(|member| !member.closing) {
        propose(node, Command::Close { node: name.clone() }, actor).await?;
    }
    let within = node.config.operation_timeout / 2;
    let mut applied = node.publisher.applied();
    let gone = applied.wait_for(|_| node.state().member_by_node(name.as_str()).is_none());
    let gone = tokio::time::timeout(within, gone).await;
    match gone {
        Ok(_) => Ok(()),
        Err(_) => {
            let after_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            Err(OperationError::Unknown { after_ms })
        }
    }
}

/// Whether somebody else can vote once that member is gone.
fn can_do_without(node: &Shared, state: &State, number: MemberNumber) -> bool {
    let status = node.status();
    let votes = |voter: &MemberNumber| *voter != number && !state.is_removed(*voter);
    status.voters.iter().any(votes)
        || state.members().any(|member| {
            member.number != number
                && member.session.is_some()
                && status.is_caught_up(member.number)
        })
}
