//! A backend without a node: a real replicated state, driven by real commands, in one process.
//!
//! For tests and benches of the surface, and of whatever calls it. Behind the feature `fake`.

mod backend;
mod carry;
mod operate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ck_api::HandlerCall;
use ck_control::{
    ClusterId, Command, Config, Entry, Founder, Genesis, Incarnation, MemberNumber, Nonce,
    Position, Proposal, Rejection, State, StoreId,
};
use ck_core::{NodeId, Placement, Rendezvous, Version};
use ck_node::{Event, FailoverFigures, NodeStatus, Operation, Phase, Role};
use tokio::sync::{broadcast, watch};

use backend::registration;

/// The term in which everything happens.
const TERM: u64 = 1;

/// Wall clock of every command, in milliseconds since 1970.
const AT_MS: u64 = 1_795_407_117_000;

/// Events a follower may be behind with.
const EVENTS_KEPT: usize = 1024;

/// A backend without a node. The first node registered is the one that is asked, and leads.
pub struct Fake {
    state: ArcSwap<State>,
    /// One command at a time, as a log has it.
    log: Mutex<u64>,
    placement: Box<dyn Placement + Send + Sync>,
    status: Mutex<NodeStatus>,
    /// Peer addresses that answer when a node joins, with the node that answers.
    answering: Mutex<BTreeMap<String, NodeId>>,
    /// Time left of the lease.
    lease: Mutex<Duration>,
    calls: Mutex<Vec<HandlerCall>>,
    failovers: Mutex<FailoverFigures>,
    applied: watch::Sender<()>,
    events: broadcast::Sender<Arc<Event>>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake")
            .field("version", &self.state.load().version())
            .finish_non_exhaustive()
    }
}

fn unpoisoned<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(number: usize) -> NodeId {
    format!("node-{number}")
        .parse()
        .expect("a short name without control characters")
}

impl Fake {
    /// A node that has not formed a cluster yet.
    #[must_use]
    pub fn unformed() -> Self {
        let status = NodeStatus {
            node: id(1),
            display_name: "Server-1".to_owned(),
            cluster_name: "clusterkit-cluster".to_owned(),
            phase: Phase::Waiting {
                waiting_for: "1 of 3 nodes".to_owned(),
            },
            member: None,
            session: None,
            peer_address: "127.0.0.1:20081".to_owned(),
            http_address: "127.0.0.1:18081".to_owned(),
            role: Role::None,
            term: 0,
            last_log_index: 0,
            last_log_term: 0,
            commit_index: 0,
            applied_index: 0,
            snapshot_index: 0,
            leader: None,
            majority_silent: false,
            elected_at_ms: None,
            voters: Vec::new(),
            joint: false,
            peers: 0,
            applied_at_ms: None,
            started_at_ms: AT_MS,
            uptime: Duration::from_millis(16_129),
        };
        Self {
            state: ArcSwap::from_pointee(State::default()),
            log: Mutex::new(0),
            placement: Box::new(Rendezvous::md5()),
            status: Mutex::new(status),
            answering: Mutex::new(BTreeMap::new()),
            lease: Mutex::new(Duration::from_millis(1400)),
            calls: Mutex::default(),
            failovers: Mutex::default(),
            applied: watch::Sender::new(()),
            events: broadcast::Sender::new(EVENTS_KEPT),
        }
    }

    /// A formed cluster of that configuration and as many nodes, without partitions.
    ///
    /// # Panics
    /// When the configuration is not valid.
    #[must_use]
    pub fn formed(config: Config, nodes: usize) -> Self {
        let fake = Self::unformed();
        let genesis = Genesis {
            cluster: ClusterId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            name: "clusterkit-cluster".to_owned(),
            incarnation: Incarnation(1),
            config,
            founder: Founder {
                node: id(1),
                store: StoreId(1),
            },
        };
        fake.apply(Command::Genesis(genesis))
            .expect("the configuration is valid");
        let office = Command::Office {
            member: MemberNumber(1),
            nonce: Nonce(1),
            term: TERM,
        };
        fake.apply(office).expect("the founder takes office");
        for number in 1..=nodes {
            fake.apply(Command::Register(registration(number)))
                .expect("a node registers");
        }
        let leader = id(1);
        let mut status = unpoisoned(&fake.status);
        status.phase = Phase::Member;
        status.member = Some(MemberNumber(1));
        status.role = Role::Leader;
        status.leader = Some(leader);
        status.elected_at_ms = Some(AT_MS);
        status.peers = nodes.saturating_sub(1) as u64;
        drop(status);
        fake
    }

    /// A formed cluster of that configuration and as many nodes, with its partitions.
    ///
    /// # Panics
    /// When there are fewer nodes than the replication factor.
    #[must_use]
    pub fn with_partitions(config: Config, nodes: usize) -> Self {
        let fake = Self::formed(config, nodes);
        fake.operate(Operation::CreatePartitions)
            .expect("as many nodes as the factor");
        fake
    }

    /// Lets `node` answer at that peer address when it is asked to join.
    ///
    /// # Panics
    /// When `node` is no node id.
    pub fn answers_at(&self, address: &str, node: &str) {
        let node = node.parse().expect("a node id");
        unpoisoned(&self.answering).insert(address.to_owned(), node);
    }

    /// Leaves that much of the lease of the node that is asked; without any it owns nothing.
    pub fn has_lease(&self, remaining: Duration) {
        *unpoisoned(&self.lease) = remaining;
    }

    /// Lets the application of the node that is asked do, or fail at, that.
    pub fn application_does(&self, calls: Vec<HandlerCall>) {
        *unpoisoned(&self.calls) = calls;
    }

    /// Lets the node that is asked know of failovers that took so long.
    pub fn knows_failovers(&self, figures: FailoverFigures) {
        *unpoisoned(&self.failovers) = figures;
    }

    /// Makes that node the one that is asked; `node-1` goes on leading.
    ///
    /// # Panics
    /// When `node` is no node id.
    pub fn is_asked_at(&self, node: &str) {
        let mut status = unpoisoned(&self.status);
        status.node = node.parse().expect("a node id");
        let leads = status.leader.as_ref() == Some(&status.node);
        status.role = if leads { Role::Leader } else { Role::Follower };
    }

    /// Lets the node that is asked hear of no majority of the voters any more.
    pub fn is_cut_off(&self) {
        unpoisoned(&self.status).majority_silent = true;
    }

    /// Applies a command as the next entry of the log.
    ///
    /// # Errors
    /// [`Rejection`], as the state gives it.
    ///
    /// # Panics
    /// When the state halts, which no present command makes it do.
    pub fn apply(&self, command: Command) -> Result<Version, Rejection> {
        let mut position = unpoisoned(&self.log);
        *position += 1;
        let mut state = State::clone(&self.state.load());
        let proposal = Proposal::new(AT_MS, "operator".to_owned(), command);
        let entry = Entry {
            position: Position(*position),
            term: TERM,
            proposal,
        };
        let applied = state
            .apply(&entry)
            .expect("a present command does not halt the state");
        let version = state.version();
        state.check_invariants().expect("the state is sound");
        self.state.store(Arc::new(state));
        let events = applied?;
        for event in events {
            // Without a follower there is nobody to tell.
            let _ = self.events.send(Arc::new(event));
        }
        self.applied.send_replace(());
        Ok(version)
    }
}
