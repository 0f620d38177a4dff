//! The life of a running node: settles in a cluster, starts consensus, and runs the control loop
//! and, beside it, the upkeep of the log's members.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_control::{Rejection, SessionId, StopMark};
use ck_transport::Address;

use crate::config::OnFatal;
use crate::consensus::{Consensus, ConsensusError, Start, Substrate, SubstrateStatus};
use crate::control;
use crate::execute;
use crate::forming::{self, FOUNDER, FormingError};
use crate::operation::{Operation, OperationError, Outcome};
use crate::shared::{OPERATIONS_MAX, Phase, Shared};
use crate::upkeep::{Upkeep, reconcile};

/// How often a node asks whether it still is a member.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// Time a removed leader takes to let go.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);

/// Exit code of a process whose node can go on no longer.
const EXIT_FATAL: i32 = 70;

/// Why a node ends without having been asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// It does not come to belong to a cluster.
    #[error(transparent)]
    Forming(#[from] FormingError),
    /// Consensus does not start.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// The consensus core has died.
    #[error("the consensus core has died: {reason}")]
    Core {
        /// What it said.
        reason: String,
    },
    /// The control loop has died.
    #[error("the control loop has died: {reason}; report this")]
    Control {
        /// What it said.
        reason: String,
    },
    /// The cluster does not have it as a member any more.
    #[error(
        "{node} was removed from the cluster; to join again, start it with an empty data directory"
    )]
    Removed {
        /// The node.
        node: ck_core::NodeId,
    },
    /// Another process renews this member's session.
    #[error(
        "another process with the identity of {node} is running and renews session {session}; this \
         data directory is a copy of its: stop one of the two, and start a new node with an empty one"
    )]
    Twin {
        /// The node.
        node: ck_core::NodeId,
        /// The session that stays open.
        session: SessionId,
    },
    /// Members of another cluster of the same name take it for one of theirs: its disk was lost, and
    /// it has formed a cluster of its own instead of joining them.
    #[error(
        "{peer} of cluster {name:?} {theirs} takes this node for its member {member}, but it formed \
         cluster {ours} of that name; take it out there with `ck remove`, then start it with an \
         empty data directory and --join one of theirs"
    )]
    Astray {
        /// Who said so.
        peer: ck_core::NodeId,
        /// The name of both clusters.
        name: String,
        /// The other cluster.
        theirs: ck_control::ClusterId,
        /// The member it has there.
        member: u64,
        /// The cluster of this node.
        ours: ck_control::ClusterId,
    },
    /// The cluster refuses its registration.
    #[error("the cluster refused to open a session: {0}")]
    Refused(#[source] OperationError),
}

/// Starts consensus over the node's store, if it does not run yet.
pub(crate) async fn start_consensus(node: &Arc<Shared>) -> Result<(), ConsensusError> {
    let Some(membership) = node.membership() else {
        return Ok(());
    };
    let profile = node
        .config
        .profile
        .or(node.config.choices.profile)
        .unwrap_or_default();
    let consensus = Consensus::start(Start {
        id: membership.member,
        store: node.store.clone(),
        transport: Arc::clone(node.transport()),
        publisher: Arc::clone(&node.publisher),
        profile,
        snapshot_every: node.config.snapshot_every,
    })
    .await?;
    if membership.member == FOUNDER {
        consensus.form(FOUNDER, node.peer_address()).await?;
    }
    let consensus = Arc::new(consensus);
    tokio::spawn(watch_core(Arc::clone(node), consensus.watch()));
    // Nothing else sets it.
    let _ = node.consensus.set(consensus);
    node.phase.send_if_modified(|phase| {
        let waiting = matches!(phase, Phase::Waiting { .. });
        if waiting {
            *phase = Phase::Member;
        }
        waiting
    });
    Ok(())
}

