//! Performs what the machines ask for. It decides nothing.

use ck_control::{
    AgentInput, AgentOutput, Command, Home, Leader, LeaderInput, LeaderOutput, Nonce, Registration,
    Report, SessionId, StopMark, Time,
};

use crate::clock::{Instant, SECOND};
use crate::invariants::Observation;
use crate::world::{Event, Message, World};

/// Time a stop waits for its entry to be committed.
const STOP_PATIENCE: Instant = 2 * SECOND;

impl World {
    pub(super) fn deliver(&mut self, to: usize, from: usize, message: Message) {
        if self.places[to].process.is_none() {
            return;
        }
        match message {
            Message::Append(append) => self.appended(to, from, &append),
            Message::Appended { term, result } => self.append_answered(to, from, term, result),
            Message::Confirm { term, round, life } => {
                self.asked_to_confirm(to, from, term, round, life);
            }
            Message::Confirmed { term, round, life } => {
                self.confirmed(to, from, term, round, life);
            }
            Message::Renewal(renewal) => {
                let now = self.clock(to);
                let leader = self.places[to].process.as_mut();
                if let Some(leader) = leader.and_then(|one| one.leader.as_mut()) {
                    leader.handle(LeaderInput::Renewal(renewal), now);
                }
                self.pump(to);
            }
            Message::Answer(answer) => {
                let now = self.clock(to);
                if let Some(process) = &mut self.places[to].process {
                    process.agent.handle(AgentInput::Answered(answer), now);
                }
                self.pump(to);
                self.end_if_stopped(to);
            }
            Message::Propose { actor, command } => self.append(to, actor, command),
            other => self.application(to, from, other),
        }
    }

    pub(super) fn wake_agent(&mut self, place: usize, life: u64) {
        let now = self.clock(place);
        let here = &mut self.places[place];
        if here.life != life {
            return;
        }
        let Some(process) = &mut here.process else {
            return;
        };
        if process.agent_wake > self.now {
            return;
        }
        process.agent_wake = u64::MAX;
        process.agent.handle(AgentInput::Tick, now);
        self.pump(place);
    }

    pub(super) fn wake_leader(&mut self, place: usize, life: u64) {
        let now = self.clock(place);
        let here = &mut self.places[place];
        if here.life != life {
            return;
        }
        let Some(process) = &mut here.process else {
            return;
        };
        if process.leader_wake > self.now {
            return;
        }
        process.leader_wake = u64::MAX;
        if let Some(leader) = &mut process.leader {
            leader.handle(LeaderInput::Tick, now);
        }
        self.pump(place);
    }

    /// Applies what is committed here.
    pub(super) fn catch_up(&mut self, place: usize) {
        let here = &self.places[place];
        let Some(process) = &here.process else {
            return;
        };
        if here.stuck || process.applied >= process.commit {
            return;
        }
        if here.skips {
            let commit = process.commit;
            self.places[place].skips = false;
            self.apply(place, commit);
        }
        // Applying may propose and so commit more, or end this process.
        loop {
            let next = self.places[place].process.as_ref();
            let next = next.filter(|one| one.applied < one.commit);
            let Some(next) = next.map(|one| one.applied + 1) else {
                return;
            };
            self.apply(place, next);
        }
    }

    fn apply(&mut self, place: usize, index: usize) {
        let state = self.committed[index - 1].state.clone();
        let now = self.clock(place);
        self.see(&Observation::Seen {
            place,
            state: &state,
        });
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        process.applied = index;
        process
            .agent
            .handle(AgentInput::Applied(state.clone()), now);
        if let Some(leader) = &mut process.leader {
            leader.handle(LeaderInput::Applied(state), now);
        }
        self.after_apply(place);
    }

