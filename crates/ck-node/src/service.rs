//! What this node answers to its peers.

use std::sync::{Arc, Weak};

use ck_control::{Answer, Rejection, Renewal};
use ck_transport::{BoxFuture, PeerId, Reply, Request, Service, ServiceError};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use crate::control::Input;
use crate::driver;
use crate::execute;
use crate::operation::{Operation, OperationError};
use crate::relay;
use crate::senders::{self, may_ask, was_removed};
use crate::shared::Shared;
use crate::wire::{self, Forward, Forwarded, Hello, HelloReply, Invitation, kind, refusal};

/// Handed to the transport before the node exists, so that no peer is turned away for long.
#[derive(Default)]
pub(crate) struct Door {
    node: RwLock<Weak<Shared>>,
}

impl Door {
    pub(crate) fn open(&self, node: &Arc<Shared>) {
        *self.node.write() = Arc::downgrade(node);
    }
}

impl Service for Door {
    fn handle(
        &self,
        from: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        let node = self.node.read().upgrade();
        Box::pin(async move {
            let node = node.ok_or_else(|| {
                ServiceError::new(refusal::NOT_RUNNING, "the node is not running")
            })?;
            answer(&node, &from, request).await
        })
    }

    fn stranger(&self, from: &PeerId, expects: Option<u64>) {
        if let Some(node) = self.node.read().upgrade() {
            driver::meet_stranger(&node, from, expects);
        }
    }
}

async fn answer(
    node: &Arc<Shared>,
    from: &PeerId,
    request: Request,
) -> Result<Reply, ServiceError> {
    match request.kind {
        kind::HELLO => {
            let hello: Hello = wire::request(&request.payload)?;
            tracing::debug!(from = %from.node, cluster = %hello.cluster_name, "greeted");
            wire::reply(&introduce(node, from))
        }
        kind::OPERATE => {
            let forward: Forward = wire::request(&request.payload)?;
            // What was begun is finished, though the one who asked goes away meanwhile.
            let (node, from) = (Arc::clone(node), from.clone());
            let done: Forwarded = tokio::spawn(async move { operate(&node, &from, forward).await })
                .await
                .map_err(|source| ServiceError::new(ServiceError::PANICKED, source))?;
            wire::reply(&done)
        }
        kind::INVITE => {
            let invitation: Invitation = wire::request(&request.payload)?;
            *node.invitation.lock() = Some(invitation);
            node.wake.notify_one();
            wire::reply(&())
        }
        kind::RENEW => {
            senders::heard(node, from)?;
            wire::reply(&renew(node, from, wire::request(&request.payload)?).await?)
        }
        kind::APPEND | kind::VOTE | kind::SNAPSHOT => {
            let sender = senders::heard(node, from)?;
            let consensus = node.consensus.get().ok_or_else(|| {
                ServiceError::new(refusal::NOT_RUNNING, "consensus is not running here yet")
            })?;
            let reply = consensus
                .serve(sender, request.kind, &request.payload)
                .await?;
            if request.kind != kind::VOTE {
                senders::note_followed(node, sender.member);
            }
            Ok(reply)
        }
        unknown => Err(ServiceError::new(
            refusal::KIND,
            format_args!("unknown kind of request {unknown}"),
        )),
    }
}

/// Hands a member's renewal to the leader's machine, and waits for its answer: until the caller
/// goes away, or a newer one of the same session is answered.
async fn renew(
    node: &Arc<Shared>,
    from: &PeerId,
    renewal: Renewal,
) -> Result<Answer, ServiceError> {
    if from.member != Some(renewal.member.0) {
        return Err(ServiceError::new(
            refusal::STRANGER,
            format_args!("{} renews for member {}", from.node, renewal.member),
        ));
    }
    let no_answer = |why: &str| ServiceError::new(refusal::NO_ANSWER, why);
    if !node.status().leads() {
        return Err(no_answer("this node does not lead"));
    }
    let (answer, answered) = oneshot::channel();
    node.line
        .try_send(Input::Renewal { renewal, answer })
        .map_err(|_| no_answer("too many renewals wait already"))?;
    answered
        .await
        .map_err(|_| no_answer("a newer renewal took its place"))
}

fn introduce(node: &Shared, from: &PeerId) -> HelloReply {
    let identity = node.identity.lock().clone();
    HelloReply {
        node: identity.node,
        store: identity.store.0,
        cluster_name: node.config.cluster_name.clone(),
        peer_address: node.peer_address(),
        // From the store, not from the state, which a start first has to read back.
        formed: node.membership().map(|membership| membership.cluster),
        removed: was_removed(node, from).is_some(),
    }
}

/// Carried out here if this node leads, else passed on to the leader; but only once, so that two
/// nodes that take each other for the leader do not play ball with it.
async fn operate(node: &Arc<Shared>, from: &PeerId, forward: Forward) -> Forwarded {
    if let Some(member) = was_removed(node, from) {
        return Err(Rejection::MemberRemoved { member }.into());
    }
    if !may_ask(node, from, &forward) {
        let reason = format!(
            "{} is not known here as a member that may ask for this",
            from.node
        );
        return Err(OperationError::NoLeader { reason, voters: 0 });
    }
    // A member ends its own session, and speaks for its own grants, not for another's; it asks the
    // leader itself, so nobody passes these on.
    let state = node.state();
    let whose = match &forward.operation {
        Operation::Stop { member, .. } => Some(*member),
        Operation::InSync { session, .. } => state.session(*session).map(|one| one.member),
        _ => None,
    };
    if whose.is_some_and(|member| from.member != Some(member.0)) {
        let reason = format!("{} does not speak for that member", from.node);
        return Err(OperationError::NoLeader { reason, voters: 0 });
    }
    let Ok(_permit) = node.operations.try_acquire() else {
        return Err(execute::busy());
    };
    if node.status().leads() {
        return execute::lead(node, forward.operation, &forward.actor).await;
    }
    match relay::leader_address(node) {
        Some(leader) if !forward.relayed => {
            let relayed = true;
            relay::relay(node, &leader, Forward { relayed, ..forward }).await
        }
        leader => Err(execute::not_leader(node, leader.as_ref())),
    }
}
