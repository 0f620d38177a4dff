//! What a service that embeds a node asks of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ck_control::{ConfigChange, MemberChange, MemberNumber, State};
use ck_core::{NodeId, PartitionId, Table, Version};
use tokio::sync::broadcast;

use crate::events::{Event, Events};
use crate::execute;
use crate::operation::{Operation, OperationError, Outcome, PlanOutcome};
use crate::published::{Published, Reader};
use crate::shared::{Phase, Shared};
use crate::status::{self, NodeStatus};

/// A running node. Clones are the same node; it runs until [`Handle::stop`].
///
/// Everything that only looks reads the last committed state of this node: it never waits, and
/// never asks another node. On many look-ups a second use a [`Reader`] for each thread.
#[derive(Clone)]
pub struct Handle {
    node: Arc<Shared>,
}

/// One partition and the nodes that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The partition.
    pub id: PartitionId,
    /// The node that may write; `None` while no node could take it.
    pub primary: Option<NodeId>,
    /// The other nodes with a copy, in order of preference.
    pub replicas: Vec<NodeId>,
}

/// How the partitions are spread over the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Partitions there are.
    pub partitions: u32,
    /// Partitions each node is the primary of; a node with none is listed with 0.
    pub primaries: BTreeMap<NodeId, u32>,
    /// Partitions each node holds a further copy of.
    pub replicas: BTreeMap<NodeId, u32>,
}

/// Time a stop waits for its entry to be committed.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

impl Handle {
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

    /// Look-ups for one thread, wait-free. Make one for each.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.node.publisher.reader()
    }

    /// Everything that was committed last, as of now.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.node.publisher.current()
    }

    /// The replicated state, as of now. Cheap: its parts are shared.
    #[must_use]
    pub fn state(&self) -> State {
        self.node.state()
    }

    /// The table, once the partitions exist.
    #[must_use]
    pub fn table(&self) -> Option<Arc<Table>> {
        self.published().state.table().cloned()
    }

    /// The partition a key falls into, and who holds it; `None` before the partitions exist.
    #[must_use]
    pub fn partition_for_key(&self, key: &[u8]) -> Option<Partition> {
        self.published().lookup(key).map(Partition::of)
    }

    /// One partition; `None` before they exist, or when there is no such one.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Partition> {
        self.published().state.table()?.row(id).map(Partition::of)
    }

    /// All partitions, in order of number; empty before they exist.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        self.partitions_where(|_| true)
    }

    /// The partitions a node holds, as primary or otherwise, in order of number.
    #[must_use]
    pub fn partitions_of(&self, node: &str) -> Vec<Partition> {
        self.partitions_where(|row| row.contains(node))
    }

    fn partitions_where(&self, keep: impl Fn(&ck_core::Row<'_>) -> bool) -> Vec<Partition> {
        let published = self.published();
        let Some(table) = published.state.table() else {
            return Vec::new();
        };
        table.rows().filter(keep).map(Partition::of).collect()
    }

    /// How the partitions are spread over the nodes; every member is listed.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let published = self.published();
        let state = &published.state;
        let none = || {
            state
                .members()
                .map(|member| (member.node.clone(), 0))
                .collect()
        };
        let mut found = Distribution {
            partitions: 0,
            primaries: none(),
            replicas: none(),
        };
        let Some(table) = state.table() else {
            return found;
        };
        found.partitions = table.partitions();
        for row in table.rows() {
            if let Some(primary) = row.primary() {
                *found.primaries.entry(primary.clone()).or_default() += 1;
            }
            for replica in row.replicas() {
                *found.replicas.entry(replica.clone()).or_default() += 1;
            }
        }
        found
    }

    /// The primary of a partition.
    #[must_use]
    pub fn primary(&self, id: PartitionId) -> Option<NodeId> {
        self.partition(id)?.primary
    }

    /// The nodes with a further copy of a partition.
    #[must_use]
    pub fn replicas(&self, id: PartitionId) -> Vec<NodeId> {
        self.partition(id)
            .map(|partition| partition.replicas)
            .unwrap_or_default()
    }

    /// Whether this node is the primary of a partition by the table it knows. A route, not a right
    /// to act.
    #[must_use]
    pub fn is_primary(&self, id: PartitionId) -> bool {
        self.primary(id).as_ref() == Some(self.node_id())
    }

    /// Whether this node holds a further copy of a partition.
    #[must_use]
    pub fn is_replica(&self, id: PartitionId) -> bool {
        self.replicas(id).contains(self.node_id())
    }

    /// The members, in order of member number.
    #[must_use]
    pub fn nodes(&self) -> Vec<ck_control::Member> {
        self.published().state.members().cloned().collect()
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
            if status.joint {
                reasons.push("a change of the voters is half done".to_owned());
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

    /// Plans over the nodes of now, and applies the plan unless `dry_run`.
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

    /// A replicated value as last committed here, and its version.
    #[must_use]
    pub fn custom(&self, key: &str) -> Option<(Arc<[u8]>, Version)> {
        let published = self.published();
        published
            .state
            .custom(key)
            .map(|found| (Arc::clone(&found.value), found.version))
    }

    /// The keys of all replicated values, in order.
    #[must_use]
    pub fn custom_keys(&self) -> Vec<String> {
        self.published()
            .state
            .customs()
            .map(|(key, _)| key.to_owned())
            .collect()
    }

    /// What happens in the cluster from now on, after it is committed, in order. Never blocks the
    /// node: a slow reader is told how many events it missed.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.node.publisher.subscribe())
    }

    /// Calls `hook` for every event from now on, until the node ends. The hook runs on a task of
    /// its own and may ask the node anything; a panic inside it is contained.
    pub fn on_event(&self, hook: impl FnMut(&Event) + Send + 'static) {
        tokio::spawn(self.events().call(hook));
    }

    /// Stops the node: ends its session, then consensus. It stays a member, and comes back with
    /// its data. Returns whether the end of the session was committed.
    pub async fn stop(&self) -> bool {
        let node = &self.node;
        let was = node.phase.send_replace(Phase::Stopping);
        let session = node.session.lock().take();
        let clean = match (node.member(), session) {
            (Some(member), Some(session)) if was == Phase::Member => {
                let actor = node.config.node.as_str().to_owned();
                let stop = execute::execute(node, Operation::Stop { member, session }, &actor);
                matches!(tokio::time::timeout(STOP_TIMEOUT, stop).await, Ok(Ok(_)))
            }
            _ => false,
        };
        if let Some(consensus) = node.consensus.get() {
            consensus.shutdown().await;
        }
        node.transport().shutdown().await;
        if !matches!(was, Phase::Ended { .. }) {
            node.phase.send_replace(Phase::Ended { failure: None });
        }
        clean
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

impl Partition {
    fn of(row: ck_core::Row<'_>) -> Self {
        Self {
            id: row.partition(),
            primary: row.primary().cloned(),
            replicas: row.replicas().cloned().collect(),
        }
    }
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
