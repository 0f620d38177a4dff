//! Faults, their ends, and the healing of everything.

use ck_control::{Command, Stage, State, TransferCommand, TransferId};
use ck_core::NodeState;

use crate::clock::{Instant, MS, SECOND};
use crate::coverage::Row;
use crate::fault::{Act, Fault, When, Who};
use crate::world::{Event, World};

impl World {
    /// A move came to another stage: faults that wait for it are set going.
    pub(super) fn stages_changed(&mut self, before: &State) {
        let after = self.state();
        let entered = after.transfers().filter(|one| {
            let old = before.transfer(one.id);
            old.is_none_or(|old| old.stage != one.stage)
        });
        let stages: Vec<Stage> = entered.map(|one| one.stage).collect();
        for stage in stages {
            self.arm(stage);
        }
    }

    /// A commit is on its way: between the proposal and its entry.
    pub(super) fn commit_proposed(&mut self, _: TransferId) {
        self.arm(Stage::Commit);
    }

    fn arm(&mut self, stage: Stage) {
        if self.healed.is_some() {
            return;
        }
        let aimed = |fault: &Fault| matches!(fault.when, When::Stage(at, _) if at == stage);
        let waiting =
            (0..self.faults.len()).find(|index| !self.fired[*index] && aimed(&self.faults[*index]));
        if let Some(index) = waiting
            && let When::Stage(_, after) = self.faults[index].when
        {
            self.fired[index] = true;
            // A commit is over within milliseconds.
            let after = if stage == Stage::Commit {
                after / 1_000
            } else {
                after
            };
            self.after(after, Event::Fault(index));
        }
    }

    pub(super) fn leader(&self) -> Option<usize> {
        let all = 0..self.places.len();
        let leading = all.filter(|place| self.leading(*place).is_some());
        leading.max_by_key(|place| self.leading(*place))
    }

    fn victim(&self, fault: &Fault) -> Option<usize> {
        let state = self.state();
        let stage = match fault.when {
            When::Stage(stage, _) => Some(stage),
            When::At(_) => None,
        };
        let at_stage = |one: &&ck_control::Transfer| stage.is_none_or(|stage| one.stage == stage);
        let transfer = state
            .transfers()
            .find(at_stage)
            .or_else(|| state.transfers().next());
        let member = match fault.who {
            Who::Place(place) => return Some(place),
            Who::Leader => return self.leader(),
            Who::Source => transfer?.source.member,
            Who::Target => transfer?.target.member,
        };
        self.places
            .iter()
            .position(|one| one.member == Some(member))
    }

    fn cover(&mut self, place: usize, act: Act) {
        let state = self.state().clone();
        let leads = self.leader() == Some(place);
        let member = self.places[place].member;
        for transfer in state.transfers() {
            self.cover_stage(transfer.stage, transfer, act, member, leads);
        }
        if let Some(leader) = self.leader() {
            let here = &self.places[leader];
            let commit = here.process.as_ref().map_or(0, |process| process.commit);
            for index in commit..here.log.len() {
                if let Command::Transfer {
                    step: TransferCommand::Commit { transfer, .. },
                    ..
                } = self.places[leader].log.entry(index).proposal.command
                    && let Some(transfer) = state.transfer(transfer)
                {
                    self.cover_stage(Stage::Commit, transfer, act, member, leads);
                }
            }
        }
    }

    fn cover_stage(
        &mut self,
        stage: Stage,
        transfer: &ck_control::Transfer,
        act: Act,
        member: Option<ck_control::MemberNumber>,
        leads: bool,
    ) {
        self.coverage.note(stage, Row::Any(act));
        if act != Act::Crash {
            return;
        }
        let crashes = [
            (member == Some(transfer.source.member), Row::CrashOfSource),
            (member == Some(transfer.target.member), Row::CrashOfTarget),
            (leads, Row::CrashOfLeader),
        ];
        for (_, row) in crashes.into_iter().filter(|(meets, _)| *meets) {
            self.coverage.note(stage, row);
        }
    }

