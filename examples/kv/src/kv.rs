//! The service of one node: what it was opened with, and what it keeps of each partition.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ck_node::{Handle, MemberNumber, PartitionId, State};
use ck_serve::{Bodies, Courier};
use parking_lot::{Mutex, RwLock};

use crate::pace::{COPY_RATE_DEFAULT, Pace};
use crate::part::Part;
use crate::peer::{FRAME_BYTES_MAX, Peer};
use crate::stamp::Grant;
use crate::store::{MarkedBy, OnFatal, RESERVE_DEFAULT, Sink, Store, StoreError};
use crate::wire::Refused;

/// Exit code of a process whose disk failed under it.
pub const EXIT_FATAL: i32 = 70;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Replication {
    /// Once every copy that is in sync, or about to be, has it on its disk.
    #[default]
    Sync,
    /// Once the primary has it on its disk. What the replicas do not have yet is lost with the
    /// primary's disk, or when another node takes over.
    Async,
}

/// What a store is opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KvConfig {
    /// When a write is acknowledged.
    pub replication: Replication,
    /// Bytes that must be left on the disk for a write to be taken. Default 64 MiB.
    pub reserve: u64,
    /// Bytes a second that a node takes while it makes copies, of all partitions together, so that
    /// requests hardly notice; 0 for as many as it can. Default 8 MiB.
    pub copy_rate: u64,
    /// By what a service that embeds the store finds its records beside their keys. Default nothing.
    pub marked_by: Option<MarkedBy>,
    /// What asks the other nodes: [`Opening::courier`](ck_serve::Opening::courier). Default one that
    /// encrypts nothing and shows no token.
    pub courier: Courier,
}

impl Default for KvConfig {
    fn default() -> Self {
        Self {
            replication: Replication::default(),
            reserve: RESERVE_DEFAULT,
            copy_rate: COPY_RATE_DEFAULT,
            marked_by: None,
            courier: Courier::default(),
        }
    }
}

/// A node's share of the key-value store. Clones are the same.
#[derive(Debug, Clone)]
pub struct Kv {
    pub(crate) core: Arc<Core>,
}

/// What everything here works with.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: KvConfig,
    pub(crate) store: Store,
    pub(crate) pace: Pace,
    node: OnceLock<Handle>,
    parts: RwLock<BTreeMap<u32, Arc<Part>>>,
    peers: Mutex<BTreeMap<MemberNumber, Arc<Peer>>>,
    /// Of clients.
    pub(crate) bodies: Bodies,
    /// Of other nodes, which get on while clients fill theirs, and wait for them.
    pub(crate) peer_bodies: Bodies,
    rounds: AtomicU32,
    attempts: AtomicU64,
}

/// Memory that bodies may take up at a time.
const BODIES: usize = 256 << 20;

/// Between two looks for replicas that do not get on.
const STALLED_EVERY: Duration = Duration::from_millis(250);

/// A replica that lacks something for so long without getting on is taken out of sync.
const STALLED: Duration = Duration::from_secs(2);

impl Kv {
    /// Opens the store in a node's data directory, before the node itself is started: the node is
    /// given [`Kv::handler`].
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used.
    pub fn open(directory: &Path, config: KvConfig) -> Result<Self, StoreError> {
        Self::open_with(directory, config, Arc::new(exit))
    }

    pub(crate) fn open_with(
        directory: &Path,
        config: KvConfig,
        on_fatal: OnFatal,
    ) -> Result<Self, StoreError> {
        let store = Store::open(directory, config.reserve, config.marked_by, on_fatal)?;
        let courier = config.courier.with_answer_bytes_max(FRAME_BYTES_MAX);
        let config = KvConfig { courier, ..config };
        let core = Arc::new(Core {
            pace: Pace::new(config.copy_rate),
            config,
            store,
            node: OnceLock::new(),
            parts: RwLock::default(),
            peers: Mutex::default(),
            bodies: Bodies::new(BODIES),
            peer_bodies: Bodies::new(BODIES),
            rounds: AtomicU32::new(0),
            attempts: AtomicU64::new(0),
        });
        core.store.tell(Arc::new(Told(Arc::downgrade(&core))));
        Ok(Self { core })
    }

    /// Serves as a part of `node` from now on. Calls of the handler before wait for this.
    pub fn attach(&self, node: Handle) {
        if self.core.node.set(node.clone()).is_err() {
            return;
        }
        tokio::spawn(follow_table(Arc::downgrade(&self.core), node.clone()));
        tokio::spawn(watch_replicas(Arc::downgrade(&self.core), node));
    }

    /// The node this is a part of, once there is one.
    #[must_use]
    pub fn node(&self) -> Option<&Handle> {
        self.core.node.get()
    }
}