/// Ends the node at once when the core dies, whatever else is under way.
async fn watch_core(node: Arc<Shared>, mut status: tokio::sync::watch::Receiver<SubstrateStatus>) {
    loop {
        let now = status.borrow_and_update().clone();
        node.note_election(&now);
        if let Some(reason) = now.failed {
            if !matches!(*node.phase.borrow(), Phase::Stopping | Phase::Ended { .. }) {
                fail(&node, &NodeError::Core { reason });
            }
            return;
        }
        node.wake.notify_one();
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// A peer of another cluster was refused. When it takes this node for a member of its own, and
/// this node is alone in its cluster, it is this node that went astray.
pub(crate) fn meet_stranger(node: &Arc<Shared>, from: &ck_transport::PeerId, expects: Option<u64>) {
    let published = node.publisher.current();
    let alone = published.state.members().len() <= 1;
    let (Some(member), Some(theirs), Some(ours)) = (expects, from.cluster, node.membership())
    else {
        return;
    };
    if !alone || from.cluster_name != node.config.cluster_name {
        return;
    }
    let failure = NodeError::Astray {
        peer: from.node.clone(),
        name: from.cluster_name.clone(),
        theirs: ck_control::ClusterId(theirs.0),
        member,
        ours: ours.cluster,
    };
    fail(node, &failure);
}

/// Records why the node ends, and ends the process unless it was configured not to.
fn fail(node: &Shared, failure: &NodeError) {
    let mut reason = failure.to_string();
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    tracing::error!(node = %node.config.node, "{reason}");
    node.phase.send_replace(Phase::Ended {
        failure: Some(reason),
    });
    if node.config.on_fatal == OnFatal::ExitProcess {
        std::process::exit(EXIT_FATAL);
    }
}

/// Runs until the node is stopped or fails.
pub(crate) async fn run(node: Arc<Shared>) {
    if let Err(failure) = live(&node).await {
        fail(&node, &failure);
    }
    // A stop ends its session first, and ends consensus itself; but it may have come before there
    // was any to end.
    let mut phase = node.phase.subscribe();
    let _ = phase
        .wait_for(|phase| matches!(phase, Phase::Ended { .. }))
        .await;
    if let Some(consensus) = node.consensus.get() {
        consensus.shutdown().await;
    }
    node.transport().shutdown().await;
}

async fn live(node: &Arc<Shared>) -> Result<(), NodeError> {
    if node.membership().is_none() {
        let mut phase = node.phase.subscribe();
        tokio::select! {
            settled = forming::settle(node) => settled?,
            _ = phase.wait_for(|phase| matches!(phase, Phase::Stopping | Phase::Ended { .. })) => return Ok(()),
        }
        start_consensus(node).await?;
    }
    let Some(consensus) = node.consensus.get().cloned() else {
        return Ok(());
    };
    // A task of its own, so that nothing but the clock and its inputs decides when it runs.
    let control = control::run(Arc::clone(node), Arc::clone(&consensus));
    let mut control = tokio::spawn(control);
    tokio::select! {
        over = &mut control => ended(over),
        over = keep_up(node, &consensus) => {
            over?;
            ended(control.await)
        }
    }
}

fn ended(over: Result<Result<(), NodeError>, tokio::task::JoinError>) -> Result<(), NodeError> {
    over.unwrap_or_else(|source| {
        let reason = source.to_string();
        Err(NodeError::Control { reason })
    })
}

/// Looks after what is not decided by the clock, until the node stops.
async fn keep_up(node: &Arc<Shared>, consensus: &Arc<Consensus>) -> Result<(), NodeError> {
    let status = consensus.watch();
    let mut applied = node.publisher.applied();
    let mut standing = node.standing.subscribe();
    let mut phase = node.phase.subscribe();
    let mut upkeep = Upkeep::default();
    let mut next = Duration::ZERO;
    let mut asked = Instant::now();
    loop {
        tokio::select! {
            () = node.wake.notified() => {}
            changed = applied.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            // An office that was taken, for one.
            _ = standing.changed() => {}
            over = phase.wait_for(|phase| matches!(phase, Phase::Stopping | Phase::Ended { .. })) => {
                drop(over);
                return Ok(());
            }
            () = tokio::time::sleep(next) => {}
        }
        let now = status.borrow().clone();
        if is_removed(node) || says_removed(node, &now, &mut asked).await {
            hand_over(node).await;
            return Err(NodeError::Removed {
                node: node.config.node.clone(),
            });
        }
        consensus.bound_log().await;
        next = upkeep.step(node, &now).await;
    }
}

fn is_removed(node: &Shared) -> bool {
    node.member()
        .is_some_and(|member| node.publisher.current().state.is_removed(member))
}

/// Asks another member now and then whether this node still is one: whoever was removed while it was
/// cut off, or whose leader died right after, is not sent the entry that says so.
async fn says_removed(node: &Arc<Shared>, now: &SubstrateStatus, asked: &mut Instant) -> bool {
    if now.leads() || asked.elapsed() < ASK_EVERY {
        return false;
    }
    *asked = Instant::now();
    let published = node.publisher.current();
    let others: Vec<_> = published
        .state
        .members()
        .filter(|member| Some(member.number) != node.member())
        .collect();
    // Every other time the leader, who knows best, and else each of the others in turn. Those that are known
    // may all have been replaced, and who awaits the log of a new incarnation knows of nobody: then those
    // that were named to join through.
    let turn = usize::try_from(node.started.elapsed().as_secs() / ASK_EVERY.as_secs()).unwrap_or(0);
    let (round, asks_leader) = (turn / 2, turn % 2 == 0);
    let whom = if asks_leader {
        others.iter().find(|one| Some(one.number) == now.leader)
    } else {
        others.get(round % others.len().max(1))
    };
    let whom = match whom {
        // That node may be another member by now, and can tell all the same.
        Some(whom) => Some(Address::anyone(whom.peer_address.clone()).named(whom.node.clone())),
        None => join_target(node, round).await,
    };
    let Some(whom) = whom else { return false };
    forming::hello(node, &whom)
        .await
        .is_ok_and(|reply| reply.removed)
}

/// One of those that were named to join through, each in its turn.
async fn join_target(node: &Shared, turn: usize) -> Option<Address> {
    let targets = &node.config.join;
    let target = targets.get(turn % targets.len().max(1))?;
    let resolving = node.config.resolver.resolve(target);
    let resolved = tokio::time::timeout(forming::HELLO_TIMEOUT, resolving).await;
    Some(Address::anyone(resolved.ok()?.ok()?))
}

/// A leader that was removed lets the others vote without it, and answers what it was asked,
/// before it ends.
async fn hand_over(node: &Arc<Shared>) {
    let handing = async {
        if node.status().leads()
            && let Err(source) = reconcile(node, &mut std::collections::BTreeMap::new()).await
        {
            tracing::warn!(%source, "the other voters will notice that this one has gone");
        }
        let all = u32::try_from(OPERATIONS_MAX).unwrap_or(u32::MAX);
        let _ = node.operations.acquire_many(all).await;
    };
    if tokio::time::timeout(HAND_OVER_TIMEOUT, handing)
        .await
        .is_err()
    {
        tracing::warn!("operations were still under way when this node ended");
    }
}

/// Opens this process's next session.
pub(crate) async fn register(
    node: &Arc<Shared>,
    previous: Option<SessionId>,
    stopped: Option<StopMark>,
) -> Result<(), OperationError> {
    match register_after(node, previous, stopped).await {
        // What is applied here was behind: the newest session is in the answer.
        Err(OperationError::Rejected(Rejection::PreviousSession { newest, .. })) => {
            register_after(node, newest, stopped).await
        }
        other => other,
    }
}

async fn register_after(
    node: &Arc<Shared>,
    previous: Option<SessionId>,
    stopped: Option<StopMark>,
) -> Result<(), OperationError> {
    let operation = Operation::Register(node.request(previous, stopped));
    let actor = node.config.node.as_str().to_owned();
    let outcome = execute::execute(node, operation, &actor).await?;
    if let Outcome::Joined(joined) = outcome {
        tracing::info!(node = %node.config.node, session = ?joined.session, "registered");
    }
    Ok(())
}

/// Whether a refused registration is the end of this node; it is tried again if not.
pub(crate) fn settle_refusal(
    node: &Arc<Shared>,
    refused: Result<(), OperationError>,
) -> Result<(), NodeError> {
    match refused {
        Ok(()) => Ok(()),
        Err(OperationError::Rejected(Rejection::MemberRemoved { .. })) => Err(NodeError::Removed {
            node: node.config.node.clone(),
        }),
        Err(
            source @ (OperationError::Conflict { .. }
            | OperationError::OtherCluster { .. }
            | OperationError::Unauthorized { .. }),
        ) => Err(NodeError::Refused(source)),
        Err(OperationError::Rejected(rejection)) if !rejection.is_retryable() => {
            Err(NodeError::Refused(rejection.into()))
        }
        Err(source) => {
            tracing::info!(node = %node.config.node, %source, "no session yet");
            Ok(())
        }
    }
}
