//! Passing an operation on to the node that can carry it out.

use std::time::Duration;

use bytes::Bytes;
use ck_control::Member;
use ck_transport::{Address, Request, TransportError};

use crate::codec;
use crate::consensus::{Substrate, SubstrateStatus};
use crate::execute::RETRY_EVERY;
use crate::operation::OperationError;
use crate::shared::Shared;
use crate::wire::{Forward, Forwarded, kind, refusal};

/// Time an answer of the leader before may take once another leads.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// Where the leader is, when one is known and it is another node.
pub(crate) fn leader_address(node: &Shared) -> Option<Address> {
    let leader = node
        .status()
        .leader
        .filter(|leader| Some(*leader) != node.member())?;
    let published = node.publisher.current();
    let member = published.state.member(leader)?;
    Some(address_of(member))
}

/// Another member, each in its turn.
pub(crate) fn any_member(node: &Shared) -> Option<Address> {
    let published = node.publisher.current();
    let others = published.state.members();
    let others: Vec<_> = others
        .filter(|member| Some(member.number) != node.member())
        .collect();
    let turn = usize::try_from(node.started.elapsed().as_millis() / RETRY_EVERY.as_millis());
    let member = others.get(turn.unwrap_or(0) % others.len().max(1))?;
    Some(address_of(member))
}

/// Where a member is, and who has to be there.
pub(crate) fn address_of(member: &Member) -> Address {
    let address = Address::member(member.peer_address.clone(), member.number.0);
    address.named(member.node.clone())
}

/// Passes an operation on to the node at `to`.
pub(crate) async fn relay(node: &Shared, to: &Address, forward: Forward) -> Forwarded {
    let timeout = node.config.operation_timeout;
    let unheard = |reason: String| OperationError::NoLeader {
        reason,
        voters: node.status().voters.len() as u64,
    };
    let after_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let unknown = || OperationError::Unknown { after_ms };
    let payload = codec::encode(&forward).map_err(|source| unheard(source.to_string()))?;
    let request = Request::new(kind::OPERATE, Bytes::from(payload));
    let call = node.transport().call(to, request, timeout);
    let answered = tokio::select! {
        answered = call => answered,
        // Who hangs, or is cut off, is waited for no longer than the others wait for it.
        () = outlived(node, to) => {
            tracing::warn!(to = %to, "another leads before the operation was answered");
            return Err(unknown());
        }
    };
    match answered {
        Ok((_, reply)) => codec::decode(&reply.payload).unwrap_or_else(|source| {
            tracing::warn!(%source, to = %to, "the answer to an operation is not understood");
            Err(unknown())
        }),
        Err(source) if never_ran(&source) => Err(unheard(source.to_string())),
        // The rest may come after it was carried out.
        Err(source) => {
            tracing::warn!(%source, to = %to, "the answer to an operation was lost");
            Err(unknown())
        }
    }
}

/// Ready once another node has led for a while than the one asked.
async fn outlived(node: &Shared, asked: &Address) {
    let Some(consensus) = node.consensus.get() else {
        return std::future::pending().await;
    };
    let mut status = consensus.watch();
    let other = |status: &SubstrateStatus| {
        let leader = status.leader.map(|leader| leader.0);
        leader.is_some() && asked.expected.is_some() && leader != asked.expected
    };
    while status.wait_for(other).await.map(drop).is_ok() {
        // Its answer may be on its way.
        let back = async { status.wait_for(|now| !other(now)).await.map(drop) };
        if tokio::time::timeout(ANSWERED_WITHIN, back).await.is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Whether a call that failed so certainly did not reach the operation.
fn never_ran(source: &TransportError) -> bool {
    match source {
        TransportError::Unreachable { .. }
        | TransportError::WrongPeer { .. }
        | TransportError::WrongNode { .. }
        | TransportError::OtherCluster { .. }
        | TransportError::OtherNode { .. }
        | TransportError::Version { .. }
        | TransportError::Busy { .. } => true,
        TransportError::Refused { code, .. } => [
            refusal::MALFORMED,
            refusal::KIND,
            refusal::NOT_RUNNING,
            refusal::STRANGER,
        ]
        .contains(code),
        _ => false,
    }
}