/// Ends the process at once. Nothing is flushed: what is not on the disk was acknowledged to
/// nobody.
fn exit(_: &str) {
    std::process::exit(EXIT_FATAL);
}

impl Core {
    pub(crate) fn node(&self) -> Option<&Handle> {
        self.node.get()
    }

    /// Reads the store on a thread that may wait for the disk: those that serve never do.
    pub(crate) async fn reading<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.store.reads).acquire_owned().await;
        let permit = permit.map_err(|_| self.store.closed())?;
        let core = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            // Kept for as long as it reads, whether anybody still waits for it or not.
            let _permit = permit;
            read(&core.store)
        });
        match done.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(read) => read,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(Err(_)) => Err(self.store.closed()),
        }
    }

    pub(crate) fn part(&self, partition: PartitionId) -> Arc<Part> {
        if let Some(part) = self.parts.read().get(&partition.0) {
            return Arc::clone(part);
        }
        let mut parts = self.parts.write();
        let part = parts
            .entry(partition.0)
            .or_insert_with(|| Arc::new(Part::new(partition)));
        Arc::clone(part)
    }

    pub(crate) fn parts(&self) -> Vec<Arc<Part>> {
        self.parts.read().values().cloned().collect()
    }

    /// The one that sends to a member.
    pub(crate) fn peer(self: &Arc<Self>, member: MemberNumber) -> Arc<Peer> {
        let mut peers = self.peers.lock();
        let peer = peers
            .entry(member)
            .or_insert_with(|| Peer::start(self, member));
        Arc::clone(peer)
    }

    /// The number of the next round of serving, which no other has in this process.
    pub(crate) fn next_round(&self) -> u32 {
        self.rounds.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of this node's next attempt to attach a copy of its own, greater than any before in
    /// this process. A move does not outlive the process of its target.
    pub(crate) fn next_attempt(&self) -> u64 {
        self.attempts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is served now.
    pub(crate) fn served(&self) -> Vec<(Arc<Part>, Grant)> {
        let served = |part: Arc<Part>| {
            let grant = part.lock().as_ref()?.grant;
            Some((part, grant))
        };
        self.parts().into_iter().filter_map(served).collect()
    }

    /// The lease under which `served` was served has lapsed. Nobody waits for this to be said, so
    /// there may be another by now: what began under that one goes on. That is why `served` is taken
    /// down before the lease is looked at.
    pub(crate) fn lapsed(&self, served: &[(Arc<Part>, Grant)]) {
        if self
            .node()
            .is_some_and(|node| !node.lease_remaining().is_zero())
        {
            return;
        }
        for (part, grant) in served {
            part.end_at(*grant);
        }
    }

    pub(crate) fn reassess(&self, node: &Handle, state: &State) {
        for part in self.parts() {
            part.reassess(state);
        }
        let mut peers = self.peers.lock();
        // Read under the lock: whoever something was to be sent to is known to it.
        let newest = node.state();
        peers.retain(|member, peer| {
            let stays = newest.member(*member).is_some();
            if !stays {
                peer.stop();
            }
            stays
        });
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Each waits for something to send, which nobody has any more.
        self.peers.get_mut().values().for_each(|peer| peer.stop());
    }
}

/// Passes on what became of the primary's records.
struct Told(Weak<Core>);

impl Sink for Told {
    fn appended(&self, partition: u32, grant: Grant, seq: u64) {
        if let Some(core) = self.0.upgrade() {
            core.part(PartitionId(partition)).appended(grant, seq);
        }
    }

    fn not_appended(&self, partition: u32, grant: Grant, why: Refused) {
        if let Some(core) = self.0.upgrade() {
            tracing::info!(partition, %grant, %why, "a record was not written: no longer served");
            core.part(PartitionId(partition)).end_at(grant);
        }
    }
}

/// Takes in each change of the table, until the node ends.
async fn follow_table(core: Weak<Core>, node: Handle) {
    let mut changes = node.changes();
    loop {
        let published = tokio::select! {
            _ = node.terminated() => return,
            published = changes.next() => published,
        };
        let Some(core) = core.upgrade() else {
            return;
        };
        core.reassess(&node, &published.state);
    }
}

/// Takes replicas out of sync that hold writes up, whatever the reason, until the node ends.
async fn watch_replicas(core: Weak<Core>, node: Handle) {
    loop {
        tokio::select! {
            _ = node.terminated() => return,
            () = tokio::time::sleep(STALLED_EVERY) => {}
        }
        let Some(core) = core.upgrade() else {
            return;
        };
        for part in core.parts() {
            core.resume_serving(&node, &part);
            for member in part.stalled(STALLED) {
                core.take_out_if_lagging(&part, member);
            }
        }
    }
}

#[cfg(test)]
mod tests;