    pub(super) fn begin_fault(&mut self, index: usize) {
        if self.healed.is_some() {
            return;
        }
        let fault = self.faults[index];
        let Some(place) = self.victim(&fault) else {
            return;
        };
        let mut lasts = fault.lasts;
        if fault.act == Act::Freeze {
            let Some(most) = self.may_freeze(place) else {
                return;
            };
            lasts = lasts.min(most);
        }
        self.say(|| format!("FAULT {fault}, which is node-{}", place + 1));
        self.cover(place, fault.act);
        self.begin(place, fault.act, lasts);
        self.after(lasts, Event::FaultEnds(index, place));
    }

    /// How long a machine may stand still with its clock: once within a lease, and no longer than
    /// leaders allow for on clocks that may be fast.
    fn may_freeze(&self, place: usize) -> Option<Instant> {
        let here = &self.places[place];
        let allowed = self.setting.freeze_allowance_ms * MS / 10 * 9;
        let rested = here.thawed == 0 || self.now > here.thawed + 3 * SECOND;
        (allowed > 0 && rested && here.runs()).then_some(allowed)
    }

    fn begin(&mut self, place: usize, act: Act, lasts: Instant) {
        match act {
            Act::Crash => self.crash(place),
            Act::Bounce => {
                self.crash(place);
                let soon = self.random.between(MS, 50 * MS);
                self.after(soon, Event::Start { place });
            }
            Act::DiskLoss => self.lose_one_disk(place),
            Act::Pause => self.places[place].paused = self.places[place].process.is_some(),
            Act::Freeze => {
                let here = &mut self.places[place];
                here.paused = true;
                here.frozen = Some(self.now);
            }
            Act::Drift => self.drift(place),
            Act::Isolate | Act::Deaf | Act::Mute | Act::Bridge => self.cut(place, act, true),
            Act::Flap => {
                let until = self.now + lasts;
                self.flap(place, until, true);
            }
            Act::Slow => {
                let extra = self.random.between(20 * MS, 900 * MS);
                self.network.slow_down(place, extra);
            }
            Act::StuckApply => self.places[place].stuck = true,
            Act::WallClock => self.step_wall_clock(place),
            Act::Lose => {
                let permille = self.random.between(50, 400);
                self.network.lose(permille);
            }
            Act::Delay => {
                let delay = self.random.between(20 * MS, 250 * MS);
                self.network.delayed(delay, delay + 10 * MS);
            }
            Act::Double => self.network.double(250),
            Act::Reorder => {
                let longest = self.random.between(20 * MS, 500 * MS);
                self.network.delayed(MS / 10, longest);
            }
            Act::Stop => {
                // Half of them hand over first.
                if self.random.permille(500) {
                    self.leave(place);
                } else {
                    self.stop(place);
                }
                for other in self.stop_with(place) {
                    self.stop(other);
                    self.after(lasts, Event::Start { place: other });
                }
            }
            Act::Remove => {
                self.remove(place);
                if let Some(other) = self.together(place) {
                    self.remove(other);
                }
            }
            Act::Join => self.join(),
            Act::Drain => self.change(place, |change| change.state = Some(NodeState::Draining)),
            Act::LeaderChange => self.change_leader(),
            Act::Reweigh => {
                let weight = u32::try_from(self.random.between(1, 6)).unwrap_or(1);
                self.change(place, |change| change.weight = Some(weight));
                self.replan();
            }
            Act::Abort => self.abort_all(),
            Act::Force => self.force(place),
            Act::Snapshot => self.places[place].skips = true,
        }
    }

    pub(super) fn end_fault(&mut self, index: usize, place: usize) {
        if self.healed.is_some() {
            return;
        }
        match self.faults[index].act {
            Act::Crash | Act::DiskLoss | Act::Stop => self.start(place),
            Act::Pause | Act::Freeze => self.resume(place),
            act @ (Act::Isolate | Act::Deaf | Act::Mute | Act::Bridge) => {
                self.cut(place, act, false);
            }
            Act::Slow => self.network.slow_down(place, 0),
            Act::StuckApply => {
                self.places[place].stuck = false;
                self.catch_up(place);
            }
            Act::Lose => self.network.lose(0),
            Act::Double => self.network.double(0),
            Act::Delay | Act::Reorder => self.network.delayed(MS / 10, 3 * MS),
            Act::Drain => self.change(place, |change| change.state = Some(NodeState::Active)),
            _ => {}
        }
    }

