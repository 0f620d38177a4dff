//! Who belongs to the cluster: joining, registering at each start, leaving for good.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ck_control::{
    Command, ConfigChoices, MemberChange, Position, Registration, Rejection, SessionId, State,
};
use ck_core::NodeId;
use ck_transport::{Address, Request};

use crate::codec;
use crate::execute::{propose, settled};
use crate::forming::hello;
use crate::operation::{Itself, JoinRequest, Joined, OperationError, Outcome};
use crate::shared::Shared;
use crate::wire::{Forwarded, HelloReply, Invitation, kind};

/// Admits a node. It is asked who it is first, at the address its peers are to reach it at.
pub(crate) async fn join(node: &Arc<Shared>, request: JoinRequest, actor: &str) -> Forwarded {
    let state = settled(node).await?;
    check(&state, &request)?;
    // An operator has shown the token over HTTP; the node it names shows it when it asks itself.
    if let Some(itself) = &request.itself
        && node.config.secrets.guard()
        && !node.config.secrets.accept(itself.secret.as_ref())
    {
        return Err(OperationError::Unauthorized { node: request.node });
    }
    let met = meet(node, &request).await?;
    match request.itself.clone() {
        Some(itself) => {
            if met.store != itself.store.0 {
                return Err(OperationError::WrongNode {
                    node: request.node,
                    address: request.peer_address,
                    got: met.node,
                });
            }
            register_as(node, request, itself, actor).await
        }
        None => announce(node, &state, request, &met, actor).await,
    }
}

/// Opens a member's next session.
pub(crate) async fn register(node: &Arc<Shared>, request: JoinRequest, actor: &str) -> Forwarded {
    let state = settled(node).await?;
    check(&state, &fixed(&request))?;
    let Some(itself) = request.itself.clone() else {
        return Err(Rejection::NodeUnknown { node: request.node }.into());
    };
    // A member has shown it when it joined. Which one it shows is not asked again, so that a token
    // can be replaced one node after the other.
    let known = state
        .member_by_node(request.node.as_str())
        .is_some_and(|member| member.store == itself.store);
    let shown = match known {
        true => itself.secret.is_some(),
        false => node.config.secrets.accept(itself.secret.as_ref()),
    };
    if node.config.secrets.guard() && !shown {
        return Err(OperationError::Unauthorized { node: request.node });
    }
    register_as(node, request, itself, actor).await
}

/// The request without the values that can be changed while the cluster runs: a member that comes
/// back with the flags it was first started with must not be refused for a change made since.
fn fixed(request: &JoinRequest) -> JoinRequest {
    let mut request = request.clone();
    if let Some(itself) = &mut request.itself {
        itself.choices = ConfigChoices {
            replication_factor: None,
            spread: None,
            min_in_sync: None,
            rejoin_grace_ms: None,
            settle_ms: None,
            auto_create: None,
            auto_rebalance: None,
            voters: None,
            ..itself.choices.clone()
        };
    }
    request
}

fn check(state: &State, request: &JoinRequest) -> Result<(), OperationError> {
    let actual = state
        .formed()
        .map(|genesis| genesis.name.clone())
        .unwrap_or_default();
    if let Some(wanted) = request
        .cluster_name
        .clone()
        .filter(|wanted| *wanted != actual)
    {
        return Err(OperationError::OtherCluster {
            node: request.node.clone(),
            wanted,
            actual,
        });
    }
    let choices = request.itself.as_ref().map(|itself| &itself.choices);
    if let Some(conflict) = choices.and_then(|choices| state.config().conflict(choices)) {
        return Err(OperationError::Conflict {
            node: request.node.clone(),
            field: conflict.field,
            wanted: conflict.wanted,
            actual: conflict.actual,
        });
    }
    Ok(())
}

async fn meet(node: &Arc<Shared>, request: &JoinRequest) -> Result<HelloReply, OperationError> {
    let address = request.peer_address.clone();
    let met = hello(node, &Address::anyone(address.clone()))
        .await
        .map_err(|reason| OperationError::Unreachable {
            node: request.node.clone(),
            address: address.clone(),
            reason,
        })?;
    if met.node != request.node {
        return Err(OperationError::WrongNode {
            node: request.node.clone(),
            address,
            got: met.node,
        });
    }
    if met.cluster_name != node.config.cluster_name {
        return Err(OperationError::OtherCluster {
            node: request.node.clone(),
            wanted: met.cluster_name,
            actual: node.config.cluster_name.clone(),
        });
    }
    Ok(met)
}

