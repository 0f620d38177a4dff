//! Asking for something to be done, through any node.

use std::time::Duration;

use ck_control::{
    ConfigChange, FencingToken, InSyncChange, MemberChange, MemberNumber, MoveRejection, Party,
    State,
};
use ck_core::{NodeId, Version};

use super::Handle;
use crate::execute;
use crate::operation::{Operation, OperationError, Outcome, PlanOutcome};

/// Time a change gets to arrive here after the leader has committed it.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);

impl Handle {
    /// Carries out an operation, wherever the leader is.
    ///
    /// # Errors
    /// [`OperationError`]; [`OperationError::Unknown`] alone leaves open whether it was done.
    pub async fn execute(
        &self,
        operation: Operation,
        actor: &str,
    ) -> Result<Outcome, OperationError> {
        execute::execute(&self.node, operation, actor).await
    }

    /// Waits until this node has applied a state for which `until` holds. Bound it in time.
    pub async fn applied_until(&self, until: impl Fn(&State) -> bool) {
        let mut applied = self.node.publisher.applied();
        while !until(&self.published().state) {
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    /// Where the leader's HTTP surface and peer port are, when a leader is known.
    #[must_use]
    pub fn leader(&self) -> Option<ck_control::Member> {
        let leader = self.node.status().leader?;
        self.published().state.member(leader).cloned()
    }

    /// Creates the partitions; `false` when they exist already.
    ///
    /// # Errors
    /// [`OperationError`], with fewer nodes than the replication factor for instance. Nothing is
    /// held up by it; ask again when more nodes have joined.
    pub async fn create_partitions(&self) -> Result<bool, OperationError> {
        match self
            .execute(Operation::CreatePartitions, self.node_id().as_str())
            .await?
        {
            Outcome::Partitions { created, .. } => Ok(created),
            other => Err(unexpected(&other)),
        }
    }

    /// Plans over the nodes of now, and begins the plan unless `dry_run`.
    ///
    /// # Errors
    /// [`OperationError`], before the partitions exist for instance.
    pub async fn rebalance(&self, dry_run: bool) -> Result<PlanOutcome, OperationError> {
        match self
            .execute(Operation::Rebalance { dry_run }, self.node_id().as_str())
            .await?
        {
            Outcome::Plan(plan) => Ok(plan),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a node out of the cluster for good.
    ///
    /// # Errors
    /// [`OperationError`], for the last member for instance.
    pub async fn remove(&self, node: NodeId) -> Result<(), OperationError> {
        self.execute(Operation::Remove { node }, self.node_id().as_str())
            .await
            .map(|_| ())
    }

    /// Changes what is known of a node: weight, domain, labels, services, state.
    ///
    /// # Errors
    /// [`OperationError`], for a value out of range for instance.
    pub async fn update(
        &self,
        node: NodeId,
        change: MemberChange,
    ) -> Result<Version, OperationError> {
        let operation = Operation::Update { node, change };
        match self.execute(operation, self.node_id().as_str()).await? {
            Outcome::Changed { version } => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes the cluster's configuration.
    ///
    /// # Errors
    /// [`OperationError`], for a value out of range for instance.
    pub async fn configure(&self, change: ConfigChange) -> Result<Version, OperationError> {
        match self
            .execute(Operation::Configure { change }, self.node_id().as_str())
            .await?
        {
            Outcome::Changed { version } => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    /// Goes on without a member: takes it out of the in-sync set of the partition that `token` is a
    /// grant of. A primary that cannot reach a replica does this *before* it acknowledges a write
    /// that the replica does not have. Taking out the target of a move ends that move.
    ///
    /// Counts for that grant alone: when the role has been granted anew, to this node included, it
    /// is refused. Once it returns `Ok`, this node's published state has the change.
    ///
    /// # Errors
    /// [`OperationError::Rejected`] when the grant has ended, or the member is not in the set (any
    /// more): look at the published state. [`OperationError::Unknown`] alone leaves open whether it
    /// was done. What is left may be fewer than `min_in_sync`, of which the primary takes care: it
    /// refuses writes then.
    pub async fn take_out_of_sync(
        &self,
        token: FencingToken,
        member: MemberNumber,
    ) -> Result<(), OperationError> {
        self.change_in_sync(token, InSyncChange::Remove(member))
            .await
    }

    /// Takes a member of the row into the in-sync set again, which has everything there is, in its
    /// present session. The other half of [`Handle::take_out_of_sync`], with the same conditions.
    ///
    /// From before it is called until it returns, the primary acknowledges only what that member has
    /// as well.
    ///
    /// # Errors
    /// As [`Handle::take_out_of_sync`].
    pub async fn take_into_sync(
        &self,
        token: FencingToken,
        party: Party,
    ) -> Result<(), OperationError> {
        self.change_in_sync(token, InSyncChange::Add(party)).await
    }

    async fn change_in_sync(
        &self,
        token: FencingToken,
        change: InSyncChange,
    ) -> Result<(), OperationError> {
        let FencingToken {
            partition, epoch, ..
        } = token;
        let published = self.published();
        let state = &published.state;
        let control = state.partition(partition);
        let control = control.ok_or(MoveRejection::PartitionUnknown { partition });
        let control = control.map_err(|refused| OperationError::Rejected(refused.into()))?;
        let holder = control.holder.filter(|holder| {
            Some(holder.member) == self.node.member()
                && (state.incarnation(), control.epoch) == (token.incarnation, epoch)
        });
        let Some(holder) = holder else {
            let session = self.node.session().unwrap_or_default();
            let refused = MoveRejection::GrantPast {
                partition,
                session,
                epoch,
                current: control.epoch,
            };
            return Err(OperationError::Rejected(refused.into()));
        };
        let operation = Operation::InSync {
            partition,
            session: holder.session,
            epoch,
            change,
        };
        let version = match self.execute(operation, self.node_id().as_str()).await? {
            Outcome::Changed { version } => version,
            other => return Err(unexpected(&other)),
        };
        let arrived = self.applied_until(|state| state.version() >= version);
        if tokio::time::timeout(ARRIVAL_TIMEOUT, arrived)
            .await
            .is_err()
        {
            let after_ms = u64::try_from(ARRIVAL_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
            return Err(OperationError::Unknown { after_ms });
        }
        Ok(())
    }

    /// Writes a replicated value of at most 1 MiB. With `expected`, only if that is its version;
    /// 0 stands for "does not exist yet".
    ///
    /// # Errors
    /// [`OperationError`]; a version that differs is [`OperationError::Rejected`].
    pub async fn set_custom(
        &self,
        key: impl Into<String>,
        value: Vec<u8>,
        expected: Option<Version>,
    ) -> Result<Version, OperationError> {
        let operation = Operation::SetCustom {
            key: key.into(),
            value,
            expected,
        };
        match self.execute(operation, self.node_id().as_str()).await? {
            Outcome::Custom { version } => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a replicated value. With `expected`, only if that is its version.
    ///
    /// # Errors
    /// [`OperationError`]; a version that differs is [`OperationError::Rejected`].
    pub async fn delete_custom(
        &self,
        key: impl Into<String>,
        expected: Option<Version>,
    ) -> Result<(), OperationError> {
        let operation = Operation::DeleteCustom {
            key: key.into(),
            expected,
        };
        self.execute(operation, self.node_id().as_str())
            .await
            .map(|_| ())
    }
}

fn unexpected(outcome: &Outcome) -> OperationError {
    // The leader answers an operation with its own kind of outcome; another kind means that it
    // runs a version that knows the operation differently.
    tracing::error!(
        ?outcome,
        "an operation was answered with another one's outcome"
    );
    OperationError::NoLeader {
        reason: "the leader gave another operation's outcome".to_owned(),
        voters: 0,
    }
}
