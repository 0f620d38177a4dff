//! What a service that embeds a node asks of it.

mod look;
mod operate;
mod own;

pub use look::{Distribution, Partition};

use std::sync::Arc;
use std::time::Duration;

use ck_control::MemberNumber;
use ck_core::NodeId;
use tokio::sync::broadcast;

use crate::control::Input;
use crate::events::{Changes, Event, Events};
use crate::shared::{Phase, Shared};
use crate::status::{self, NodeStatus};

/// A running node. Clones are the same node; it runs until [`Handle::stop`].
///
/// Everything that only looks reads the last committed state of this node: it never waits, and
/// never asks another node. On many look-ups a second use a [`Reader`](crate::Reader) for each
/// thread.
#[derive(Clone)]
pub struct Handle {
    node: Arc<Shared>,
}

/// Time a stop waits for its entry to be committed.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

impl Handle {
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.node
    }

    pub(crate) fn new(node: Arc<Shared>) -> Self {
        Self { node }
    }

    /// The id of this node.
    #[must_use]
    pub fn node_id(&self) -> &NodeId {
        &self.node.config.node
    }

    /// Where its peers reach it.
    #[must_use]
    pub fn peer_address(&self) -> String {
        self.node.peer_address()
    }

    /// This node's account of itself.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        status::status(&self.node)
    }

    /// Whether this node is alive: its consensus core runs, or it waits for a cluster.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !matches!(*self.node.phase.borrow(), Phase::Ended { .. })
    }

    /// Why this node does not serve yet, in words; empty when it does.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        match &*self.node.phase.borrow() {
            Phase::Waiting { waiting_for } => reasons.push(format!("waiting for {waiting_for}")),
            Phase::Stopping => reasons.push("the node is stopping".to_owned()),
            Phase::Ended { failure } => {
                reasons.push(
                    failure
                        .clone()
                        .unwrap_or_else(|| "the node has stopped".to_owned()),
                );
            }
            Phase::Member => {}
        }
        let status = self.status();
        if reasons.is_empty() {
            if status.session.is_none() {
                reasons.push("the node has no open session yet".to_owned());
            }
            if status.leader.is_none() {
                reasons.push("no leader is known".to_owned());
            }
            if status.majority_silent {
                reasons.push(format!(
                    "no majority of the {} voters answers: nothing can be committed",
                    status.voters.len()
                ));
            }
            if self.table().is_none() {
                reasons.push("the partitions do not exist yet".to_owned());
            }
        }
        reasons
    }

    /// Waits until this node serves: it is a member with an open session, and the partitions exist.
    ///
    /// # Errors
    /// The reason, when the node ends before that.
    pub async fn ready(&self) -> Result<(), Ended> {
        let mut applied = self.node.publisher.applied();
        let mut phase = self.node.phase.subscribe();
        loop {
            if self.unready().is_empty() {
                return Ok(());
            }
            if let Phase::Ended { failure } = &*phase.borrow_and_update() {
                return Err(Ended {
                    failure: failure.clone(),
                });
            }
            tokio::select! {
                _ = applied.changed() => {}
                _ = phase.changed() => {}
                // Who leads is not part of the applied state.
                () = tokio::time::sleep(READY_EVERY) => {}
            }
        }
    }

    /// Waits until the node has ended: `failure` says why, when it was not asked to.
    pub async fn terminated(&self) -> Ended {
        let mut phase = self.node.phase.subscribe();
        loop {
            if let Phase::Ended { failure } = &*phase.borrow_and_update() {
                return Ended {
                    failure: failure.clone(),
                };
            }
            if phase.changed().await.is_err() {
                return Ended { failure: None };
            }
        }
    }

    /// What happens in the cluster from now on, after it is committed, in order. Never blocks the
    /// node: a slow reader is told how many events it missed.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.node.publisher.subscribe())
    }

    /// The state, each time it has changed: to keep in step with the table. See [`Changes`].
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.node.publisher))
    }

    /// Calls `hook` for every event from now on, until the node ends. The hook runs on a task of
    /// its own and may ask the node anything; a panic inside it is contained.
    pub fn on_event(&self, hook: impl FnMut(&Event) + Send + 'static) {
        tokio::spawn(self.events().call(hook));
    }

    /// Stops the node: hands its primary roles over, ends its session, then consensus. It stays a
    /// member, and comes back with its data. Returns whether the end of the session was committed; where
    /// no majority takes it, it is known by a mark in the store at the next start.
    ///
    /// Roles that nobody could take within [`Config::stop_timeout`](crate::Config::stop_timeout)
    /// fail over with the end of the session.
    ///
    /// Call it once the service acknowledges nothing any more that is not on its disk: the end of
    /// the session says that the next start has everything. As long as a
    /// [`Proof`](crate::Proof) is held the session is left to expire instead.
    pub async fn stop(&self) -> bool {
        let node = &self.node;
        let mut was = Phase::Stopping;
        node.phase.send_if_modified(|phase| {
            was = phase.clone();
            let ended = matches!(phase, Phase::Ended { .. });
            if !ended {
                *phase = Phase::Stopping;
            }
            !ended
        });
        if was == Phase::Stopping {
            // Another call is at it.
            let mut phase = node.phase.subscribe();
            let ended = |phase: &Phase| matches!(phase, Phase::Ended { .. });
            let _ = phase.wait_for(ended).await;
            return false;
        }
        let mut clean = false;
        if was == Phase::Member {
            clean = self.end_session().await;
            node.pass_on_mark().await;
        }
        if !matches!(was, Phase::Ended { .. }) {
            // The control loop ends with this, and with it whatever the handler still does.
            node.phase.send_replace(Phase::Ended { failure: None });
        }
        if let Some(consensus) = node.consensus.get() {
            consensus.shutdown().await;
        }
        node.transport().shutdown().await;
        clean
    }

    /// Hands over and ends the session. Returns whether its end was committed.
    async fn end_session(&self) -> bool {
        let node = &self.node;
        let mut standing = node.standing.subscribe();
        let had = standing.borrow().session.is_some();
        if had && node.line.send(Input::Leave).await.is_ok() {
            let handed_over = standing.wait_for(|now| now.handed_over);
            let within = node.config.stop_timeout;
            if tokio::time::timeout(within, handed_over).await.is_err() {
                tracing::warn!(?within, "not every primary role was handed over in time");
            }
        }
        if node.line.send(Input::Stop).await.is_err() {
            return false;
        }
        // A registration that is under way would leave a session that nobody ends.
        let ended = standing.wait_for(|now| now.session.is_none() && !now.registering);
        let ended = tokio::time::timeout(STOP_TIMEOUT, ended).await;
        had && matches!(ended, Ok(Ok(_)))
    }

    /// The number of this node as a member, once it is one.
    #[must_use]
    pub fn member(&self) -> Option<MemberNumber> {
        self.node.member()
    }
}

/// Between looks at who leads, while waiting to be ready.
const READY_EVERY: Duration = Duration::from_millis(20);

/// A node has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node has ended{}", failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
pub struct Ended {
    /// Why, when it was not asked to.
    pub failure: Option<String>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("node", self.node_id())
            .finish_non_exhaustive()
    }
}

/// A receiver of what is published.
pub(crate) type Receiver = broadcast::Receiver<crate::published::Notice>;
