//! How a node without data comes to belong to a cluster: it forms one, or joins one.
//!
//! It asks every other address it was given. If one answers from a cluster, it joins there. Only
//! when all the others have answered, each that it belongs to none, does the node with the
//! smallest address form one; so that nodes given the same list never form two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_control::{ClusterId, MemberNumber};
use ck_transport::{Address, Request};
use futures_util::future::join_all;

use crate::codec;
use crate::operation::{Joined, Operation, OperationError, Outcome};
use crate::relay;
use crate::shared::{Phase, Shared};
use crate::store::Membership;
use crate::wire::{Forward, Hello, HelloReply, kind};

/// Time another node has to introduce itself.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

/// Between rounds of asking.
const ROUND_EVERY: Duration = Duration::from_millis(150);

/// How soon a wait for something else is reported.
const REPORT_NEWS_EVERY: Duration = Duration::from_secs(2);

/// How often a wait that goes on is reported again.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Why a node does not come to belong to a cluster, and will not by waiting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormingError {
    /// The cluster will not have it.
    #[error("the cluster refused this node: {0}")]
    Refused(#[source] OperationError),
    /// The cluster at that address has another name.
    #[error(
        "{address} belongs to cluster {theirs:?}, this node was started for {ours:?}; correct --cluster or --join"
    )]
    OtherCluster {
        /// The address.
        address: String,
        /// The name there.
        theirs: String,
        /// The name here.
        ours: String,
    },
    /// The configuration it was to form a cluster with contradicts itself.
    #[error("no cluster can be formed: {0}")]
    Configuration(#[from] ck_control::ConfigError),
    /// Its new place cannot be recorded.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// What one address had to say.
enum Answer {
    Itself,
    Formed { address: String },
    Unformed { address: String },
    Silent { target: String, reason: String },
}

/// Waits until this node belongs to a cluster, for ever if need be.
pub(crate) async fn settle(node: &Arc<Shared>) -> Result<(), FormingError> {
    let mut reported: Option<(String, Instant)> = None;
    loop {
        let invited = node
            .invitation
            .lock()
            .take()
            .map(|invitation| invitation.via);
        let waiting_for = match invited {
            Some(via) => join(node, &via).await?,
            None => round(node).await?,
        };
        let Some(waiting_for) = waiting_for else {
            return Ok(());
        };
        // The same wait may be put into other words by each failed attempt.
        let due = reported.as_ref().is_none_or(|(last, at)| {
            let every = if *last == waiting_for {
                REPORT_EVERY
            } else {
                REPORT_NEWS_EVERY
            };
            at.elapsed() >= every
        });
        if due {
            tracing::info!(node = %node.config.node, "waiting for {waiting_for}");
            reported = Some((waiting_for.clone(), Instant::now()));
        }
        node.phase.send_if_modified(|phase| {
            let waiting = matches!(phase, Phase::Waiting { .. });
            if waiting {
                *phase = Phase::Waiting { waiting_for };
            }
            waiting
        });
        // An invitation cuts the wait short.
        let _ = tokio::time::timeout(ROUND_EVERY, node.wake.notified()).await;
    }
}

/// Asks everybody once. `None` when the node belongs to a cluster now, else what it waits for.
async fn round(node: &Arc<Shared>) -> Result<Option<String>, FormingError> {
    let answers = join_all(node.config.join.iter().map(|target| ask(node, target))).await;
    let mut unformed = Vec::new();
    let mut silent = Vec::new();
    let mut others = 0_usize;
    for answer in answers {
        match answer? {
            Answer::Itself => {}
            Answer::Formed { address } => return join(node, &address).await,
            // Two nodes that tell the same address cannot both be reached there.
            Answer::Unformed { address } if address == node.peer_address() => {
                others += 1;
                silent.push(format!(
                    "{address} (another node tells this one's address; use --advertise)"
                ));
            }
            Answer::Unformed { address } => {
                others += 1;
                unformed.push(address);
            }
            Answer::Silent { target, reason } => {
                others += 1;
                silent.push(format!("{target} ({reason})"));
            }
        }
    }
    if !silent.is_empty() {
        let up = others - silent.len() + 1;
        let all = others + 1;
        return Ok(Some(format!(
            "the other initial members: {up} of {all} up; no answer from {}",
            silent.join(", ")
        )));
    }
    let ours = node.peer_address();
    match unformed.iter().min_by(|a, b| order(a).cmp(&order(b))) {
        Some(smallest) if order(smallest) < order(&ours) => Ok(Some(format!(
            "{smallest}, which has the smallest address, to form the cluster"
        ))),
        _ => {
            form(node).await?;
            Ok(None)
        }
    }
}

/// Addresses in the order by which one of them forms: host, then port as a number.
fn order(address: &str) -> (&str, u32) {
    match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(u32::MAX)),
        None => (address, u32::MAX),
    }
}

