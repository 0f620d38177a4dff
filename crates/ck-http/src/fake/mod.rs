//! A backend without a node: a real replicated state, driven by real commands, in one process.
//!
//! For tests and benches of the surface, and of whatever calls it. Behind the feature `fake`.

mod backend;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ck_control::{
    ClusterId, Command, Config, Entry, Founder, Genesis, Incarnation, MemberNumber, Nonce,
    OfficeId, Position, Proposal, Registration, Rejection, State, StoreId, Trigger,
};
use ck_core::{NodeId, Placement, Rendezvous, Table, Version};
use ck_node::{
    JoinRequest, Joined, NodeStatus, Operation, OperationError, Outcome, Phase, PlanOutcome, Role,
};

use backend::registration;

/// The term in which everything happens.
const TERM: u64 = 1;

/// Wall clock of every command, in milliseconds since 1970.
const AT_MS: u64 = 1_795_407_117_000;

/// A backend without a node. The first node registered is the one that is asked, and leads.
pub struct Fake {
    state: ArcSwap<State>,
    /// One command at a time, as a log has it.
    log: Mutex<u64>,
    placement: Box<dyn Placement + Send + Sync>,
    status: Mutex<NodeStatus>,
    /// Peer addresses that answer when a node joins, with the node that answers.
    answering: Mutex<BTreeMap<String, NodeId>>,
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
        applied.map(|_| version)
    }

    /// Carries an operation out at once.
    ///
    /// # Errors
    /// [`OperationError`], as a node gives it.
    pub fn operate(&self, operation: Operation) -> Result<Outcome, OperationError> {
        let state = self.state.load_full();
        match operation {
            Operation::CreatePartitions => self.create(&state),
            Operation::Rebalance { dry_run } => self.rebalance(&state, dry_run),
            Operation::Join(request) | Operation::Register(request) => self.join(request),
            Operation::Stop { member, session } => {
                self.apply(Command::Stop { member, session })?;
                Ok(Outcome::Stopped)
            }
            Operation::Remove { node } => {
                self.apply(Command::Close { node: node.clone() })?;
                let office = state.office().map(|office| OfficeId(office.id.0));
                self.apply(Command::Remove { node, office })?;
                Ok(Outcome::Removed)
            }
            Operation::Update { node, change } => {
                let version = self.apply(Command::Update { node, change })?;
                Ok(Outcome::Changed { version })
            }
            Operation::Configure { change } => {
                let version = self.apply(Command::Configure { change })?;
                Ok(Outcome::Changed { version })
            }
            Operation::SetCustom {
                key,
                value,
                expected,
            } => {
                let version = self.apply(Command::SetCustom {
                    key,
                    value,
                    expected,
                })?;
                Ok(Outcome::Custom { version })
            }
            Operation::DeleteCustom { key, expected } => {
                let version = self.apply(Command::DeleteCustom { key, expected })?;
                Ok(Outcome::Custom { version })
            }
        }
    }

    fn place(
        &self,
        state: &State,
        previous: Option<&Table>,
    ) -> Result<ck_core::Plan, OperationError> {
        self.placement
            .place(&state.topology(), &state.spec(), previous)
            .map_err(|error| OperationError::Placement {
                reason: error.to_string(),
            })
    }

    fn create(&self, state: &State) -> Result<Outcome, OperationError> {
        if state.table().is_some() {
            return Ok(Outcome::Partitions {
                created: false,
                version: state.version(),
            });
        }
        let have = u32::try_from(state.members().len()).unwrap_or(u32::MAX);
        let need = u32::from(state.config().replication_factor);
        if have < need {
            return Err(Rejection::TooFewNodes { have, need }.into());
        }
        let table = self.place(state, None)?.table;
        let version = self.apply(Command::CreatePartitions {
            table,
            strategy: None,
        })?;
        Ok(Outcome::Partitions {
            created: true,
            version,
        })
    }

    fn rebalance(&self, state: &State, dry_run: bool) -> Result<Outcome, OperationError> {
        let table = state.table().ok_or(OperationError::NoPartitions)?;
        let plan = self.place(state, Some(table))?;
        let changed = table.diff(&plan.table).map_or(0, |diff| diff.rows.len());
        let mut outcome = PlanOutcome {
            applied: false,
            base: state.version(),
            version: state.version(),
            partitions_changed: changed as u64,
            copies_moved: plan.copies_moved,
            primaries_changed: plan.primaries_changed,
            lower_bound: plan.lower_bound,
            optimal: plan.optimal,
            degraded: plan.degraded,
            table: plan.table.clone(),
        };
        if !dry_run && changed > 0 {
            outcome.version = self.apply(Command::ApplyPlan {
                base: state.version(),
                table: plan.table,
                trigger: Trigger::Manual,
                started_at_ms: AT_MS,
            })?;
            outcome.applied = true;
        }
        Ok(Outcome::Plan(outcome))
    }

    fn join(&self, request: JoinRequest) -> Result<Outcome, OperationError> {
        let (node, address) = (request.node.clone(), request.peer_address.clone());
        let answering = unpoisoned(&self.answering).get(&address).cloned();
        match answering {
            None => {
                let reason = "connection refused".to_owned();
                return Err(OperationError::Unreachable {
                    node,
                    address,
                    reason,
                });
            }
            Some(got) if got != node => {
                return Err(OperationError::WrongNode { node, address, got });
            }
            Some(_) => {}
        }
        let number = self.state.load().members().len() + 1000;
        self.apply(Command::Register(Registration {
            node: node.clone(),
            display_name: request.display_name,
            peer_address: address,
            http_address: request.http_address,
            weight: request.weight.unwrap_or(1),
            domain: request.domain,
            services: request.services,
            labels: request.labels,
            ..registration(number)
        }))?;
        let state = self.state.load();
        let member = state
            .member_by_node(node.as_str())
            .ok_or(Rejection::NotFormed)?;
        let formed = state.formed().ok_or(Rejection::NotFormed)?;
        Ok(Outcome::Joined(Joined {
            cluster: formed.cluster,
            cluster_name: formed.name.clone(),
            incarnation: formed.incarnation,
            node,
            member: member.number,
            session: member.session,
            members: state.members().len() as u64,
        }))
    }
}