    pub(super) fn resume(&mut self, place: usize) {
        let here = &mut self.places[place];
        here.thaw(self.now);
        here.paused = false;
        self.woken
            .store(self.guest.is_some(), std::sync::atomic::Ordering::Relaxed);
        let here = &mut self.places[place];
        for event in std::mem::take(&mut here.deferred) {
            // They are all there at once; which is taken first is the scheduler's.
            self.queue.push(self.now, event);
        }
    }

    fn cut(&mut self, place: usize, act: Act, begins: bool) {
        let places = self.places.len();
        let friends = [(place + 1) % places, (place + 2) % places];
        for other in (0..places).filter(|other| *other != place) {
            let (inbound, outbound) = match act {
                Act::Deaf => (true, false),
                Act::Mute => (false, true),
                Act::Bridge => {
                    // Its two neighbours reach it, and nobody else reaches them.
                    let beyond = !friends.contains(&other);
                    for friend in friends.into_iter().filter(|_| beyond) {
                        self.link(friend, other, begins);
                        self.link(other, friend, begins);
                    }
                    (false, false)
                }
                _ => (true, true),
            };
            if inbound {
                self.link(other, place, begins);
            }
            if outbound {
                self.link(place, other, begins);
            }
        }
    }

    fn link(&mut self, from: usize, to: usize, cut: bool) {
        if cut {
            self.network.cut(from, to);
        } else {
            self.network.mend(from, to);
        }
    }

    pub(super) fn flap(&mut self, place: usize, until: Instant, cut: bool) {
        if self.healed.is_some() || (cut && self.now >= until) {
            return;
        }
        self.cut(place, Act::Isolate, cut);
        let span = self.random.between(20 * MS, 900 * MS);
        let cut = !cut;
        self.after(span, Event::Flap { place, until, cut });
    }

    /// Another place that the same happens to at the same time, at times.
    fn together(&mut self, place: usize) -> Option<usize> {
        let other = (place + 1) % self.places.len();
        (other != place && self.random.permille(400)).then_some(other)
    }

    /// The places that stop at the same time: none, the next one, or all of them.
    fn stop_with(&mut self, place: usize) -> Vec<usize> {
        if self.random.permille(250) {
            let all = 0..self.places.len();
            let runs = |other: &usize| self.places[*other].process.is_some();
            return all.filter(|other| *other != place && runs(other)).collect();
        }
        self.together(place).into_iter().collect()
    }

    fn drift(&mut self, place: usize) {
        let rate = self.drawn_rate();
        let now = self.now;
        let here = &mut self.places[place];
        if here.frozen.is_some() {
            return;
        }
        here.clock.drift(now, rate);
        // Alarms were set by the old rate.
        if let Some(process) = &mut here.process {
            process.agent_wake = u64::MAX;
            process.leader_wake = u64::MAX;
        }
        self.pump(place);
    }

    fn lose_one_disk(&mut self, place: usize) {
        // A majority of the logs stays: losing it is beyond what is promised.
        let votes = self.places.iter().filter(|one| one.votes).count();
        let spare = votes > self.setting.voters / 2 + 1;
        if self.places[place].process.is_some() && (spare || !self.places[place].votes) {
            self.lose_disk(place);
        } else {
            self.crash(place);
        }
    }

    fn step_wall_clock(&mut self, place: usize) {
        let by = i64::try_from(self.random.below(20 * SECOND)).unwrap_or(0) - 10_000_000_000;
        let _ = (place, by);
        #[cfg(feature = "planted-bugs")]
        if let Some(process) = &mut self.places[place].process {
            process.agent.step_wall_clock(by);
        }
    }
}