async fn ask(node: &Arc<Shared>, target: &str) -> Result<Answer, FormingError> {
    let silent = |reason: String| Answer::Silent {
        target: target.to_owned(),
        reason,
    };
    let resolved = tokio::time::timeout(HELLO_TIMEOUT, node.config.resolver.resolve(target)).await;
    let address = match resolved {
        Ok(Ok(address)) => address,
        Ok(Err(source)) => return Ok(silent(source.reason)),
        Err(_) => return Ok(silent(format!("no answer within {HELLO_TIMEOUT:?}"))),
    };
    let reply = match hello(node, &Address::anyone(address.clone())).await {
        Ok(reply) => reply,
        Err(reason) => return Ok(silent(reason)),
    };
    if reply.store == node.identity.lock().store.0 {
        return Ok(Answer::Itself);
    }
    if reply.cluster_name != node.config.cluster_name {
        return Err(FormingError::OtherCluster {
            address: target.to_owned(),
            theirs: reply.cluster_name,
            ours: node.config.cluster_name.clone(),
        });
    }
    Ok(match reply.formed {
        Some(_) => Answer::Formed { address },
        None => Answer::Unformed {
            address: reply.peer_address,
        },
    })
}

/// Asks the node at a peer address who it is.
pub(crate) async fn hello(node: &Shared, to: &Address) -> Result<HelloReply, String> {
    let payload = codec::encode(&Hello {
        cluster_name: node.config.cluster_name.clone(),
    })
    .map_err(|source| source.to_string())?;
    let request = Request::new(kind::HELLO, Bytes::from(payload));
    let called = node.transport().call(to, request, HELLO_TIMEOUT).await;
    let (who, reply) = called.map_err(|source| source.to_string())?;
    let reply: HelloReply = codec::decode(&reply.payload).map_err(|source| source.to_string())?;
    if reply.node != who.node {
        let (is, says) = (who.node, reply.node);
        return Err(format!("{to} is {is}, and answers as {says}"));
    }
    Ok(reply)
}

/// Joins through a member. `None` when that is done, else what to wait for before the next try.
async fn join(node: &Arc<Shared>, via: &str) -> Result<Option<String>, FormingError> {
    let operation = Operation::Join(node.request(None, None));
    let actor = node.config.node.as_str().to_owned();
    let forward = Forward {
        operation,
        actor,
        relayed: false,
    };
    let joined = match relay::relay(node, &Address::anyone(via), forward).await {
        Ok(Outcome::Joined(joined)) => joined,
        Ok(other) => {
            tracing::error!(?other, "a join was answered with something else");
            return Ok(Some(format!("a better answer from {via}")));
        }
        Err(source)
            if source.is_retryable() || matches!(source, OperationError::Unknown { .. }) =>
        {
            return Ok(Some(format!("{via}: {source}")));
        }
        Err(source) => return Err(FormingError::Refused(source)),
    };
    tracing::info!(node = %node.config.node, cluster = %joined.cluster, member = %joined.member, "joined");
    adopt(node, &joined).await?;
    Ok(None)
}

async fn adopt(node: &Arc<Shared>, joined: &Joined) -> Result<(), FormingError> {
    belong(node, joined.cluster, joined.member).await
}

/// Forms a cluster of this node alone; the others will find it and join.
async fn form(node: &Arc<Shared>) -> Result<(), FormingError> {
    // Refused before anything is written: in the log it would be refused for ever.
    ck_control::Config::from_choices(&node.config.choices)?;
    let cluster = ClusterId(uuid::Uuid::new_v4().as_u128());
    tracing::info!(node = %node.config.node, %cluster, "forming a cluster");
    belong(node, cluster, FOUNDER).await
}

/// The member number of a cluster's founder.
pub(crate) const FOUNDER: MemberNumber = MemberNumber(1);

async fn belong(
    node: &Arc<Shared>,
    cluster: ClusterId,
    member: MemberNumber,
) -> Result<(), FormingError> {
    let mut identity = node.identity.lock().clone();
    let cluster_name = node.config.cluster_name.clone();
    identity.membership = Some(Membership {
        cluster,
        cluster_name,
        member,
    });
    node.store.adopt(&identity).await?;
    *node.identity.lock() = identity;
    node.transport().identify(node.peer_id());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn ports_are_ordered_as_numbers() {
        assert!(order("127.0.0.1:9999") < order("127.0.0.1:10080"));
        assert!(order("10.0.0.1:1") < order("10.0.0.2:0"));
    }
}
