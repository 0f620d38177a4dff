//! The service of one node: its store, its shards, and who waits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ck_kv::{Kv, KvConfig, StoreError};
use ck_node::{Handle, Handler, NodeId, PartitionId};
use ck_serve::{Bodies, Courier};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};

use crate::bells::Bells;
use crate::handler::Roles;
use crate::marks::MARKED_BY;
use crate::slots::Slot;

/// Between two looks at whose time is up. Who leases looks by itself, so this delays only who waits,
/// and the death of a task.
const TICK: Duration = Duration::from_millis(100);

/// Largest answer of another node that is read: as many payloads as one lease gives, in base64, and some.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A node's share of the task queue. Clones are the same.
#[derive(Debug, Clone)]
pub struct TaskQueue {
    pub(crate) core: Arc<Core>,
}

/// What everything here works with.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) kv: Kv,
    node: OnceLock<Handle>,
    slots: RwLock<BTreeMap<u32, Arc<Slot>>>,
    pub(crate) bells: Bells,
    pub(crate) courier: Courier,
    pub(crate) limits: Limits,
    pub(crate) turns: Turns,
    closing: watch::Sender<bool>,
}

/// Who is next, counted apart for each question: one count for all would favour the same ones.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Which partition a task without a key goes to.
    pub(crate) enqueue: Turn,
    /// Which node is asked first for tasks.
    pub(crate) look: Turn,
    /// Which partition of this node is.
    pub(crate) lease: Turn,
}

/// A number that goes up with each call.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicUsize);

impl Turn {
    pub(crate) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// How much is done at a time.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Requests of workers for tasks, waiting ones included.
    pub(crate) leases: Semaphore,
    /// Requests of other nodes for tasks.
    pub(crate) peer_leases: Semaphore,
    /// Other nodes that wait.
    pub(crate) peer_waits: Semaphore,
    /// Memory for payloads that come in.
    pub(crate) bodies: Bodies,
}

impl Limits {
    /// Workers that are answered or wait at one node.
    pub(crate) const LEASES: usize = 64;
    /// Nodes that wait at one node, for each of their workers.
    pub(crate) const PEER_WAITS: usize = 384;

    fn new() -> Self {
        const BODIES: usize = 128 << 20;
        Self {
            leases: Semaphore::new(Self::LEASES),
            peer_leases: Semaphore::new(Self::LEASES),
            peer_waits: Semaphore::new(Self::PEER_WAITS),
            bodies: Bodies::new(BODIES),
        }
    }
}

/// Another node that is the primary of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) node: NodeId,
    pub(crate) address: String,
}

impl TaskQueue {
    /// Opens the queue in a node's data directory, before the node itself is started: the node is
    /// given [`TaskQueue::handler`].
    ///
    /// # Errors
    /// [`StoreError`] when the store's file cannot be used.
    pub fn open(directory: &Path, mut config: KvConfig) -> Result<Self, StoreError> {
        let courier = config
            .courier
            .clone()
            .with_answer_bytes_max(ANSWER_BYTES_MAX);
        config.marked_by = Some(MARKED_BY);
        let core = Arc::new(Core {
            kv: Kv::open(directory, config)?,
            node: OnceLock::new(),
            slots: RwLock::default(),
            bells: Bells::default(),
            courier,
            limits: Limits::new(),
            turns: Turns::default(),
            closing: watch::Sender::new(false),
        });
        Ok(Self { core })
    }

    /// What the node is started with. Holds nothing open by itself.
    #[must_use]
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(Roles::new(&self.core))
    }

    /// Serves as a part of `node` from now on. Calls of the handler before wait for this.
    pub fn attach(&self, node: Handle) {
        if self.core.node.set(node.clone()).is_err() {
            return;
        }
        self.core.kv.attach(node.clone());
        tokio::spawn(keep_up(Arc::downgrade(&self.core), node));
    }

    /// Whoever waits for a task is answered now, and nobody waits any more.
    pub fn close(&self) {
        self.core.closing.send_replace(true);
    }
}

impl Core {
    pub(crate) fn node(&self) -> Option<&Handle> {
        self.node.get()
    }

    /// Becomes true when the node is about to stop.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(crate) fn slot(&self, partition: PartitionId) -> Arc<Slot> {
        if let Some(slot) = self.slots.read().get(&partition.0) {
            return Arc::clone(slot);
        }
        let mut slots = self.slots.write();
        Arc::clone(slots.entry(partition.0).or_default())
    }

    /// Partitions there are, 0 before they exist.
    pub(crate) fn partitions(&self) -> u32 {
        let table = self.node().and_then(Handle::table);
        table.map_or(0, |table| table.partitions())
    }

    /// The partitions that this node is the primary of.
    pub(crate) fn mine(&self) -> Vec<PartitionId> {
        let all = (0..self.partitions()).map(PartitionId);
        let node = self.node();
        all.filter(|one| node.is_some_and(|node| node.owns(*one)))
            .collect()
    }

    /// The other nodes that are primaries, by the newest table known here, from the `turn`-th on.
    pub(crate) fn others(&self, turn: usize) -> Vec<Other> {
        let Some(node) = self.node() else {
            return Vec::new();
        };
        let state = node.state();
        let Some(table) = state.table() else {
            return Vec::new();
        };
        let primaries: std::collections::BTreeSet<&NodeId> = table
            .rows()
            .filter_map(|row| row.primary())
            .filter(|one| *one != node.node_id())
            .collect();
        let mut others: Vec<_> = primaries
            .into_iter()
            .filter_map(|one| {
                let member = state.member_by_node(one.as_str())?;
                let address = member.http_address.clone();
                let node = one.clone();
                (!address.is_empty()).then_some(Other { node, address })
            })
            .collect();
        if !others.is_empty() {
            let first = turn % others.len();
            others.rotate_left(first);
        }
        others
    }
}

/// Lets time pass for all shards, until the node ends.
async fn keep_up(core: Weak<Core>, node: Handle) {
    loop {
        tokio::select! {
            _ = node.terminated() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let Some(core) = core.upgrade() else {
            return;
        };
        for partition in core.mine() {
            // One that is missing or spoilt is built by this very question.
            let Ok(held) = core.held(partition) else {
                continue;
            };
            for queue in held.shard.advance() {
                core.bells.ring(&queue);
            }
            if held.shard.is_behind() {
                tokio::spawn(async move {
                    if let Err(error) = held.shard.keep_up().await {
                        tracing::info!(%partition, %error, "tasks are not cleared away yet");
                    }
                    drop(held.guard);
                });
            }
        }
    }
}
