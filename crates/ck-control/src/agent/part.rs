//! One partition at one node: its gate, and the one call that may be running.

use alloc::collections::VecDeque;
use core::time::Duration;

use ck_core::PartitionId;

use crate::agent::goal::Goal;
use crate::agent::line::{Lane, Line, lane};
use crate::agent::{AgentOutput, CallId};
use crate::bugs::{Bug, Bugs};
use crate::{FencingToken, Time};

/// Most doublings of the time between two tries of a call.
const BACKOFF_DOUBLINGS_MAX: u32 = 5;

/// A call that is running, and where it leads.
#[derive(Debug, Clone, Copy)]
struct Running {
    id: CallId,
    goal: Goal,
    cancelled: bool,
    /// When it has to have returned.
    deadline: Option<Time>,
    /// Whether it was cancelled for that: then it has failed.
    overdue: bool,
}

/// What this node holds of one partition.
#[derive(Debug, Clone)]
pub(super) struct Part {
    bugs: Bugs,
    goal: Goal,
    reached: Option<Goal>,
    running: Option<Running>,
    /// The token whose gate is open.
    open: Option<FencingToken>,
    /// The token whose gate was shut and whose proofs may be outstanding.
    draining: Option<FencingToken>,
    /// Where it waits for room for its call.
    queued: Option<Lane>,
    failures: u32,
    retry_at: Option<Time>,
    /// The alarm that is set for it.
    pub(super) set_alarm: Option<Time>,
    /// How far the running copy has come, as the handler said.
    progress: Option<(u64, u64)>,
}

impl Part {
    pub(super) const fn new(goal: Goal, bugs: Bugs) -> Self {
        Self {
            bugs,
            goal,
            reached: None,
            running: None,
            open: None,
            draining: None,
            queued: None,
            failures: 0,
            retry_at: None,
            set_alarm: None,
            progress: None,
        }
    }

    /// Sets where it is to be brought. False when that is the same as before, and changes nothing.
    pub(super) fn aim(&mut self, goal: Goal) -> bool {
        if self.goal == goal {
            return false;
        }
        self.goal = goal;
        self.failures = 0;
        self.retry_at = None;
        self.progress = None;
        if self.reached != Some(goal) {
            self.reached = None;
        }
        true
    }

    pub(super) const fn goal(&self) -> Goal {
        self.goal
    }

    pub(super) fn is_reached(&self) -> bool {
        self.reached == Some(self.goal)
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub(super) const fn open(&self) -> Option<FencingToken> {
        self.open
    }

    /// When it has to be looked at though nothing happens: for the next try, or for a call that has
    /// taken too long.
    pub(super) fn alarm(&self) -> Option<Time> {
        let overdue = self.running.filter(|running| !running.cancelled);
        let overdue = overdue.and_then(|running| running.deadline);
        self.retry_at.or(overdue)
    }

    /// Whether nothing is left of it here.
    pub(super) fn is_gone(&self) -> bool {
        self.goal == Goal::Gone && self.is_reached() && self.running.is_none()
    }

    pub(super) const fn progressed(&mut self, done: u64, total: u64) {
        self.progress = Some((done, total));
    }

    pub(super) const fn progress(&self) -> Option<(u64, u64)> {
        self.progress
    }

    pub(super) fn drained(&mut self, token: FencingToken) {
        if self.draining == Some(token) {
            self.draining = None;
        }
    }

    /// Takes the end of its call.
    pub(super) fn call_ended(&mut self, call: CallId, succeeded: bool, now: Time, retry: Duration) {
        let Some(running) = self.running.filter(|running| running.id == call) else {
            return;
        };
        self.running = None;
        if running.goal != self.goal || (running.cancelled && !running.overdue) {
            return;
        }
        if succeeded {
            self.reached = Some(self.goal);
            self.failures = 0;
        } else {
            let doublings = self.failures.min(BACKOFF_DOUBLINGS_MAX);
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(now.after(retry.saturating_mul(1 << doublings)));
        }
    }

    /// It is its turn: there is room for its call, if it still has one to make.
    pub(super) fn takes_turn(
        &mut self,
        partition: PartitionId,
        lane: Lane,
        live: bool,
        now: Time,
        line: &mut Line,
        outputs: &mut VecDeque<AgentOutput>,
    ) {
        if self.queued == Some(lane) {
            self.queued = None;
            self.step(partition, live, now, true, line, outputs);
        }
    }

    pub(super) fn advance(
        &mut self,
        partition: PartitionId,
        live: bool,
        now: Time,
        line: &mut Line,
        outputs: &mut VecDeque<AgentOutput>,
    ) {
        self.step(partition, live, now, false, line, outputs);
    }

    fn step(
        &mut self,
        partition: PartitionId,
        live: bool,
        now: Time,
        is_first: bool,
        line: &mut Line,
        outputs: &mut VecDeque<AgentOutput>,
    ) {
        self.shut(live, outputs);
        if let Some(running) = &mut self.running {
            let overdue = running.deadline.is_some_and(|at| now >= at);
            if !running.cancelled && (overdue || running.goal != self.goal) {
                running.cancelled = true;
                running.overdue = overdue;
                outputs.push_back(AgentOutput::Cancel {
                    id: running.id,
                    overdue: overdue.then_some(line.limits.become_primary),
                });
            }
            return;
        }
        if self.is_reached() {
            if let Goal::Serve { token } = self.goal
                && live
                && self.open != Some(token)
            {
                self.open = Some(token);
                self.draining = None;
                outputs.push_back(AgentOutput::Open { token });
            }
            return;
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        // A time that is past is no deadline: what is waited for comes as an input.
        self.retry_at = None;
        if self.waits(live) {
            return;
        }
        match self.goal.call() {
            Some(call) if line.admits(call, is_first) => {
                let begins = matches!(self.goal, Goal::Serve { .. });
                self.queued = None;
                self.running = Some(Running {
                    id: line.begin(partition, call, outputs),
                    goal: self.goal,
                    cancelled: false,
                    deadline: begins.then(|| now.after(line.limits.become_primary)),
                    overdue: false,
                });
            }
            Some(call) => {
                self.queued = lane(call);
                if let Some(lane) = self.queued {
                    line.wait(partition, lane);
                }
            }
            None => self.reached = Some(self.goal),
        }
    }

    /// Shuts the gate as soon as the grant is another's, is to be given up, or cannot be used.
    fn shut(&mut self, live: bool, outputs: &mut VecDeque<AgentOutput>) {
        let Some(token) = self.open else {
            return;
        };
        let releasing = matches!(self.goal, Goal::Release { .. });
        if releasing && self.bugs.has(Bug::SourceNeverStops) {
            return;
        }
        if live && self.goal.serves() == Some(token) {
            return;
        }
        self.open = None;
        self.draining = Some(token);
        outputs.push_back(AgentOutput::Shut { token });
        if self.goal.serves() == Some(token) {
            // The lease has lapsed: with the next one the application is told to serve again.
            self.reached = None;
        }
    }

    /// Whether the next call has to wait for the lease, or for outstanding proofs.
    const fn waits(&self, live: bool) -> bool {
        match self.goal {
            Goal::Serve { .. } => !live,
            Goal::Release { .. } => self.draining.is_some(),
            _ => false,
        }
    }
}
