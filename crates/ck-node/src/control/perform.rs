//! Performing what the machines ask for, in order.

use std::sync::Arc;

use ck_control::{
    AgentOutput, Command, FencingToken, LeaderOutput, MemberNumber, Mode, Renewal, Round,
    SessionId, StopMark, Time, TransferCommand, Trigger,
};
use tokio::sync::oneshot;

use super::{Control, Input};
use super::{renewals, tasks};
use crate::consensus::Substrate;
use crate::execute::{self, propose};
use crate::operation::{Operation, OperationError};
use crate::planning;
use crate::relay;

/// Renewals of this node that may be under way: a lease has five.
pub(super) const RENEWALS_MAX: usize = 8;

/// Proposals of this node's leader that may be under way. What is beyond is proposed again.
pub(super) const PROPOSALS_MAX: usize = 256;

/// Confirmations of leadership that may begin in the time between two renewals of one node. Each asks
/// every voter and covers all renewals that have arrived, so more of them would only cost more.
const ROUNDS_A_RENEWAL: u32 = 20;

impl Control {
    /// Performs all outputs, and publishes what this node may act on.
    pub(super) fn perform(&mut self) {
        loop {
            // A right that has shrunk is taken back before anything else is done.
            self.publish_lease(|before, now| now < before);
            if let Some(output) = self.agent.poll_output() {
                self.perform_one(output);
            } else if let Some(output) = self.leader.poll_output() {
                self.perform_as_leader(output);
            } else {
                break;
            }
        }
        // One that has grown is published after the gates were set to what it is for.
        self.publish_lease(|before, now| now != before);
        self.publish();
    }

    fn publish_lease(&self, publishes: impl Fn(Time, Time) -> bool) {
        let (before, ends) = (self.node.gates.lease_end(), self.agent.lease_ends());
        // A reader compares the end with the clock, so a clock that went back must meet no end; and
        // an advisory cluster gives no right to act.
        let advisory = self.agent.state().config().mode == Mode::Advisory;
        let ends = if self.went_back || advisory || self.distrusted == Some(ends) {
            Time::ZERO
        } else {
            ends
        };
        if publishes(before, ends) {
            self.node.gates.set_lease_end(ends);
        }
    }