    fn after_apply(&mut self, place: usize) {
        let here = &self.places[place];
        let Some(process) = &here.process else {
            return;
        };
        let state = process.agent.state();
        let known = state.members().any(|member| member.store == here.store);
        let removed = here.member.is_some_and(|member| state.is_removed(member));
        let stopped = process.stopping && process.agent.session().is_none();
        if removed && !known {
            self.crash(place);
            self.places[place].removed = true;
            return;
        }
        if stopped {
            self.end_cleanly(place);
            return;
        }
        if here.member.is_none() {
            self.know_member(place);
        }
        self.settle_writes(place);
        self.consider_forming(place);
        self.pump(place);
    }

    /// Performs all outputs and sets the alarms.
    pub(super) fn pump(&mut self, place: usize) {
        let life = here_life(self, place);
        loop {
            let Some(process) = &mut self.places[place].process else {
                return;
            };
            if let Some(output) = process.agent.poll_output() {
                self.perform(place, output);
            } else if let Some(output) = process.leader.as_mut().and_then(Leader::poll_output) {
                self.perform_as_leader(place, output);
            } else {
                break;
            }
            if self.places[place].life != life {
                return;
            }
        }
        self.set_alarms(place);
        self.look_at_owners(place);
    }

    fn set_alarms(&mut self, place: usize) {
        let (now, here) = (self.now, &mut self.places[place]);
        let (life, clock) = (here.life, here.clock);
        let Some(process) = &mut here.process else {
            return;
        };
        let agent = clock
            .reaches(process.agent.next_deadline())
            .max(now + 1_000);
        let leader = process.leader.as_ref().and_then(Leader::next_deadline);
        let leader = leader.map(|at: Time| clock.reaches(at).max(now + 1_000));
        if agent < process.agent_wake {
            process.agent_wake = agent;
            self.queue.push(agent, Event::Agent { place, life });
        }
        if let Some(at) = leader
            && at < process.leader_wake
        {
            process.leader_wake = at;
            self.queue.push(at, Event::Leader { place, life });
        }
    }

    fn perform(&mut self, place: usize, output: AgentOutput) {
        match output {
            AgentOutput::Renew(renewal) => {
                for report in &renewal.reports {
                    if let Report::Released(release) = report {
                        self.observe_release(place, release);
                    }
                }
                if let Some(leader) = self.known_leader(place) {
                    self.send(place, leader, Message::Renewal(renewal));
                }
            }
            AgentOutput::Register { previous, stopped } => self.register(place, previous, stopped),
            AgentOutput::ForgetStop => self.forget_stop(place),
            AgentOutput::StopSession { member, session } => {
                let here = &mut self.places[place];
                let start = here.generation;
                here.stopped = Some(StopMark { session, start });
                let command = Command::Stop { member, session };
                self.propose(place, command);
            }
            AgentOutput::Open { token } => {
                let owners = self.open.entry(token.partition).or_default();
                if !owners.contains(&place) {
                    owners.push(place);
                }
                self.say(|| format!("node-{} opens {token}", place + 1));
            }
            AgentOutput::Shut { token } => {
                if let Some(owners) = self.open.get_mut(&token.partition) {
                    owners.retain(|owner| *owner != place);
                }
                self.say(|| format!("node-{} shuts {token}", place + 1));
                self.shut(place, token);
            }
            AgentOutput::Call {
                id,
                partition,
                call,
            } => self.call(place, id, partition, call),
            AgentOutput::Cancel { id, .. } => self.cancel(place, id),
            AgentOutput::Lapsed => self.lapse_guest(place),
        }
    }

    fn perform_as_leader(&mut self, place: usize, output: LeaderOutput) {
        match output {
            LeaderOutput::Confirm { round, term } => self.confirm(place, round, term),
            LeaderOutput::Answer { to, answer } => {
                let found = self.places.iter().position(|one| one.member == Some(to));
                if let Some(to) = found {
                    self.send(place, to, Message::Answer(answer));
                }
            }
            LeaderOutput::Propose(command) => {
                let actor = self.places[place].node.as_str().to_string();
                self.append(place, actor, command);
            }
            LeaderOutput::Plan { trigger } => self.plan(place, trigger),
        }
    }

    fn known_leader(&self, place: usize) -> Option<usize> {
        self.places[place].process.as_ref()?.knows
    }

