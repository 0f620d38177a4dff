//! A member's side: what it holds, and what it must do about it.
//!
//! The published table is compared with what was last acted on, level-triggered: however many
//! entries or snapshots lie between, any difference of (session, epoch) is a loss and then a gain.

mod goal;
mod io;
mod line;
mod part;
mod send;
mod wall;

pub use io::{AgentInput, AgentOutput, Call, CallId};
pub use line::HandlerLimits;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use ck_core::PartitionId;

use crate::bugs::{Bug, Bugs};
use crate::session::Lease;
use crate::{
    Answer, FencingToken, Member, MemberNumber, Nonce, PartitionControl, SessionId, State,
    StopMark, StoreId, Time,
};
use line::Line;
use part::Part;

/// Which sessions are this process's: those of its store that it registered itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The store it holds the lock of.
    pub store: StoreId,
    /// Drawn anew at every start; the one in its registrations.
    pub process: Nonce,
    /// The session that the store's mark says was stopped cleanly, see [`AgentOutput::StopSession`].
    pub stopped: Option<StopMark>,
}

/// One process of a node: its session, its lease, and its part in every partition.
///
/// Call order: [`handle`](Self::handle) with each input as it happens, then
/// [`poll_output`](Self::poll_output) until it is empty, then wait for the next input or
/// [`next_deadline`](Self::next_deadline), at which a tick is due.
///
/// A driver that answers `owns` from several threads publishes, for each partition, the token whose
/// gate is open ([`AgentOutput::Open`], [`AgentOutput::Shut`]), and one lease end
/// ([`lease_ends`](Self::lease_ends)). A reader loads the gate, then the lease end, and only *then*
/// reads the clock: a clock read first would let a pause between the reads prolong the lease.
#[derive(Debug, Clone)]
pub struct Agent {
    identity: Identity,
    bugs: Bugs,
    state: State,
    lease: Option<Lease>,
    /// The newest session that is known to be over, though the applied state may not show it.
    over: Option<SessionId>,
    /// Its number, once it has been a member; a removed one does not register again.
    number: Option<MemberNumber>,
    /// Since when it is about to stop.
    leaving: Option<Time>,
    /// Whether the leader has said since then that nothing is left to hand over.
    handed_over: bool,
    stopping: bool,
    lapsed: bool,
    parts: BTreeMap<PartitionId, Part>,
    /// Those that something has happened to; the others have nothing to do.
    due: BTreeSet<PartitionId>,
    /// Those that have to be looked at at a time.
    alarms: BTreeSet<(Time, PartitionId)>,
    /// Those with a planned move.
    moving: BTreeSet<PartitionId>,
    line: Line,
    outputs: VecDeque<AgentOutput>,
    send_at: Time,
    #[cfg(feature = "planted-bugs")]
    wall: i64,
}

impl Agent {
    /// A process that has just started and has applied nothing.
    #[must_use]
    pub fn new(identity: Identity, limits: HandlerLimits, bugs: Bugs) -> Self {
        Self {
            identity,
            bugs,
            state: State::default(),
            lease: None,
            over: None,
            number: None,
            leaving: None,
            handed_over: false,
            stopping: false,
            lapsed: true,
            parts: BTreeMap::new(),
            due: BTreeSet::new(),
            alarms: BTreeSet::new(),
            moving: BTreeSet::new(),
            line: Line::new(limits),
            outputs: VecDeque::new(),
            send_at: Time::ZERO,
            #[cfg(feature = "planted-bugs")]
            wall: 0,
        }
    }

    /// Takes one input. `now` never goes back.
    pub fn handle(&mut self, input: AgentInput, now: Time) {
        match input {
            AgentInput::Applied(state) => self.applied(state, now),
            AgentInput::Answered(answer) => self.answered(&answer, now),
            AgentInput::CallEnded { call, succeeded } => self.call_ended(call, succeeded, now),
            AgentInput::Progress {
                partition,
                done,
                total,
            } => {
                if let Some(part) = self.parts.get_mut(&partition) {
                    part.progressed(done, total);
                }
            }
            AgentInput::Drained { token } => {
                if let Some(part) = self.parts.get_mut(&token.partition) {
                    part.drained(token);
                    self.due.insert(token.partition);
                }
                if self.stopping {
                    // Its session's end may have waited for this.
                    self.send_at = now;
                }
            }
            AgentInput::Leave => {
                if self.leaving.is_none() {
                    self.leaving = Some(self.clock(now));
                    self.send_at = now;
                }
            }
            AgentInput::Stop => self.stop(now),
            AgentInput::StopForgotten => self.identity.stopped = None,
            AgentInput::Tick => {}
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    /// When a tick is due.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let lease = self.lease.filter(|_| !self.lapsed);
        let lease = lease.map(|one| self.alarm(one.ends()));
        let alarm = self.alarms.first().map(|(at, _)| *at);
        alarm
            .into_iter()
            .chain(lease)
            .min()
            .map_or(self.send_at, |first| first.min(self.send_at))
    }

    /// The newest state that was given.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// This process's open session, as far as it knows.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.lease.map(|lease| lease.session())
    }

    /// Whether, since [`AgentInput::Leave`], nothing is left that a stop could hand over: it holds
    /// no role, or the leader has said that nobody can take what it holds, or it may not act
    /// anyway.
    #[must_use]
    pub fn is_handed_over(&self, now: Time) -> bool {
        if self.leaving.is_none() {
            return false;
        }
        let session = self.session();
        let holds = |control: &PartitionControl| {
            control.holder.map(|holder| holder.session) == session && session.is_some()
        };
        self.handed_over
            || !self.live(now)
            || !self.state.partitions().any(|(_, control)| holds(control))
    }

