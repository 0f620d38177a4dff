//! The control loop of a process: the machines of `ck-control`, fed and obeyed.
//!
//! One task owns the agent and the leader. What happens reaches it as one kind of [`Input`]; what
//! they ask for is performed, and whatever takes time is a task of its own that answers with
//! another input. The loop itself waits for nothing but the next input or deadline.

mod calls;
mod context;
mod failovers;
mod perform;
mod renewals;
mod tasks;
mod twin;

pub use calls::CALL_SPANS;
pub(crate) use perform::CONTROLLER;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ck_control::{
    Agent, AgentInput, Answer, Bugs, CallId, FencingToken, Identity, Leader, LeaderInput,
    MemberNumber, OfficeId, Rejection, Renewal, Round, SessionId, Time,
};
use ck_core::PartitionId;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::consensus::{Consensus, Substrate};
use crate::driver::NodeError;
use crate::operation::OperationError;
use crate::shared::{Phase, Shared};
use calls::Calls;
use failovers::Failovers;
use renewals::Waiting;
use twin::Barred;

/// Inputs that may wait for the loop. Peers' renewals beyond that are refused, and sent again.
pub(crate) const INPUTS_MAX: usize = 4_096;

/// Inputs taken before the loop looks at its outputs again.
const BATCH_MAX: usize = 256;

/// Longest the loop sleeps.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// How often the members that are lost are counted.
const COUNT_EVERY: Duration = Duration::from_millis(50);

/// What happened.
pub(crate) enum Input {
    /// A member asks for its lease to be extended.
    Renewal {
        renewal: Renewal,
        answer: oneshot::Sender<Answer>,
    },
    /// The leader has answered this node's own renewal.
    Answered(Answer),
    /// A majority has confirmed that this node led.
    Confirmed { round: Round, term: u64 },
    /// A call of the handler has ended.
    CallEnded { call: CallId, succeeded: bool },
    /// The handler says how far a copy has come.
    Progress {
        partition: PartitionId,
        done: u64,
        total: u64,
    },
    /// An attempt to open a session has ended.
    Registered(Result<(), OperationError>),
    /// An attempt to end the session has ended.
    SessionStopped,
    /// The store has no mark of a clean stop any more; or, with `false`, it could not be written.
    StopForgotten(bool),
    /// An attempt to plan has ended.
    Planned,
    /// The node is about to stop.
    Leave,
    /// The node stops.
    Stop,
}

/// What the loop tells the rest of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The open session of this process.
    pub(crate) session: Option<SessionId>,
    /// Whether an attempt to open one is under way.
    pub(crate) registering: bool,
    /// The office it holds.
    pub(crate) office: Option<OfficeId>,
    /// Whether a stop has nothing left to hand over.
    pub(crate) handed_over: bool,
    /// Members that have been away for longer than the rejoin grace, as far as this office can
    /// tell; planned without.
    pub(crate) lost: Vec<MemberNumber>,
}

pub(crate) struct Control {
    node: Arc<Shared>,
    consensus: Arc<Consensus>,
    /// How tasks answer.
    line: mpsc::Sender<Input>,
    agent: Agent,
    leader: Leader,
    waiting: Waiting,
    calls: Calls,
    /// Shut gates with proofs outstanding.
    draining: BTreeMap<PartitionId, FencingToken>,
    /// Members that are lost, and when they were counted.
    lost: Vec<MemberNumber>,
    counted: Time,
    /// The newest reading of the clock, and whether it has gone back since.
    newest: Time,
    went_back: bool,
    /// The lease end from before the clock went back, which counts for nothing when it has caught
    /// up: the lease has to be extended first.
    distrusted: Option<Time>,
    failovers: Failovers,
    /// When the stop began.
    stopping_since: Option<Time>,
    registering: bool,
    /// What stands in the way of this member's registration.
    barred: Barred,
    ending_session: bool,
    /// The mark of a clean stop is being taken out of the store.
    forgetting: bool,
    planning: bool,
    /// When the next confirmation of leadership may begin.
    next_round: tokio::time::Instant,
    /// Renewals of this node under way.
    renewing: Arc<Semaphore>,
    /// Proposals of this node's leader under way.
    proposing: Arc<Semaphore>,
    /// Those among them that nothing may hold up.
    pressing: Arc<Semaphore>,
}

