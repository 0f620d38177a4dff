//! Taking a replica out of the in-sync set, through the cluster, before anything is acknowledged
//! without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_control::{InSyncChange, State};
use ck_core::PartitionId;
use ck_node::{Operation, OperationError};

use crate::kv::Core;
use crate::part::{Lag, Part};

/// Time one attempt may take; after it the replica is looked at anew.
const WITHIN: Duration = Duration::from_secs(10);

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
    pub(crate) fn take_out_if_lagging(
        self: &Arc<Self>,
        part: &Arc<Part>,
        member: ck_control::MemberNumber,
    ) {
        let Some(lag) = part.suspect(member) else {
            return;
        };
        let (core, part) = (Arc::clone(self), Arc::clone(part));
        tokio::spawn(async move {
            if let Err(error) = core.take_out(part.id, &lag).await {
                tracing::warn!(partition = %part.id, %member, %error, "a replica that lags stays in sync");
                if matches!(error, ExcludeError::Ended { .. }) {
                    part.end_at(lag.grant);
                }
            }
            part.trusted(lag.grant, member);
        });
    }

    /// Takes a member out of the in-sync set, or ends the move that may bring it in; returns once
    /// that is committed and applied here.
    pub(crate) async fn take_out(
        &self,
        partition: PartitionId,
        lag: &Lag,
    ) -> Result<(), ExcludeError> {
        let node = self.node().ok_or(ExcludeError::NoNode)?;
        let operation = Operation::InSync {
            partition,
            session: lag.session,
            epoch: lag.epoch,
            change: InSyncChange::Remove(lag.member),
        };
        tracing::warn!(%partition, member = %lag.member, epoch = %lag.epoch, "taking a replica out of sync");
        let begun = Instant::now();
        loop {
            let outcome = node.execute(operation.clone(), node.node_id().as_str());
            match outcome.await {
                Ok(_) => break,
                Err(OperationError::Rejected(rejection)) if rejection.code() == "not-in-sync" => {
                    // It is out already, by the cluster's own doing.
                    break;
                }
                Err(source @ OperationError::Rejected(_)) => {
                    return Err(ExcludeError::Ended { source });
                }
                Err(source) if begun.elapsed() >= WITHIN => {
                    return Err(ExcludeError::Late { source });
                }
                Err(_) => tokio::time::sleep(RETRY_EVERY).await,
            }
        }
        let out = |state: &State| {
            state.partition(partition).is_none_or(|control| {
                control.epoch != lag.epoch || !control.is_in_sync(lag.member)
            })
        };
        let _ = tokio::time::timeout(WITHIN, node.applied_until(out)).await;
        self.part(partition).reassess(&node.state());
        Ok(())
    }
}