    /// When its right to act ends on its own clock; [`Time::ZERO`] while there is none.
    #[must_use]
    pub fn lease_ends(&self) -> Time {
        let floored = |lease: &Lease| {
            self.state.applied() >= lease.floor() || self.bugs.has(Bug::LeaseWithoutFloor)
        };
        let may_act = !self.stopping && self.marked().is_none();
        let lease = self.lease.filter(floored).filter(|_| may_act);
        lease.map_or(Time::ZERO, |lease| lease.ends())
    }

    /// The token under which this node may act on a partition at `now`, if it may.
    #[must_use]
    pub fn owns(&self, partition: PartitionId, now: Time) -> Option<FencingToken> {
        let token = self.parts.get(&partition)?.open()?;
        self.live(now).then_some(token)
    }

    /// Whether an effect under a token may begin at `now`. Asked before each effect, again after
    /// every await.
    #[must_use]
    pub fn check(&self, token: FencingToken, now: Time) -> bool {
        self.bugs.has(Bug::NoCheckAfterAwait) || self.owns(token.partition, now) == Some(token)
    }

    /// The mark of a clean stop that is still in the store, though this process has a session.
    fn marked(&self) -> Option<StopMark> {
        self.identity
            .stopped
            .filter(|_| !self.bugs.has(Bug::StaleStopMark))
    }

    fn live(&self, now: Time) -> bool {
        if self.marked().is_some() {
            return false;
        }
        let (applied, now) = (self.state.applied(), self.clock(now));
        let counts = |lease: Lease| lease.counts(applied, now, self.bugs);
        !self.stopping && self.lease.is_some_and(counts)
    }

    fn member(&self) -> Option<&Member> {
        let store = self.identity.store;
        self.state.members().find(|member| member.store == store)
    }

    /// The session that the applied state has open for this very process.
    fn applied_session(&self) -> Option<SessionId> {
        let session = self.state.session(self.member()?.session?)?;
        let mine = session.process == self.identity.process && Some(session.id) > self.over;
        mine.then_some(session.id)
    }

    fn applied(&mut self, state: State, now: Time) {
        if state.applied() <= self.state.applied() {
            return;
        }
        let changed = state.version() != self.state.version();
        self.state = state;
        if !changed {
            return;
        }
        self.number = self.member().map(|member| member.number).or(self.number);
        let session = self.applied_session();
        if session != self.session() {
            self.over = self.over.max(self.session());
            self.lease = session.map(|session| Lease::begun(session, self.clock(now)));
            self.send_at = now;
        }
        self.set_goals();
    }

    fn answered(&mut self, answer: &Answer, now: Time) {
        match *answer {
            Answer::Granted {
                session,
                process: _,
                sent,
                terms,
                floor,
                handing_over,
            } => {
                let (bugs, now) = (self.bugs, self.clock(now));
                if self.leaving.is_some_and(|since| sent >= since)
                    && self.session() == Some(session)
                {
                    self.handed_over = !handing_over;
                }
                if let Some(lease) = self.lease.as_mut().filter(|one| one.session() == session) {
                    lease.extend(sent, &terms, floor, now, bugs);
                }
            }
            Answer::Fenced { session, process } => {
                if self.session() == Some(session) && process == self.identity.process {
                    self.over = Some(session);
                    self.lease = None;
                    self.send_at = now;
                    self.set_goals();
                }
            }
        }
    }

    /// Ends this node's own lease first; the session is never resumed.
    fn stop(&mut self, now: Time) {
        if self.stopping {
            return;
        }
        if let Some(lease) = &mut self.lease {
            lease.end();
        }
        self.stopping = true;
        self.send_at = now;
    }

    fn call_ended(&mut self, call: CallId, succeeded: bool, now: Time) {
        let retry = self.state.config().lease.renews_every();
        let Some(partition) = self.line.ended(call) else {
            return;
        };
        if let Some(part) = self.parts.get_mut(&partition) {
            part.call_ended(call, succeeded, now, retry);
            self.due.insert(partition);
        }
        // What this node has done should not wait for the next renewal.
        self.send_at = self.send_at.min(now);
    }

    fn advance(&mut self, now: Time) {
        let live = self.live(now);
        if !live && !self.lapsed {
            self.outputs.push_back(AgentOutput::Lapsed);
        }
        if live == self.lapsed {
            self.due.extend(self.parts.keys());
        }
        self.lapsed = !live;
        let passed = self.alarms.iter().take_while(|(at, _)| *at <= now);
        self.due.extend(passed.map(|(_, partition)| *partition));
        while let Some(partition) = self.due.pop_first() {
            self.advance_one(partition, |part, line, outputs| {
                part.advance(partition, live, now, line, outputs);
            });
        }
        while let Some((partition, lane)) = self.line.next() {
            self.advance_one(partition, |part, line, outputs| {
                part.takes_turn(partition, lane, live, now, line, outputs);
            });
        }
        self.send(now);
    }

    fn advance_one(
        &mut self,
        partition: PartitionId,
        step: impl FnOnce(&mut Part, &mut Line, &mut VecDeque<AgentOutput>),
    ) {
        let Some(part) = self.parts.get_mut(&partition) else {
            return;
        };
        if let Some(at) = part.set_alarm.take() {
            self.alarms.remove(&(at, partition));
        }
        step(part, &mut self.line, &mut self.outputs);
        if part.is_gone() {
            self.parts.remove(&partition);
        } else if let Some(at) = part.alarm() {
            part.set_alarm = Some(at);
            self.alarms.insert((at, partition));
        }
    }
}
