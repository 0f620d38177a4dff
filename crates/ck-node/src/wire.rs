//! What nodes say to each other, over whatever transport.

use bytes::Bytes;
use ck_control::{ClusterId, MemberNumber};
use ck_core::NodeId;
use ck_transport::{Reply, ServiceError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::operation::{Operation, OperationError, Outcome};

/// Kinds of requests. Numbers are never given a second meaning.
pub(crate) mod kind {
    /// Who is there: [`super::Hello`] → [`super::HelloReply`].
    pub(crate) const HELLO: u16 = 1;
    /// Carry this out: [`super::Forward`] → its outcome.
    pub(crate) const OPERATE: u16 = 2;
    /// Look for the cluster at this address: [`super::Invitation`] → `()`.
    pub(crate) const INVITE: u16 = 3;
    /// Extend my lease: [`ck_control::Renewal`] → [`ck_control::Answer`].
    pub(crate) const RENEW: u16 = 4;
    /// Consensus: append entries.
    pub(crate) const APPEND: u16 = 16;
    /// Consensus: a vote.
    pub(crate) const VOTE: u16 = 17;
    /// Consensus: a piece of a snapshot.
    pub(crate) const SNAPSHOT: u16 = 18;
}

/// Codes of refusals.
pub(crate) mod refusal {
    /// The request does not decode.
    pub(crate) const MALFORMED: u16 = 1;
    /// The kind is not known.
    pub(crate) const KIND: u16 = 2;
    /// The node runs no consensus at present.
    pub(crate) const NOT_RUNNING: u16 = 3;
    /// The sender is not who the table says has that member number.
    pub(crate) const STRANGER: u16 = 4;
    /// The consensus core here has failed.
    pub(crate) const FATAL: u16 = 5;
    /// A renewal has no answer: this node does not lead, or has too many to answer.
    pub(crate) const NO_ANSWER: u16 = 6;
}

/// Asked of a node by one that looks for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) cluster_name: String,
}

/// How far a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HelloReply {
    pub(crate) node: NodeId,
    pub(crate) store: u128,
    pub(crate) cluster_name: String,
    /// The address it tells others, which is what nodes order themselves by when they form.
    pub(crate) peer_address: String,
    /// The cluster it belongs to, once it does.
    pub(crate) formed: Option<ClusterId>,
    /// Whether the one who asks was a member of that cluster, and is no more.
    pub(crate) removed: bool,
}

/// An operation passed on to the leader.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Forward {
    pub(crate) operation: Operation,
    pub(crate) actor: String,
    /// Set by a node that passed it on, or that asks the leader itself; it is not passed on again.
    pub(crate) relayed: bool,
}

/// The answer to [`Forward`].
pub(crate) type Forwarded = Result<Outcome, OperationError>;

/// Tells a waiting node where a cluster is that will have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) cluster: ClusterId,
    pub(crate) via: String,
    /// The member number it has there already, if any.
    pub(crate) member: Option<MemberNumber>,
}

/// A request's payload as a value.
pub(crate) fn request<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ServiceError> {
    codec::decode(payload).map_err(|source| ServiceError::new(refusal::MALFORMED, source))
}

/// A value as the payload of a reply.
pub(crate) fn reply<T: Serialize>(value: &T) -> Result<Reply, ServiceError> {
    let bytes =
        codec::encode(value).map_err(|source| ServiceError::new(refusal::MALFORMED, source))?;
    Ok(Reply::new(Bytes::from(bytes)))
}