/// However the loop ends, nothing is owned from then on, and nothing runs: the store's lock goes
/// with it, and the next holder of that lock counts this process as dead.
impl Drop for Control {
    fn drop(&mut self) {
        self.node.gates.close();
        self.calls.end();
        self.node.standing.send_replace(Standing::default());
    }
}

/// Runs until the node ends.
///
/// # Errors
/// [`NodeError`] when the cluster does not have this node any more.
pub(crate) async fn run(node: Arc<Shared>, consensus: Arc<Consensus>) -> Result<(), NodeError> {
    let Some((member, mut inbox)) = node.member().zip(node.inbox.lock().take()) else {
        return Ok(());
    };
    let mut control = Control::new(Arc::clone(&node), Arc::clone(&consensus), member);
    let mut applied = node.publisher.applied();
    let mut status = consensus.watch();
    let mut phase = node.phase.subscribe();
    loop {
        control.take_applied();
        control.perform();
        let wait = control.next_deadline().since(node.gates.now());
        tokio::select! {
            biased;
            input = inbox.recv() => {
                // What has arrived is taken before a deadline is looked at.
                let more = std::iter::from_fn(|| inbox.try_recv().ok());
                let mut batch = input.into_iter().chain(more).take(BATCH_MAX);
                batch.try_for_each(|input| control.take(input))?;
            }
            changed = applied.changed() => if changed.is_err() { return Ok(()) },
            changed = status.changed() => if changed.is_err() { return Ok(()) },
            () = node.gates.drained.notified() => {}
            changed = phase.changed() => {
                if changed.is_err() || matches!(*phase.borrow_and_update(), Phase::Ended { .. }) {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(wait.min(IDLE_MAX)) => {}
        }
        control.tick();
    }
}

impl Control {
    fn new(node: Arc<Shared>, consensus: Arc<Consensus>, member: MemberNumber) -> Self {
        let identity = Identity {
            store: node.identity.lock().store,
            process: node.nonce,
            stopped: node.before.stopped,
        };
        let line = node.line.clone();
        Self {
            agent: Agent::new(identity, node.config.handler_limits, Bugs::default()),
            leader: Leader::new(member, node.nonce, node.config.pace, Bugs::default()),
            waiting: Waiting::default(),
            calls: Calls::new(Arc::clone(&node), line.clone()),
            draining: BTreeMap::new(),
            lost: Vec::new(),
            counted: Time::ZERO,
            newest: Time::ZERO,
            went_back: false,
            distrusted: None,
            failovers: Failovers::of(member),
            stopping_since: None,
            registering: false,
            barred: Barred::default(),
            ending_session: false,
            forgetting: false,
            planning: false,
            next_round: tokio::time::Instant::now(),
            renewing: Arc::new(Semaphore::new(perform::RENEWALS_MAX)),
            proposing: Arc::new(Semaphore::new(perform::PROPOSALS_MAX)),
            pressing: Arc::new(Semaphore::new(perform::PROPOSALS_MAX)),
            node,
            consensus,
            line,
        }
    }

    /// The clock. One that goes back is worth no lease: nothing is owned until it has caught up
    /// and a renewal was answered after that.
    fn now(&mut self) -> Time {
        let now = self.node.gates.now();
        if now < self.newest {
            self.node.gates.set_lease_end(Time::ZERO);
            self.distrusted = Some(self.agent.lease_ends());
            // Said once, however often it is read until it has caught up.
            if !std::mem::replace(&mut self.went_back, true) {
                tracing::error!(%now, newest = %self.newest, "the clock has gone back; nothing is owned");
            }
        } else {
            self.newest = now;
            self.went_back = false;
        }
        self.newest
    }

    fn next_deadline(&self) -> Time {
        let agent = self.agent.next_deadline();
        self.leader
            .next_deadline()
            .map_or(agent, |leader| leader.min(agent))
    }

    fn take(&mut self, input: Input) -> Result<(), NodeError> {
        let now = self.now();
        match input {
            Input::Renewal { renewal, answer } => {
                self.waiting.wait(&renewal, answer);
                self.leader.handle(LeaderInput::Renewal(renewal), now);
            }
            Input::Answered(answer) => {
                self.failovers.heard(&answer, now);
                self.agent.handle(AgentInput::Answered(answer), now);
            }
            Input::Confirmed { round, term } => {
                let confirmed = LeaderInput::Confirmed { round, term };
                self.leader.handle(confirmed, now);
            }
            Input::CallEnded { call, succeeded } => {
                self.calls.ended(call);
                let ended = AgentInput::CallEnded { call, succeeded };
                self.agent.handle(ended, now);
            }
            Input::Progress {
                partition,
                done,
                total,
            } => {
                let progress = AgentInput::Progress {
                    partition,
                    done,
                    total,
                };
                self.agent.handle(progress, now);
            }
            Input::Registered(result) => {
                self.registering = false;
                self.look_for_twin(&result, now)?;
                crate::driver::settle_refusal(&self.node, result)?;
            }
            Input::SessionStopped => self.ending_session = false,
            Input::StopForgotten(done) => {
                self.forgetting = false;
                if done {
                    self.agent.handle(AgentInput::StopForgotten, now);
                }
            }
            Input::Planned => self.planning = false,
            Input::Leave => self.agent.handle(AgentInput::Leave, now),
            Input::Stop => {
                self.stopping_since.get_or_insert(now);
                self.agent.handle(AgentInput::Stop, now);
            }
        }
        Ok(())
    }

    /// A session of this member that stays open for much longer than a lease is renewed by somebody:
    /// another process has the same identity, and this one must not vote under it either.
    fn look_for_twin(
        &mut self,
        registered: &Result<(), OperationError>,
        now: Time,
    ) -> Result<(), NodeError> {
        let Err(OperationError::Rejected(Rejection::SessionOpen { session, .. })) = registered
        else {
            self.barred = Barred::default();
            return Ok(());
        };
        let state = self.agent.state();
        let office = state.office().map(|office| office.id);
        let past = state.past_lease().map(|past| past.terms.waits_for());
        let waits = state
            .config()
            .lease
            .waits_for()
            .max(past.unwrap_or_default());
        if !self.barred.is_renewed(*session, office, waits, now) {
            return Ok(());
        }
        Err(NodeError::Twin {
            node: self.node.config.node.clone(),
            session: *session,
        })
    }

    /// Feeds both machines what has been applied since.
    fn take_applied(&mut self) {
        let published = self.node.publisher.current();
        let state = &published.state;
        if state.applied() <= self.agent.state().applied() {
            return;
        }
        if state.table().is_some() {
            let config = state.config();
            self.node
                .gates
                .lay_out(config.partitions, state.incarnation());
        }
        let now = self.now();
        let states = (self.agent.state(), state);
        let figures = self.failovers.applied(states, &self.leader, now);
        self.node.note_failovers(figures);
        self.agent.handle(AgentInput::Applied(state.clone()), now);
        self.leader.handle(LeaderInput::Applied(state.clone()), now);
    }

    /// Who leads, what is drained, and, after the renewals that have arrived, the time.
    fn tick(&mut self) {
        let now = self.now();
        let status = self.consensus.watch().borrow().clone();
        let leads = if status.leads() {
            LeaderInput::Leads { term: status.term }
        } else {
            LeaderInput::Follows
        };
        self.leader.handle(leads, now);
        let gates = Arc::clone(&self.node.gates);
        let drained = |partition: &PartitionId| gates.is_drained(*partition);
        let over: Vec<_> = self.draining.keys().copied().filter(drained).collect();
        for partition in over {
            if let Some(token) = self.draining.remove(&partition) {
                self.agent.handle(AgentInput::Drained { token }, now);
            }
        }
        if self.agent.next_deadline() <= now {
            self.agent.handle(AgentInput::Tick, now);
        }
        if self.leader.next_deadline().is_some_and(|at| at <= now) {
            self.leader.handle(LeaderInput::Tick, now);
        }
    }

    /// Tells the rest of the node.
    fn publish(&mut self) {
        let now = self.now();
        self.failovers.holds(self.leader.office(), now);
        if now.since(self.counted) >= COUNT_EVERY {
            self.counted = now;
            self.lost = self.leader.lost(now);
        }
        let standing = Standing {
            session: self.agent.session(),
            registering: self.registering,
            office: self.leader.office(),
            handed_over: self.agent.is_handed_over(now),
            lost: self.lost.clone(),
        };
        self.node.standing.send_if_modified(|last| {
            let news = *last != standing;
            *last = standing;
            news
        });
    }
}
