//! Starts and ends of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ck_control::{
    Agent, AgentInput, Bugs, Generation, HandlerLimits, Identity, Leader, MemberNumber, Nonce,
    Snapshot, State, StoreId, Time,
};
use ck_core::NodeId;

use crate::clock::{Clock, MS, SECOND};
use crate::invariants::Observation;
use crate::log::Log;
use crate::world::place::{Application, Place, Process, Writes};
use crate::world::{Event, World};

/// So little at once that calls wait for each other, and as short as a slow call at times takes.
const LIMITS: HandlerLimits = HandlerLimits {
    calls_max: 4,
    become_primary: Duration::from_secs(4),
};

impl World {
    /// Lays out the places; the first ones start within half a second.
    pub(super) fn found(&mut self) {
        let durable_only = self.random.permille(300);
        for index in 0..self.setting.places {
            let rate = self.drawn_rate();
            let start = self.random.below(1_000 * SECOND);
            let place = Place {
                node: NodeId::new(&format!("node-{}", index + 1)).expect("a short plain name"),
                store: StoreId(index as u128 + 1),
                generation: Generation(0),
                member: (index == 0).then_some(MemberNumber(1)),
                log: Log::default(),
                clock: Clock::new(start, rate),
                votes: index < self.setting.voters,
                durable: durable_only || self.random.permille(300),
                served: self.random.permille(500),
                stopped: None,
                leaving: false,
                removed: false,
                started: false,
                kept: 0,
                copies: BTreeMap::new(),
                life: 0,
                process: None,
                paused: false,
                frozen: None,
                thawed: 0,
                deferred: Vec::new(),
                stuck: false,
                skips: false,
            };
            self.places.push(place);
        }
        for place in 0..self.setting.started {
            let at = if place == 0 {
                0
            } else {
                self.random.below(SECOND / 2)
            };
            self.after(at, Event::Start { place });
        }
        for index in 0..self.faults.len() {
            if let crate::fault::When::At(at) = self.faults[index].when {
                self.queue.push(at, Event::Fault(index));
            }
        }
    }

    /// How much a clock is fast or slow. The bounds are the hardest, so they are drawn often.
    pub(super) fn drawn_rate(&mut self) -> i64 {
        let rho = i64::from(self.config.lease.rho_ppm);
        match self.random.below(4) {
            0 => rho - 1,
            1 => 1 - rho,
            2 => 0,
            _ => i64::try_from(self.random.below(2 * rho.unsigned_abs())).unwrap_or(0) - rho,
        }
    }

    /// Starts a process, unless one is running or the node was removed.
    pub(super) fn start(&mut self, place: usize) {
        let (nonce, resumes) = (self.random.next(), self.random.permille(700));
        let (places, bugs) = (self.places.len(), self.setting.bugs);
        let here = &mut self.places[place];
        if here.process.is_some() || here.removed {
            return;
        }
        here.life += 1;
        here.generation = here.generation.next();
        here.paused = false;
        here.deferred.clear();
        let identity = Identity {
            store: here.store,
            process: Nonce(nonce),
            stopped: here.stopped,
        };
        let first = !here.started;
        here.started = true;
        here.process = Some(Process {
            agent: Agent::new(identity, LIMITS, bugs),
            leader: None,
            nonce,
            leading: None,
            knows: None,
            commit: here.kept,
            applied: 0,
            matched: vec![0; places],
            round: None,
            agent_wake: u64::MAX,
            leader_wake: u64::MAX,
            application: Application::default(),
            hosted: None,
            stopping: false,
            stops_by: None,
            leaves_until: None,
            released: BTreeSet::new(),
        });
        let life = here.life;
        self.say(|| format!("node-{} starts (life {life})", place + 1));
        self.see(&Observation::Restarted { place });
        self.host_process(place);
        self.restore(place);
        self.know_member(place);
        if resumes && self.places[place].log.won && self.places[place].votes {
            self.lead(place);
        }
        if first {
            let at = self.random.below(200 * MS);
            self.after(at, Event::Watch { place });
        }
        let at = self.random.below(300 * MS);
        self.after(at, Event::Write { place, life });
        self.pump(place);
    }

