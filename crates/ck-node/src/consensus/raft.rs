//! Consensus by openraft: starting it, proposing, confirming, changing members, serving peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ck_control::{MemberNumber, Position, Profile, Proposal};
use ck_transport::{BoxFuture, Transport};
use openraft::error::{CheckIsLeaderError, ClientWriteError};
use openraft::{ChangeMembers, SnapshotPolicy};
use tokio::sync::watch;

use super::log_store::{LogStore, Progress};
use super::machine::Machine;
use super::network::Network;
use super::ties::Ties;
use super::types::{LogId, PeerNode, Raft, RaftError};
use super::{Committed, Confirmed, MemberChange, ProposeError, Substrate, SubstrateStatus};
use crate::published::Publisher;
use crate::store::{Store, StoreError, key};

/// Time for a majority to answer. Past it the outcome of a proposal is not known.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a snapshot piece to be written by the other side.
const SNAPSHOT_TIMEOUT_MS: u64 = 10_000;

/// Largest piece of a snapshot in one request, in bytes; with its envelope it fits every frame
/// limit that a configuration may set.
const SNAPSHOT_PIECE_BYTES: u64 = 1 << 20;

/// Bytes of log after which a snapshot is taken however few entries they are.
const LOG_BYTES_PER_SNAPSHOT: u64 = 64 << 20;

/// Longest elections that go by before a majority that does not answer, or a leader, counts as silent.
const SILENT_ELECTIONS: u64 = 3;

/// What consensus runs with.
pub(crate) struct Start {
    pub(crate) id: MemberNumber,
    pub(crate) store: Store,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) profile: Profile,
    pub(crate) snapshot_every: u64,
}

/// A running consensus core.
pub(crate) struct Consensus {
    pub(super) raft: Raft,
    status: watch::Receiver<SubstrateStatus>,
    progress: Arc<Progress>,
    silent_after: Duration,
    _ties: Ties,
}

/// Why consensus did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// The store is damaged, or of no use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The core refused to start.
    #[error("consensus does not start: {reason}")]
    Start {
        /// What it said.
        reason: String,
    },
}

fn timing(profile: Profile) -> (u64, u64, u64) {
    // heartbeat, shortest and longest election time-out, in milliseconds.
    match profile {
        Profile::Fast => (100, 150, 300),
        Profile::Lan => (100, 300, 600),
        Profile::Wan => (500, 1_500, 3_000),
    }
}

impl Consensus {
    /// Starts the core over what the store holds.
    pub(crate) async fn start(start: Start) -> Result<Self, ConsensusError> {
        let refused = |reason: String| ConsensusError::Start { reason };
        let (heartbeat_interval, election_timeout_min, election_timeout_max) =
            timing(start.profile);
        let config = openraft::Config {
            cluster_name: "clusterkit".to_owned(),
            heartbeat_interval,
            election_timeout_min,
            election_timeout_max,
            install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
            snapshot_max_chunk_size: SNAPSHOT_PIECE_BYTES,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(start.snapshot_every),
            replication_lag_threshold: start.snapshot_every * 2,
            max_in_snapshot_log_to_keep: start.snapshot_every / 20,
            ..openraft::Config::default()
        };
        let config = config
            .validate()
            .map_err(|source| refused(source.to_string()))?;
        check_log(&start.store)?;
        let committed: Option<Option<LogId>> = start.store.read(key::COMMITTED)?;
        let told = committed.flatten().map_or(0, |id| id.index);
        let machine = Machine::restore(start.store.clone(), Arc::clone(&start.publisher), told)
            .map_err(|source| refused(source.to_string()))?;
        let network = Network {
            id: start.id.0,
            transport: start.transport,
            publisher: start.publisher,
            store: start.store.clone(),
        };
        let log = LogStore::new(start.store);
        let progress = log.progress();
        let raft = Raft::new(start.id.0, Arc::new(config), network, log, machine)
            .await
            .map_err(|source| refused(source.to_string()))?;
        let silent_after_ms = SILENT_ELECTIONS * election_timeout_max;
        let status = follow(&raft, silent_after_ms);
        let longest = Duration::from_millis(election_timeout_max);
        let ties = Ties::spawn(&raft, start.id, &status, longest);
        Ok(Self {
            raft,
            status,
            progress,
            silent_after: Duration::from_millis(silent_after_ms),
            _ties: ties,
        })
    }

    /// Makes this node the only voter of a new log. Does nothing when the log has begun already.
    pub(crate) async fn form(
        &self,
        id: MemberNumber,
        address: String,
    ) -> Result<(), ConsensusError> {
        let refused = |reason: String| ConsensusError::Start { reason };
        let begun = self
            .raft
            .is_initialized()
            .await
            .map_err(|source| refused(source.to_string()))?;
        if begun {
            return Ok(());
        }
        let members = BTreeMap::from([(id.0, PeerNode { address })]);
        self.raft
            .initialize(members)
            .await
            .map_err(|source| refused(source.to_string()))
    }

    /// Silence of a leader, or of a majority, after which this node is out of contact.
    pub(crate) const fn silent_after(&self) -> Duration {
        self.silent_after
    }

    /// Index of the last entry known to be committed, and term of the last entry in the log.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.progress.read()
    }

    /// Takes a snapshot when the log has grown by many bytes, though perhaps by few entries.
    pub(crate) async fn bound_log(&self) {
        if !self.progress.grown_by(LOG_BYTES_PER_SNAPSHOT) {
            return;
        }
        if let Err(source) = self.raft.trigger().snapshot().await {
            tracing::warn!(%source, "no snapshot was taken");
        }
    }

    /// Ends the core and waits until it has ended.
    pub(crate) async fn shutdown(&self) {
        if let Err(source) = self.raft.shutdown().await {
            tracing::warn!(%source, "consensus ended badly");
        }
    }
}

