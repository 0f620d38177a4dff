//! Questions to other nodes, in frames of ours.

use std::time::Duration;

use ck_http::{Request, StatusCode};
use ck_node::MemberNumber;
use ck_serve::{CourierError, address_of};

use crate::kv::Core;
use crate::record::VALUE_BYTES_MAX;
use crate::wire::{Envelope, Message, WireError, frame, unframe};

/// Largest frame between nodes: what may be under way in a partition, and some.
pub(crate) const FRAME_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX;

/// Path below which nodes speak to one another.
pub(crate) const PEER_PATH: &str = "/kv-peer/";

/// Why a member gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It has no address, or is no member.
    #[error("member {member} has no address")]
    NoAddress { member: MemberNumber },
    /// It cannot be asked, or did not answer.
    #[error(transparent)]
    Courier(#[from] CourierError),
    /// It refused the request as such.
    #[error("{address} answered {status}")]
    Status { address: String, status: StatusCode },
    /// Its answer is damaged.
    #[error("{address}: {source}")]
    Wire { address: String, source: WireError },
    /// Its answer is of another question.
    #[error("the answer does not fit the question")]
    Malformed,
    /// This node belongs to no cluster yet.
    #[error("the node belongs to no cluster yet")]
    NoNode,
}

impl Core {
    /// Asks a member.
    pub(crate) async fn ask<M: Message>(
        &self,
        member: MemberNumber,
        content: M,
        within: Duration,
    ) -> Result<M::Reply, AskError> {
        let node = self.node().ok_or(AskError::NoNode)?;
        let state = node.state();
        let (genesis, me) = state.formed().zip(node.member()).ok_or(AskError::NoNode)?;
        let address = address_of(node, member).ok_or(AskError::NoAddress { member })?;
        let envelope = Envelope {
            cluster: genesis.cluster.0,
            from: me.0,
            to: member.0,
            content,
        };
        let target = format!("{PEER_PATH}{}", M::PATH);
        let request = Request::post(target).body(frame(&envelope));
        let request = request.expect("a path of letters makes a request");
        let answer = self.config.courier.send(&address, request, within).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            return Err(AskError::Status { address, status });
        }
        unframe(answer.into_body()).map_err(|source| AskError::Wire { address, source })
    }
}