    /// Feeds the machines what the disk keeps, as it comes back from a snapshot.
    fn restore(&mut self, place: usize) {
        let kept = self.places[place].kept;
        if kept == 0 {
            return;
        }
        let state = reread(&self.committed[kept - 1].state, self.setting.bugs);
        self.see(&Observation::Seen {
            place,
            state: &state,
        });
        let now = self.clock(place);
        if let Some(process) = &mut self.places[place].process {
            process.applied = kept;
            process.agent.handle(AgentInput::Applied(state), now);
        }
    }

    /// Makes the leader's machine once the member number is known.
    pub(super) fn know_member(&mut self, place: usize) {
        let (pace, bugs) = (self.pace, self.setting.bugs);
        let here = &mut self.places[place];
        let Some(process) = &mut here.process else {
            return;
        };
        let state = process.agent.state();
        if here.member.is_none() || state.formed().is_some() {
            let mut members = state.members();
            let found = members.find(|member| member.store == here.store);
            here.member = found.map(|member| member.number).or(here.member);
        }
        if let (None, Some(member)) = (&process.leader, here.member) {
            process.leader = Some(Leader::new(member, Nonce(process.nonce), pace, bugs));
            let state = state.clone();
            let now = here.clock.read(self.now);
            if let Some(leader) = &mut process.leader {
                leader.handle(ck_control::LeaderInput::Applied(state), now);
            }
        }
    }

    /// The process dies at once.
    pub(super) fn crash(&mut self, place: usize) {
        let mask = self.random.next();
        let behind = self.random.below(4);
        let here = &mut self.places[place];
        let Some(process) = here.process.take() else {
            return;
        };
        here.life += 1;
        here.thaw(self.now);
        here.paused = false;
        here.deferred.clear();
        here.kept = process
            .applied
            .saturating_sub(usize::try_from(behind).unwrap_or(0))
            .max(here.kept.min(process.applied));
        // Before it asks for its stop it brings everything to its disk.
        for copy in here.copies.values_mut() {
            if process.stopping {
                copy.sync();
            } else if !here.durable {
                copy.lose(mask);
            }
        }
        self.gone(place);
        self.say(|| format!("node-{} dies", place + 1));
    }

    /// The process ends by a clean stop: everything is on the disk.
    pub(super) fn end_cleanly(&mut self, place: usize) {
        let here = &mut self.places[place];
        let Some(process) = here.process.take() else {
            return;
        };
        here.life += 1;
        here.kept = process.applied;
        here.copies.values_mut().for_each(Writes::sync);
        // A start that acted in no session passes the stop before it on.
        if let Some(mark) = &mut here.stopped
            && mark.start.next() == here.generation
        {
            mark.start = here.generation;
        }
        self.gone(place);
        self.say(|| format!("node-{} has stopped", place + 1));
        if self.healed.is_some() {
            self.after(SECOND, Event::Start { place });
        }
    }

    fn gone(&mut self, place: usize) {
        self.unhost(place);
        for owners in self.open.values_mut() {
            owners.retain(|owner| *owner != place);
        }
    }

    /// The process dies and its disk is gone: what starts next is another member.
    pub(super) fn lose_disk(&mut self, place: usize) {
        self.crash(place);
        let store = StoreId((u128::from(self.random.next()) << 64) | 1);
        let here = &mut self.places[place];
        self.doomed.push(here.node.clone());
        let name = format!("node-{}-{}", place + 1, here.life);
        here.node = NodeId::new(&name).expect("a short plain name");
        here.log = Log::default();
        here.votes = false;
        here.leaving = false;
        here.store = store;
        here.generation = Generation(0);
        here.member = None;
        here.kept = 0;
        here.stopped = None;
        here.copies.clear();
    }

    pub(super) fn clock(&self, place: usize) -> Time {
        self.places[place].read(self.now)
    }
}

/// A state as it comes back from its snapshot.
fn reread(state: &State, bugs: Bugs) -> State {
    let _ = bugs;
    Snapshot::of(state)
        .into_state()
        .expect("a state that was applied keeps its own invariants")
}
