//! What the parts of one running node have in common.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ck_control::{Generation, MemberNumber, Nonce, SessionId, State, StopMark};
use ck_transport::{PeerId, Transport};
use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell, Semaphore, mpsc, watch};

use crate::config::Config;
use crate::consensus::{Consensus, Substrate, SubstrateStatus};
use crate::control::{INPUTS_MAX, Input, Standing};
use crate::operation::{Itself, JoinRequest, OperationError};
use crate::ownership::Gates;
use crate::published::{Publisher, now_ms};
use crate::reports::Reports;
use crate::store::{Identity, Membership, Store, StoreError, key};
use crate::wire::Invitation;

/// Operations that may be under way through one node.
pub(crate) const OPERATIONS_MAX: usize = 256;

/// How far a node is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It belongs to no cluster yet.
    Waiting {
        /// What it waits for, in words.
        waiting_for: String,
    },
    /// It is a member.
    Member,
    /// It is stopping.
    Stopping,
    /// It has ended.
    Ended {
        /// Why, when it was not asked to.
        failure: Option<String>,
    },
}

/// A leader, as first seen here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Election {
    pub(crate) term: u64,
    pub(crate) leader: Option<MemberNumber>,
    pub(crate) seen_at_ms: u64,
}

/// What earlier starts left in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// The newest start that told an outside process what it may act on.
    pub(crate) served: Option<Generation>,
    /// The session that was stopped cleanly, unless another has acted since.
    pub(crate) stopped: Option<StopMark>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) publisher: Arc<Publisher>,
    /// The address told to peers.
    pub(crate) peer_address: OnceLock<String>,
    pub(crate) transport: OnceLock<Arc<dyn Transport>>,
    pub(crate) consensus: OnceLock<Arc<Consensus>>,
    pub(crate) identity: Mutex<Identity>,
    pub(crate) phase: watch::Sender<Phase>,
    /// How the control loop is told what happened.
    pub(crate) line: mpsc::Sender<Input>,
    /// The loop's end of it, until the loop takes it.
    pub(crate) inbox: Mutex<Option<mpsc::Receiver<Input>>>,
    /// What the control loop says of this process.
    pub(crate) standing: watch::Sender<Standing>,
    /// What the user's handler is doing.
    pub(crate) reports: Reports,
    /// What earlier starts left behind.
    pub(crate) before: Before,
    /// What this process may act on.
    pub(crate) gates: Arc<Gates>,
    /// Whether that is written down already.
    served: OnceCell<()>,
    pub(crate) election: Mutex<Election>,
    /// When a member that is known here, and followed, last sent the log.
    pub(crate) followed: Mutex<Option<Instant>>,
    pub(crate) invitation: Mutex<Option<Invitation>>,
    /// Something changed that the driver should look at.
    pub(crate) wake: Notify,
    pub(crate) operations: Semaphore,
    pub(crate) nonce: Nonce,
    pub(crate) started: Instant,
    pub(crate) started_at_ms: u64,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        store: Store,
        identity: Identity,
        before: Before,
        publisher: Arc<Publisher>,
    ) -> Arc<Self> {
        let waiting_for = "the first answer of another node".to_owned();
        let (line, inbox) = mpsc::channel(INPUTS_MAX);
        Arc::new(Self {
            gates: Gates::new(Arc::clone(&config.clock)),
            config,
            store,
            publisher,
            peer_address: OnceLock::new(),
            transport: OnceLock::new(),
            consensus: OnceLock::new(),
            identity: Mutex::new(identity),
            phase: watch::channel(Phase::Waiting { waiting_for }).0,
            line,
            inbox: Mutex::new(Some(inbox)),
            standing: watch::channel(Standing::default()).0,
            reports: Reports::default(),
            before,
            served: OnceCell::new(),
            election: Mutex::new(Election::default()),
            followed: Mutex::new(None),
            invitation: Mutex::new(None),
            wake: Notify::new(),
            operations: Semaphore::new(OPERATIONS_MAX),
            nonce: Nonce(uuid::Uuid::new_v4().as_u64_pair().0),
            started: Instant::now(),
            started_at_ms: now_ms(),
        })
    }

    /// Makes the node reachable. Called once, before it is handed out.
    pub(crate) fn connect(&self, address: String, transport: Arc<dyn Transport>) {
        let first = self.peer_address.set(address).is_ok() && self.transport.set(transport).is_ok();
        assert!(first, "a node is connected once");
    }

    /// The transport. Present from before anything can ask for it.
    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        self.transport
            .get()
            .expect("the transport is bound before a node is shared")
    }

    pub(crate) fn peer_address(&self) -> String {
        self.peer_address.get().cloned().unwrap_or_default()
    }

    pub(crate) fn membership(&self) -> Option<Membership> {
        self.identity.lock().membership.clone()
    }

    pub(crate) fn member(&self) -> Option<MemberNumber> {
        self.identity
            .lock()
            .membership
            .as_ref()
            .map(|membership| membership.member)
    }

    /// The open session of this process, as far as it knows.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.standing.borrow().session
    }

    pub(crate) fn state(&self) -> State {
        self.publisher.current().state.clone()
    }

    /// What this side says of itself to peers.
    pub(crate) fn peer_id(&self) -> PeerId {
        peer_id(&self.identity.lock(), &self.config.cluster_name)
    }

    pub(crate) fn status(&self) -> SubstrateStatus {
        self.consensus
            .get()
            .map(|consensus| consensus.watch().borrow().clone())
            .unwrap_or_default()
    }

    /// What this node says when it joins or opens a session.
    pub(crate) fn request(
        &self,
        previous: Option<SessionId>,
        stopped: Option<StopMark>,
    ) -> JoinRequest {
        let config = &self.config;
        let identity = self.identity.lock().clone();
        JoinRequest {
            node: config.node.clone(),
            display_name: config.display_name.clone(),
            cluster_name: Some(config.cluster_name.clone()),
            peer_address: self.peer_address(),
            http_address: config.http_address.clone(),
            weight: config.weight,
            domain: config.domain.clone(),
            services: config.services.clone(),
            labels: config.labels.clone(),
            itself: Some(Itself {
                store: identity.store,
                generation: identity.generation,
                homes: identity.homes,
                process: self.nonce,
                member: identity.membership.map(|membership| membership.member),
                previous,
                durable: config.durable,
                stopped,
                served: self.before.served,
                choices: config.choices.clone(),
                command_version: ck_control::COMMAND_VERSION,
                secret: config.secrets.shown(),
            }),
        }
    }

    /// Writes down that this start told an outside process what it may act on. Once a start.
    pub(crate) async fn note_served(&self) -> Result<(), OperationError> {
        let generation = self.identity.lock().generation;
        self.served
            .get_or_try_init(|| async {
                self.store
                    .write(key::SERVED, &generation)
                    .await
                    .map_err(|source| OperationError::Store {
                        reason: source.to_string(),
                    })
            })
            .await
            .copied()
    }

    /// Writes down that a session was stopped cleanly: it ended its lease, no proof is held, and
    /// nothing is acknowledged after it. `None` once another session may act.
    pub(crate) async fn mark_stopped(&self, session: Option<SessionId>) -> Result<(), StoreError> {
        let start = self.identity.lock().generation;
        let mark = session.map(|session| StopMark { session, start });
        self.store.write(key::STOPPED, &mark).await
    }

    /// A start that acted in no session ends cleanly: the mark of the stop before it, which counts for the
    /// very next start, is made good for the one after. Where this start did have a session, the mark
    /// is not of the newest one and says nothing.
    pub(crate) async fn pass_on_mark(&self) {
        let start = self.identity.lock().generation;
        let kept = self.store.read::<Option<StopMark>>(key::STOPPED);
        let passed_on = match kept.map(Option::flatten) {
            Ok(Some(mark)) if mark.start.next() == start => {
                let mark = Some(StopMark { start, ..mark });
                self.store.write(key::STOPPED, &mark).await
            }
            Ok(_) => Ok(()),
            Err(source) => Err(source),
        };
        if let Err(source) = passed_on {
            tracing::warn!(%source, "the mark of the last clean stop is not passed on to the next start");
        }
    }

    /// Remembers when a leader was first seen.
    pub(crate) fn note_election(&self, status: &SubstrateStatus) {
        let mut election = self.election.lock();
        if election.term != status.term || election.leader != status.leader {
            *election = Election {
                term: status.term,
                leader: status.leader,
                seen_at_ms: now_ms(),
            };
        }
    }
}

/// What a node with that identity says of itself.
pub(crate) fn peer_id(identity: &Identity, cluster_name: &str) -> PeerId {
    let membership = identity.membership.as_ref();
    PeerId {
        node: identity.node.clone(),
        member: membership.map(|membership| membership.member.0),
        store: identity.store.0,
        cluster: membership.map(|membership| ck_transport::ClusterId(membership.cluster.0)),
        cluster_name: cluster_name.to_owned(),
    }
}
