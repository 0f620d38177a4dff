//! What the agents and leaders of the small cluster ask for, and what comes of it.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::cluster::{Cluster, process_of};
use crate::state::tests::world::registration;
use crate::{
    AgentInput, AgentOutput, Call, CallId, Command, Generation, Home, LeaderInput, LeaderOutput,
    Registration, SessionId, StopMark, StoreId,
};

impl Cluster {
    pub(super) fn agent_output(&mut self, n: u64, output: AgentOutput) {
        let now = self.now;
        match output {
            AgentOutput::Renew(renewal) => {
                if let Some(leader) = self.leading.filter(|_| !self.mute.contains(&n)) {
                    self.node(leader)
                        .leader
                        .handle(LeaderInput::Renewal(renewal), now);
                }
            }
            AgentOutput::ForgetStop => {
                if !self.keeps.contains(&n) {
                    self.marks.remove(&n);
                    self.node(n).agent.handle(AgentInput::StopForgotten, now);
                }
            }
            AgentOutput::Register { previous, stopped } => self.register(n, previous, stopped),
            AgentOutput::StopSession { member, session } => {
                let start = Generation(self.nodes[&n].generation);
                self.marks.insert(n, StopMark { session, start });
                if self.leading.is_some() {
                    let _ = self.world.apply(Command::Stop { member, session });
                    self.publish();
                }
            }
            AgentOutput::Shut { token } => {
                if !self.holds.contains(&n) {
                    let input = AgentInput::Drained { token };
                    self.node(n).agent.handle(input, now);
                }
            }
            AgentOutput::Call { id, call, .. } => self.call(n, id, call),
            AgentOutput::Cancel { id, .. } => {
                let input = AgentInput::CallEnded {
                    call: id,
                    succeeded: false,
                };
                self.node(n).agent.handle(input, now);
            }
            AgentOutput::Open { .. } | AgentOutput::Lapsed => {}
        }
    }

    pub(super) fn leader_output(&mut self, n: u64, output: LeaderOutput) {
        let now = self.now;
        match output {
            LeaderOutput::Confirm { round, term } => {
                if self.quorum && self.leading == Some(n) {
                    self.confirm(n, round, term);
                } else {
                    self.kept.push((round, term));
                }
            }
            LeaderOutput::Answer { to, answer } => {
                if !self.deaf.contains(&to.0) && self.nodes[&to.0].up {
                    self.node(to.0)
                        .agent
                        .handle(AgentInput::Answered(answer), now);
                }
            }
            LeaderOutput::Propose(command) => {
                if self.deny {
                    self.lost.push(command);
                } else if self.leading == Some(n) {
                    if let Err(refused) = self.world.apply(command) {
                        self.refusals.push(refused.to_string());
                    }
                    self.publish();
                }
            }
            LeaderOutput::Plan { trigger } => drop(self.plans.insert(trigger)),
        }
    }

    fn register(&mut self, n: u64, previous: Option<SessionId>, stopped: Option<StopMark>) {
        let store = StoreId(n.into());
        let state = self.world.state.clone();
        let mut members = state.members();
        let member = members.find(|one| one.store == store).map(|one| one.number);
        let generation = Generation(self.nodes[&n].generation);
        let registration = Registration {
            generation,
            homes: Vec::from([(Home(n), generation)]),
            process: process_of(n, self.nodes[&n].generation),
            previous,
            member,
            stopped,
            served: true,
            ..registration(n)
        };
        if self.leading.is_some() && !self.mute.contains(&n) {
            let _ = self.world.apply(Command::Register(registration));
            self.publish();
        }
    }

    fn call(&mut self, n: u64, id: CallId, call: Call) {
        let now = self.now;
        self.calls.push((n, call));
        let slow = matches!(call, Call::Release { .. } | Call::Prepare { .. });
        let dull = matches!(call, Call::BecomePrimary { .. }) && self.dull.contains(&n);
        let hangs = dull || (slow && self.hangs.contains(&n));
        let begins = matches!(call, Call::BecomePrimary { .. });
        let balks = begins && self.balks.contains(&n);
        let fails = matches!(call, Call::Release { .. }) && self.fails.contains(&n);
        if !hangs {
            let input = AgentInput::CallEnded {
                call: id,
                succeeded: !fails && !balks,
            };
            self.node(n).agent.handle(input, now);
        }
    }
}
