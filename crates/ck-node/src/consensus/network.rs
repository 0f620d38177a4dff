//! Consensus messages over the node's transport.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_transport::{Address, Request, Transport, TransportError};
use openraft::error::{
    InstallSnapshotError, NetworkError, PayloadTooLarge, RemoteError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::{PeerNode, RaftError, RpcError, TypeConfig, Vote};
use crate::codec;
use crate::published::Publisher;
use crate::relay;
use crate::store::{Store, key};
use crate::wire::kind;

/// Between attempts to reach a peer that is away. Short, so that one that returns is found soon.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// Makes a [`Peer`] for each member.
pub(crate) struct Network {
    pub(crate) id: u64,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) store: Store,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &PeerNode) -> Peer {
        Peer {
            id: self.id,
            target,
            first_address: node.address.clone(),
            transport: Arc::clone(&self.transport),
            publisher: Arc::clone(&self.publisher),
            store: self.store.clone(),
        }
    }
}

/// One other member.
pub(crate) struct Peer {
    id: u64,
    target: u64,
    first_address: String,
    transport: Arc<dyn Transport>,
    publisher: Arc<Publisher>,
    store: Store,
}

/// A peer follows a leader of this member's number that this process is not.
#[derive(Debug, thiserror::Error)]
#[error(
    "member {target} follows another process with the number of this one, {id}, elected in term {term}: \
     one of the two data directories is a copy; stop one of the two, and start a new node with an empty one"
)]
struct ElectedElsewhere {
    id: u64,
    target: u64,
    term: u64,
}

impl Peer {
    /// Refuses the answer of a peer whose `vote` is for this member, though this process never stood
    /// in that term.
    ///
    /// The core would take it for its own election and lead beside the process that was elected,
    /// with the same right. Without the answer it has no majority, and its lease runs out. What it
    /// stands for is in its store before it asks for a vote, so a late answer is told from that.
    fn heed<E: std::error::Error>(&self, vote: &Vote) -> Result<(), RpcError<E>> {
        if vote.leader_id.voted_for() != Some(self.id) {
            return Ok(());
        }
        let stood: Option<Vote> = self
            .store
            .read(key::VOTE)
            .map_err(|source| Unreachable::new(&source))?;
        if stood.is_some_and(|stood| stood.leader_id >= vote.leader_id) {
            return Ok(());
        }
        let elsewhere = ElectedElsewhere {
            id: self.id,
            target: self.target,
            term: vote.leader_id.get_term(),
        };
        Err(Unreachable::new(&elsewhere).into())
    }

    /// Where the member is by the newest state, else where the membership says it was.
    fn address(&self) -> Address {
        let published = self.publisher.current();
        let member = published
            .state
            .member(ck_control::MemberNumber(self.target));
        member.map_or_else(
            || Address::member(self.first_address.clone(), self.target),
            relay::address_of,
        )
    }

    async fn call<Q, A, E>(
        &self,
        kind: u16,
        rpc: &Q,
        option: &RPCOption,
        action: RPCTypes,
        entries: u64,
    ) -> Result<A, RpcError<E>>
    where
        Q: Serialize,
        A: DeserializeOwned,
        E: std::error::Error + DeserializeOwned + 'static,
    {
        let bytes = codec::encode(rpc).map_err(|source| NetworkError::new(&source))?;
        let address = self.address();
        let deadline = option.hard_ttl();
        let request = Request::new(kind, Bytes::from(bytes));
        let reply = match self.transport.call(&address, request, deadline).await {
            Ok((_, reply)) => reply,
            Err(source) => return Err(self.failed(&source, deadline, action, entries)),
        };
        let answer: Result<A, RaftError<E>> =
            codec::decode(&reply.payload).map_err(|source| NetworkError::new(&source))?;
        answer.map_err(|source| RemoteError::new(self.target, source).into())
    }

    fn failed<E: std::error::Error>(
        &self,
        source: &TransportError,
        timeout: Duration,
        action: RPCTypes,
        entries: u64,
    ) -> RpcError<E> {
        match source {
            TransportError::Timeout { .. } => Timeout {
                action,
                id: self.id,
                target: self.target,
                timeout,
            }
            .into(),
            // A single entry that does not fit will not fit the next time either: it waits like
            // whatever else does not get through.
            TransportError::FrameTooLarge { .. } if entries > 1 => {
                PayloadTooLarge::new_entries_hint((entries / 2).max(1)).into()
            }
            // Everything else waits before it is tried again: a refusal does not pass in no time.
            _ => Unreachable::new(source).into(),
        }
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let entries = rpc.entries.len() as u64;
        let action = RPCTypes::AppendEntries;
        let answer = self
            .call(kind::APPEND, &rpc, &option, action, entries)
            .await?;
        if let AppendEntriesResponse::HigherVote(vote) = &answer {
            self.heed(vote)?;
        }
        Ok(answer)
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RpcError<InstallSnapshotError>> {
        let action = RPCTypes::InstallSnapshot;
        let answer: InstallSnapshotResponse<u64> =
            self.call(kind::SNAPSHOT, &rpc, &option, action, 0).await?;
        self.heed(&answer.vote)?;
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        self.call(kind::VOTE, &rpc, &option, RPCTypes::Vote, 0)
            .await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_EVERY))
    }
}