/// A log with a hole was cut by something else than this program: better no start than a wrong one.
fn check_log(store: &Store) -> Result<(), StoreError> {
    let purged: Option<LogId> = store.read(key::PURGED)?;
    let first = purged.map_or(0, |id| id.index + 1);
    match store.first_gap(first)? {
        None => Ok(()),
        Some(index) => Err(StoreError::Damaged {
            path: store.path().to_owned(),
            what: format!("log entry {index} is missing"),
        }),
    }
}

/// Turns the core's figures into ours, for as long as anybody looks.
fn follow(raft: &Raft, silent_after_ms: u64) -> watch::Receiver<SubstrateStatus> {
    let mut metrics = raft.metrics();
    let none = SubstrateStatus::default();
    let first = SubstrateStatus::read(&metrics.borrow(), silent_after_ms, &none);
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        loop {
            let ended = metrics.changed().await.is_err();
            let last = sender.borrow().clone();
            let now = metrics.borrow_and_update();
            let mut status = SubstrateStatus::read(&now, silent_after_ms, &last);
            drop(now);
            if ended && status.failed.is_none() {
                status.failed = Some("the core has ended".to_owned());
            }
            let over = status.failed.is_some();
            sender.send_if_modified(|last| {
                let news = *last != status;
                *last = status;
                news
            });
            if sender.is_closed() || over {
                return;
            }
        }
    });
    receiver
}

impl Consensus {
    async fn propose_now(&self, proposal: Proposal) -> Result<Committed, ProposeError> {
        let status = self.status.borrow().clone();
        if !status.leads() {
            return Err(ProposeError::NotLeader {
                leader: status.leader,
            });
        }
        let written =
            tokio::time::timeout(PROPOSAL_TIMEOUT, self.raft.client_write(proposal)).await;
        match written {
            Ok(Ok(response)) => {
                let applied = response.data;
                Ok(Committed {
                    position: applied.position,
                    result: applied.result,
                })
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                // Said both before an entry is proposed and after leadership was lost with the
                // entry in the log; only the careful reading is safe.
                Err(ProposeError::Unknown {
                    reason: format!("leadership was lost: {forward}"),
                })
            }
            Ok(Err(RaftError::APIError(source))) => Err(ProposeError::Unknown {
                reason: source.to_string(),
            }),
            Ok(Err(RaftError::Fatal(source))) => Err(ProposeError::Fatal {
                reason: source.to_string(),
            }),
            Err(_) => Err(ProposeError::Unknown {
                reason: format!("no majority within {PROPOSAL_TIMEOUT:?}"),
            }),
        }
    }

    async fn confirm(&self) -> Result<Confirmed, ProposeError> {
        let asked = tokio::time::timeout(PROPOSAL_TIMEOUT, self.raft.get_read_log_id()).await;
        match asked {
            // The term of the log position that a reader would have to wait for: it is this
            // leader's own once its first entry is committed.
            Ok(Ok((Some(read), _))) => Ok(Confirmed {
                term: read.leader_id.term,
                position: Position(read.index),
            }),
            Ok(Ok((None, _))) => Err(ProposeError::Unknown {
                reason: "nothing is committed yet".to_owned(),
            }),
            Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)))) => {
                Err(ProposeError::NotLeader {
                    leader: forward.leader_id.map(MemberNumber),
                })
            }
            Ok(Err(RaftError::APIError(source))) => Err(ProposeError::Unknown {
                reason: source.to_string(),
            }),
            Ok(Err(RaftError::Fatal(source))) => Err(ProposeError::Fatal {
                reason: source.to_string(),
            }),
            Err(_) => Err(ProposeError::Unknown {
                reason: format!("no majority within {PROPOSAL_TIMEOUT:?}"),
            }),
        }
    }

    async fn change(&self, change: MemberChange) -> Result<(), ProposeError> {
        let changing = async {
            match change {
                MemberChange::AddLearner { member, address } => {
                    self.raft
                        .add_learner(member.0, PeerNode { address }, false)
                        .await
                }
                MemberChange::Voters(voters) => {
                    let voters: BTreeSet<u64> = voters.into_iter().map(|member| member.0).collect();
                    self.raft
                        .change_membership(ChangeMembers::ReplaceAllVoters(voters), true)
                        .await
                }
                MemberChange::Remove(member) => {
                    let gone = ChangeMembers::RemoveNodes(BTreeSet::from([member.0]));
                    self.raft.change_membership(gone, true).await
                }
            }
        };
        match tokio::time::timeout(PROPOSAL_TIMEOUT, changing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(ProposeError::NotLeader {
                    leader: forward.leader_id.map(MemberNumber),
                })
            }
            Ok(Err(RaftError::APIError(source))) => Err(ProposeError::Unknown {
                reason: source.to_string(),
            }),
            Ok(Err(RaftError::Fatal(source))) => Err(ProposeError::Fatal {
                reason: source.to_string(),
            }),
            Err(_) => Err(ProposeError::Unknown {
                reason: format!("no majority within {PROPOSAL_TIMEOUT:?}"),
            }),
        }
    }
}

impl Substrate for Consensus {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        Box::pin(self.propose_now(proposal))
    }

    fn confirm_leadership(&self) -> BoxFuture<'_, Result<Confirmed, ProposeError>> {
        Box::pin(self.confirm())
    }

    fn watch(&self) -> watch::Receiver<SubstrateStatus> {
        self.status.clone()
    }

    fn change_members(&self, change: MemberChange) -> BoxFuture<'_, Result<(), ProposeError>> {
        Box::pin(self.change(change))
    }
}
