//! Taking a replica out of the in-sync set, through the cluster, before anything is acknowledged
//! without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_node::{MemberNumber, OperationError};

use crate::kv::Core;
use crate::part::{Lag, Part};

/// Time one attempt may take; after it the replica is looked at anew.
const WITHIN: Duration = Duration::from_secs(10);

/// Time the table has to show that a copy is dropped.
const LETS_GO: Duration = Duration::from_millis(50);

/// Between two questions while nobody leads.
const RETRY_EVERY: Duration = Duration::from_millis(50);

/// Why a replica is still in sync.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExcludeError {
    /// The grant is another's by now.
    #[error("the grant has ended: {source}")]
    Ended { source: OperationError },
    /// Nobody could be asked in time.
    #[error("no answer within {WITHIN:?}: {source}")]
    Late { source: OperationError },
    /// The service is not running yet, or not any more.
    #[error("the node does not run")]
    NoNode,
}

impl Core {
    /// Takes a replica out of sync if it lacks something, on a task of its own.
    pub(crate) fn take_out_if_lagging(self: &Arc<Self>, part: &Arc<Part>, member: MemberNumber) {
        let Some(lag) = part.suspect(member) else {
            return;
        };
        let (core, part) = (Arc::clone(self), Arc::clone(part));
        tokio::spawn(async move {
            if core.is_let_go(&lag).await {
                part.trusted(lag.grant, member);
                return;
            }
            if let Err(error) = core.take_out(&lag).await {
                tracing::warn!(partition = %part.id, %member, %error, "a replica that lags stays in sync");
                if matches!(error, ExcludeError::Ended { .. }) {
                    part.end_at(lag.grant);
                }
            }
            part.trusted(lag.grant, member);
        });
    }

    /// Whether the cluster itself lets go of the member within a moment: a copy that is dropped knows
    /// so before its primary does.
    async fn is_let_go(&self, lag: &Lag) -> bool {
        let Some(node) = self.node() else {
            return false;
        };
        let (partition, member) = (lag.token.partition, lag.member);
        let gone = node.applied_until(|state| {
            let attached = state
                .transfers()
                .any(|one| one.partition == partition && one.target.member == member);
            let control = state.partition(partition);
            !attached && control.is_none_or(|control| !control.is_in_sync(member))
        });
        let gone = tokio::time::timeout(LETS_GO, gone).await.is_ok();
        if gone {
            self.part(partition).reassess(&node.state());
        }
        gone
    }

    /// Takes a member out of the in-sync set, or ends the move that may bring it in; returns once
    /// that is committed and applied here.
    pub(crate) async fn take_out(&self, lag: &Lag) -> Result<(), ExcludeError> {
        let node = self.node().ok_or(ExcludeError::NoNode)?;
        let (token, member) = (lag.token, lag.member);
        tracing::warn!(%token, %member, "a replica does not keep up: it is taken out of sync");
        let begun = Instant::now();
        loop {
            match node.take_out_of_sync(token, member).await {
                Ok(()) => break,
                // It is out already, by the cluster's own doing.
                Err(OperationError::Rejected(why)) if why.code() == "not-in-sync" => break,
                Err(source @ OperationError::Rejected(_)) => {
                    return Err(ExcludeError::Ended { source });
                }
                Err(source) if begun.elapsed() >= WITHIN => {
                    return Err(ExcludeError::Late { source });
                }
                Err(_) => tokio::time::sleep(RETRY_EVERY).await,
            }
        }
        let out = node.applied_until(|state| {
            state
                .partition(token.partition)
                .is_none_or(|control| control.epoch != token.epoch || !control.is_in_sync(member))
        });
        let _ = tokio::time::timeout(WITHIN, out).await;
        self.part(token.partition).reassess(&node.state());
        Ok(())
    }
}