async fn register_as(
    node: &Arc<Shared>,
    request: JoinRequest,
    itself: Itself,
    actor: &str,
) -> Forwarded {
    let name = request.node.clone();
    let state = node.state();
    // A node that asks again because the answer was lost, or that lost its answer in a crash,
    // is the member it became.
    let known = state
        .member_by_node(name.as_str())
        .filter(|member| member.store == itself.store);
    // The answer to a registration of this very process was lost, and the session is open.
    if let Some(open) = known.and_then(|member| state.session(member.session?))
        && open.process == itself.process
    {
        return joined(node, &name, Some(Position(open.id.0)));
    }
    // The founder has its number before the state knows it, and registers as new.
    let claimed = itself
        .member
        .filter(|number| state.member(*number).is_some() || state.is_removed(*number));
    let member = claimed.or(known.map(|member| member.number));
    let previous = itself
        .previous
        .or(known.and_then(|member| member.session.or(member.last_session)));
    let registration = Registration {
        node: request.node,
        display_name: request.display_name,
        store: itself.store,
        generation: itself.generation,
        member,
        previous,
        // Locked by the process that asks, for as long as it lives.
        homes: itself.homes,
        process: itself.process,
        durable: itself.durable,
        stopped: itself.stopped,
        // The session it replaces is the newest start's that is known, or none's.
        served: itself.served.is_some() && itself.served >= known.map(|member| member.generation),
        peer_address: request.peer_address,
        http_address: request.http_address,
        weight: request
            .weight
            .or(known.map(|member| member.weight))
            .unwrap_or(1),
        domain: request
            .domain
            .or_else(|| known.and_then(|member| member.domain.clone())),
        services: kept(request.services, known.map(|member| &member.services)),
        labels: kept(request.labels, known.map(|member| &member.labels)),
        command_version: itself.command_version,
    };
    let (position, _) = propose(node, Command::Register(registration), actor).await?;
    node.wake.notify_one();
    joined(node, &name, Some(position))
}

/// What a node says, or, when it says nothing, what is known of it.
fn kept(
    said: BTreeMap<String, String>,
    known: Option<&BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    if said.is_empty() {
        known.cloned().unwrap_or_default()
    } else {
        said
    }
}

fn joined(node: &Shared, name: &NodeId, position: Option<Position>) -> Forwarded {
    let state = node.state();
    let genesis = state.formed().ok_or(Rejection::NotFormed)?;
    let member = state
        .member_by_node(name.as_str())
        .ok_or_else(|| Rejection::NodeUnknown { node: name.clone() })?;
    Ok(Outcome::Joined(Joined {
        cluster: genesis.cluster,
        cluster_name: genesis.name.clone(),
        incarnation: state.incarnation(),
        node: name.clone(),
        member: member.number,
        session: position.map(SessionId::from),
        members: state.members().len() as u64,
    }))
}

/// An operator names a node: it is told where the cluster is, and asks for admission itself.
async fn announce(
    node: &Arc<Shared>,
    state: &State,
    request: JoinRequest,
    met: &HelloReply,
    actor: &str,
) -> Forwarded {
    let genesis = state.formed().ok_or(Rejection::NotFormed)?;
    let said_by_the_operator = told(&request);
    let name = request.node;
    if let Some(member) = state.member_by_node(name.as_str()) {
        if member.store.0 == met.store {
            return joined(node, &name, None);
        }
        return Err(Rejection::NodeInUse {
            node: name,
            member: member.number,
        }
        .into());
    }
    if let Some(theirs) = met.formed {
        return Err(OperationError::OtherCluster {
            node: name,
            wanted: theirs.to_string(),
            actual: genesis.cluster.to_string(),
        });
    }
    let invitation = Invitation {
        cluster: genesis.cluster,
        via: node.peer_address(),
        member: None,
    };
    let unreachable = |reason: String| OperationError::Unreachable {
        node: name.clone(),
        address: request.peer_address.clone(),
        reason,
    };
    let payload = codec::encode(&invitation).map_err(|source| unreachable(source.to_string()))?;
    let to = Address::anyone(request.peer_address.clone());
    let invite = Request::new(kind::INVITE, Bytes::from(payload));
    let timeout = node.config.operation_timeout;
    node.transport()
        .call(&to, invite, timeout)
        .await
        .map_err(|source| unreachable(source.to_string()))?;
    let mut applied = node.publisher.applied();
    let arrival = applied.wait_for(|_| node.state().member_by_node(name.as_str()).is_some());
    if tokio::time::timeout(timeout, arrival).await.is_err() {
        let after_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        return Err(OperationError::Unknown { after_ms });
    }
    if said_by_the_operator != MemberChange::default() {
        let command = Command::Update {
            node: name.clone(),
            change: said_by_the_operator,
        };
        propose(node, command, actor).await?;
    }
    joined(node, &name, None)
}

/// What an operator says of a node it announces; it counts more than what the node says itself.
fn told(request: &JoinRequest) -> MemberChange {
    let named = !request.display_name.is_empty() && request.display_name != request.node.as_str();
    MemberChange {
        display_name: named.then(|| request.display_name.clone()),
        weight: request.weight,
        domain: request.domain.clone().map(Some),
        services: (!request.services.is_empty()).then(|| request.services.clone()),
        labels: (!request.labels.is_empty()).then(|| request.labels.clone()),
        ..MemberChange::default()
    }
}