    /// Proposes through whoever is believed to lead.
    pub(super) fn propose(&mut self, place: usize, command: Command) {
        let actor = self.places[place].node.as_str().to_string();
        if let Some(leader) = self.known_leader(place) {
            self.send(place, leader, Message::Propose { actor, command });
        }
    }

    fn forget_stop(&mut self, place: usize) {
        let now = self.clock(place);
        self.places[place].stopped = None;
        if let Some(process) = &mut self.places[place].process {
            process.agent.handle(AgentInput::StopForgotten, now);
        }
    }

    fn register(&mut self, place: usize, previous: Option<SessionId>, stopped: Option<StopMark>) {
        let here = &self.places[place];
        let Some(process) = &here.process else {
            return;
        };
        if process.stopping {
            return;
        }
        let registration = Registration {
            node: here.node.clone(),
            display_name: String::new(),
            store: here.store,
            generation: here.generation,
            member: process
                .agent
                .state()
                .members()
                .find(|one| one.store == here.store)
                .map(|one| one.number),
            previous,
            // The disk stays where it is for as long as it lives.
            homes: vec![(Home(here.store.0 as u64), here.generation)],
            process: Nonce(process.nonce),
            durable: here.durable,
            stopped,
            served: here.served,
            peer_address: format!("{}:1", here.node),
            http_address: String::new(),
            weight: 1,
            domain: None,
            services: Default::default(),
            labels: Default::default(),
            command_version: ck_control::COMMAND_VERSION,
        };
        self.propose(place, Command::Register(registration));
    }

    /// Looks whether anybody else owns what this place owns.
    fn look_at_owners(&mut self, place: usize) {
        let mut seen = Vec::new();
        for (partition, open) in &self.open {
            if open.len() < 2 || !open.contains(&place) {
                continue;
            }
            let owners = open.iter().filter_map(|owner| {
                let process = self.places[*owner].process.as_ref()?;
                let token = process.agent.owns(*partition, self.clock(*owner))?;
                Some((*owner, token))
            });
            let owners: Vec<_> = owners.collect();
            if owners.len() > 1 {
                seen.push((*partition, owners));
            }
        }
        for (partition, owners) in seen {
            let owners = &owners;
            self.see(&Observation::Owned { partition, owners });
        }
    }

    /// Says that it is about to stop, and stops once its roles are handed over or it waited enough.
    pub(super) fn leave(&mut self, place: usize) {
        let (now, until) = (self.clock(place), self.now + 3 * SECOND);
        if let Some(process) = &mut self.places[place].process {
            process.leaves_until = Some(until);
            process.agent.handle(AgentInput::Leave, now);
            self.say(|| format!("node-{} is about to stop", place + 1));
            self.pump(place);
        }
    }

    pub(super) fn stop_if_handed_over(&mut self, place: usize) {
        let now = self.clock(place);
        let Some(process) = &self.places[place].process else {
            return;
        };
        let waited = process.leaves_until.is_some_and(|until| self.now >= until);
        if process.stops_by.is_some_and(|by| self.now >= by) {
            self.end_cleanly(place);
        } else if !process.stopping && (waited || process.agent.is_handed_over(now)) {
            self.stop(place);
        }
    }

    /// Begins a clean stop.
    pub(super) fn stop(&mut self, place: usize) {
        let now = self.clock(place);
        if let Some(process) = &mut self.places[place].process {
            process.stopping = true;
            process.stops_by.get_or_insert(self.now + STOP_PATIENCE);
            process.agent.handle(AgentInput::Stop, now);
            self.say(|| format!("node-{} is told to stop", place + 1));
            self.pump(place);
            self.end_if_stopped(place);
        }
    }

    /// A stop is over once there is no session to end, or never was one.
    fn end_if_stopped(&mut self, place: usize) {
        let process = self.places[place].process.as_ref();
        if process.is_some_and(|one| one.stopping && one.agent.session().is_none()) {
            self.end_cleanly(place);
        }
    }
}

fn here_life(world: &World, place: usize) -> u64 {
    world.places[place].life
}