    fn perform_one(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::Renew(renewal) => self.renew(renewal),
            AgentOutput::Register { previous, stopped } => self.register(previous, stopped),
            AgentOutput::ForgetStop => self.forget_stop(),
            AgentOutput::StopSession { member, session } => self.stop_session(member, session),
            AgentOutput::Open { token } => {
                self.draining.remove(&token.partition);
                let now = self.now();
                self.node.note_failovers(self.failovers.opened(token, now));
                self.node.gates.open(token);
            }
            AgentOutput::Shut { token } => self.shut(token),
            AgentOutput::Call {
                id,
                partition,
                call,
            } => {
                let state = self.agent.state().clone();
                self.calls.begin(id, partition, call, &state);
            }
            AgentOutput::Cancel { id, overdue } => self.calls.cancel(id, overdue),
            AgentOutput::Lapsed => self.calls.lapsed(),
        }
    }

    fn shut(&mut self, token: FencingToken) {
        self.node.gates.shut(token.partition);
        self.draining.insert(token.partition, token);
        // Looked at in the next turn; a proof that is dropped meanwhile wakes the loop as well.
        self.node.gates.drained.notify_one();
    }

    /// Sends a renewal to whoever leads; with no leader known it is lost, which is harmless.
    fn renew(&mut self, renewal: Renewal) {
        let Ok(permit) = Arc::clone(&self.renewing).try_acquire_owned() else {
            return;
        };
        let within = self.agent.state().config().lease.lease();
        let line = self.line.clone();
        if self.consensus.watch().borrow().leads() {
            // The leader renews with itself by the same path.
            let (answer, answered) = oneshot::channel();
            tokio::spawn(async move {
                let _permit = permit;
                let _ = line.send(Input::Renewal { renewal, answer }).await;
                if let Ok(Ok(answer)) = tokio::time::timeout(within, answered).await {
                    let _ = line.send(Input::Answered(answer)).await;
                }
            });
            return;
        }
        let Some(leader) = relay::leader_address(&self.node) else {
            return;
        };
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            let _permit = permit;
            if let Some(answer) = renewals::ask(&node, &leader, &renewal, within).await {
                let _ = line.send(Input::Answered(answer)).await;
            }
        });
    }

    fn register(&mut self, previous: Option<SessionId>, stopped: Option<StopMark>) {
        // A session opened while the clock is behind could not be renewed, and would only expire.
        if self.registering || self.went_back || self.stopping_since.is_some() {
            return;
        }
        self.registering = true;
        let node = Arc::clone(&self.node);
        let register = async move { crate::driver::register(&node, previous, stopped).await };
        tasks::run(&self.line, register, |ended| {
            // A task that died may have registered.
            let died = |_| Err(OperationError::Unknown { after_ms: 0 });
            Input::Registered(ended.unwrap_or_else(died))
        });
    }

    /// A session has begun that may act: the mark of the stop before it goes first.
    fn forget_stop(&mut self) {
        if std::mem::replace(&mut self.forgetting, true) {
            return;
        }
        let node = Arc::clone(&self.node);
        let forget = async move {
            let forgotten = node.mark_stopped(None).await;
            if let Err(source) = &forgotten {
                tracing::warn!(%source, "nothing is owned until the mark of the last stop is gone");
            }
            forgotten.is_ok()
        };
        tasks::run(&self.line, forget, |ended| {
            Input::StopForgotten(ended.unwrap_or(false))
        });
    }

    fn stop_session(&mut self, member: MemberNumber, session: SessionId) {
        // A clean stop says that nothing is acknowledged after it: as long as a proof is held, the
        // session is left to expire instead.
        let gates = Arc::clone(&self.node.gates);
        self.draining
            .retain(|partition, _| !gates.is_drained(*partition));
        if !self.draining.is_empty() || std::mem::replace(&mut self.ending_session, true) {
            return;
        }
        let node = Arc::clone(&self.node);
        let stop = async move {
            if let Err(source) = node.mark_stopped(Some(session)).await {
                tracing::warn!(%source, "the clean stop is not written down");
            }
            let actor = node.config.node.as_str().to_owned();
            let stop = Operation::Stop { member, session };
            if let Err(source) = execute::execute(&node, stop, &actor).await {
                tracing::debug!(%source, "the end of the session is not committed yet");
            }
        };
        tasks::run(&self.line, stop, |_| Input::SessionStopped);
    }

    fn perform_as_leader(&mut self, output: LeaderOutput) {
        match output {
            LeaderOutput::Confirm { round, term } => self.confirm(round, term),
            LeaderOutput::Answer { answer, .. } => self.waiting.answer(answer),
            LeaderOutput::Propose(command) => self.propose(command),
            LeaderOutput::Plan { trigger } => self.plan(trigger),
        }
    }

    /// Asks the majority, at once or after the pause that keeps rounds apart. What a round covers had
    /// arrived before this call, so a later beginning only makes it surer.
    fn confirm(&mut self, round: Round, term: u64) {
        let (consensus, line) = (Arc::clone(&self.consensus), self.line.clone());
        let within = self.agent.state().config().lease.renews_every();
        let begins = self.next_round.max(tokio::time::Instant::now());
        self.next_round = begins + within / ROUNDS_A_RENEWAL;
        tokio::spawn(async move {
            tokio::time::sleep_until(begins).await;
            // A round that takes longer counts as lost, and another follows.
            let asked = tokio::time::timeout(within, consensus.confirm_leadership()).await;
            match asked {
                Ok(Ok(confirmed)) => {
                    let term = confirmed.term;
                    let _ = line.send(Input::Confirmed { round, term }).await;
                }
                Ok(Err(source)) => tracing::debug!(%source, term, "leadership is not confirmed"),
                Err(_) => tracing::debug!(term, "no majority confirmed leadership in time"),
            }
        });
    }

    fn propose(&self, command: Command) {
        // What gives a role away, or ends a session, does not wait behind the bulk of a plan.
        let pressing = matches!(
            command,
            Command::Office { .. }
                | Command::Expire { .. }
                | Command::Remove { .. }
                | Command::Transfer {
                    step: TransferCommand::Commit { .. }
                        | TransferCommand::CommitRevoked { .. }
                        | TransferCommand::Abort { .. },
                    ..
                }
        );
        let permits = if pressing {
            &self.pressing
        } else {
            &self.proposing
        };
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
            tracing::debug!(command = command.name(), "many proposals are under way");
            return;
        };
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            let _permit = permit;
            let name = command.name();
            if let Err(source) = propose(&node, command, CONTROLLER).await {
                tracing::debug!(%source, command = name, "a decision was not taken over");
            }
        });
    }

    fn plan(&mut self, trigger: Trigger) {
        if std::mem::replace(&mut self.planning, true) {
            return;
        }
        let node = Arc::clone(&self.node);
        let plan = async move {
            if let Err(source) = planning::rebalance(&node, trigger, false, CONTROLLER).await {
                tracing::debug!(%source, %trigger, "no rebalance yet");
            }
        };
        tasks::run(&self.line, plan, |_| Input::Planned);
    }
}

/// The actor of what a leader decides by itself.
pub(crate) const CONTROLLER: &str = "controller";
