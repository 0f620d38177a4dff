//! Planned moves under way: the next step of each, its deadline, and what was reported of it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use ck_core::PartitionId;

use crate::controller::intent::Intent;
use crate::controller::{Leader, Pace};
use crate::state::TransferCommand;
use crate::{
    Command, MemberNumber, Position, Renewal, Report, SessionId, Stage, State, Time, Transfer,
    TransferId,
};

/// Most doublings of the time before a partition whose move failed is tried again.
const BACKOFF_DOUBLINGS_MAX: u32 = 6;

/// Since when what is waited for has been so, counted from the office at the earliest.
#[derive(Debug, Clone)]
pub(super) struct Timers {
    /// When the present stage of each move was first seen, by the position it began at.
    stages: BTreeMap<TransferId, (Position, Time)>,
    /// Failures in a row of a partition's moves, and when it may be tried again.
    failed: BTreeMap<PartitionId, (u32, Time)>,
    /// Members without a session.
    away: BTreeMap<MemberNumber, Time>,
    /// Newest registrations of each member.
    returns: BTreeMap<MemberNumber, (SessionId, u32, Time)>,
    office: Time,
}

impl Timers {
    /// Everything is counted from the office, absences that are older than it included.
    pub(super) fn new(now: Time, state: &State) -> Self {
        let away = state.members().filter(|member| member.session.is_none());
        Self {
            stages: BTreeMap::new(),
            failed: BTreeMap::new(),
            away: away.map(|member| (member.number, now)).collect(),
            returns: BTreeMap::new(),
            office: now,
        }
    }

    pub(super) fn applied(&mut self, before: &State, state: &State, now: Time, pace: &Pace) {
        for transfer in before.transfers() {
            if state.transfer(transfer.id).is_none() {
                self.ended(transfer, state, now, pace);
            }
        }
        self.stages.retain(|id, _| state.transfer(*id).is_some());
        for transfer in state.transfers() {
            let seen = self
                .stages
                .entry(transfer.id)
                .or_insert((transfer.since, now));
            if seen.0 != transfer.since {
                *seen = (transfer.since, now);
            }
        }
        self.away.retain(|number, _| {
            state
                .member(*number)
                .is_some_and(|member| member.session.is_none())
        });
        self.returns
            .retain(|number, _| state.member(*number).is_some());
        for member in state.members() {
            match member.session {
                None => drop(self.away.entry(member.number).or_insert(now)),
                Some(session) => {
                    let (newest, count, since) = self
                        .returns
                        .entry(member.number)
                        .or_insert((session, 1, now));
                    if *newest != session {
                        let quiet = now.since(*since) >= pace.flap_window;
                        *count = if quiet { 1 } else { count.saturating_add(1) };
                        (*newest, *since) = (session, now);
                    }
                }
            }
        }
    }

    /// A move ended: with its change made, or to be tried again later.
    fn ended(&mut self, transfer: &Transfer, state: &State, now: Time, pace: &Pace) {
        let partition = transfer.partition;
        let target = transfer.target.member;
        let control = state.partition(partition);
        let done = if transfer.handoff {
            transfer.stage > Stage::Release
        } else {
            control.is_some_and(|control| control.is_in_sync(target))
        };
        if done {
            self.failed.remove(&partition);
            return;
        }
        let (failures, at) = self.failed.entry(partition).or_insert((0, now));
        let doublings = (*failures).min(BACKOFF_DOUBLINGS_MAX);
        *failures = failures.saturating_add(1);
        *at = now.after(pace.back_off.saturating_mul(1 << doublings));
    }

    /// How long a move has been at its present stage, as far as this office can tell.
    fn stage_age(&self, transfer: &Transfer, now: Time) -> Duration {
        let since = self.stages.get(&transfer.id);
        now.since(since.map_or(self.office, |(_, at)| *at))
    }

    /// Whether a partition whose move failed is still left alone.
    pub(super) fn backs_off(&self, partition: PartitionId, now: Time) -> bool {
        self.failed.get(&partition).is_some_and(|(_, at)| now < *at)
    }

    /// How long a member has had no session.
    pub(super) fn away(&self, member: MemberNumber, now: Time) -> Option<Duration> {
        self.away.get(&member).map(|since| now.since(*since))
    }

    /// How long a member's session has been open.
    pub(super) fn settled(&self, member: MemberNumber, now: Time) -> Duration {
        let since = self.returns.get(&member);
        now.since(since.map_or(self.office, |(_, _, since)| *since))
    }

    /// Whether a member comes and goes too often to be given a copy.
    pub(super) fn flaps(&self, member: MemberNumber, now: Time, pace: &Pace) -> bool {
        self.returns.get(&member).is_some_and(|(_, count, since)| {
            *count >= pace.flaps && now.since(*since) < pace.flap_window
        })
    }
}

impl Leader {
    /// Decides what is to be done about moves, now.
    pub(super) fn steer(&mut self, now: Time) {
        if self.office().is_none() || self.state.table().is_none() {
            return;
        }
        let state = self.state.clone();
        for transfer in state.transfers() {
            self.step(transfer, now);
        }
        self.brake(now);
        if state.brake().is_none() {
            self.hand_over_leaving(now);
        }
        self.open_moves(now);
        self.plan(now);
        self.raise_mode(now);
    }

    fn step(&mut self, transfer: &Transfer, now: Time) {
        let id = transfer.id;
        if transfer.paused && transfer.stage <= Stage::CatchUp {
            return;
        }
        let Some((office, state)) = self.in_office() else {
            return;
        };
        let age = office.timers.stage_age(transfer, now);
        let waits = office.desk.waits_for(state, now);
        let in_sync = state
            .partition(transfer.partition)
            .is_some_and(|control| control.is_in_sync(transfer.target.member));
        let target = state.session(transfer.target.session);
        let fit = in_sync && target.is_some_and(|session| !session.closing);
        let braked = state.brake().is_some();
        let pace = self.pace;
        match transfer.stage {
            Stage::Prepare if age >= pace.prepare => self.abort(transfer, now),
            Stage::CatchUp if in_sync && transfer.handoff && !braked => {
                self.next(transfer, TransferCommand::OpenSwitch { transfer: id }, now);
            }
            Stage::CatchUp if age >= pace.catch_up => self.abort(transfer, now),
            Stage::Release => match transfer.revoked {
                // The target cannot take it any more, so the source is granted it anew.
                Some(_) if !fit => self.abort(transfer, now),
                Some(revoked) if age >= waits => self.next(
                    transfer,
                    TransferCommand::CommitRevoked {
                        transfer: id,
                        revoked,
                    },
                    now,
                ),
                None if age >= pace.release && transfer.force => {
                    self.next(transfer, TransferCommand::Revoke { transfer: id }, now);
                }
                None if age >= pace.release => self.abort(transfer, now),
                _ => {}
            },
            Stage::Activate if age >= pace.activate => {
                self.next(transfer, TransferCommand::Activated { transfer: id }, now);
            }
            Stage::CleanUp if age >= pace.clean_up => {
                self.next(transfer, TransferCommand::Finish { transfer: id }, now);
            }
            Stage::Prepare | Stage::CatchUp | Stage::Commit | Stage::Activate | Stage::CleanUp => {}
        }
    }

    fn next(&mut self, transfer: &Transfer, step: TransferCommand, now: Time) {
        let office = self.office();
        let intent = Intent::Step(transfer.id, step.name());
        self.propose(intent, Command::Transfer { office, step }, now);
    }

    fn abort(&mut self, transfer: &Transfer, now: Time) {
        let office = self.office();
        let step = TransferCommand::Abort {
            transfer: transfer.id,
        };
        let intent = Intent::Abort(transfer.id, transfer.stage);
        self.propose(intent, Command::Transfer { office, step }, now);
    }

    /// Takes what a node reports; each report is proposed as the step it allows.
    pub(super) fn reports(&mut self, renewal: &Renewal, now: Time) {
        for report in renewal.reports.iter().take(crate::REPORTS_MAX) {
            let transfer = match *report {
                Report::Released(release) => self
                    .state
                    .partition(release.partition)
                    .and_then(|control| control.transfer),
                Report::Prepared { transfer }
                | Report::CaughtUp { transfer, .. }
                | Report::Progress { transfer, .. }
                | Report::Activated { transfer }
                | Report::Failed { transfer, .. } => Some(transfer),
            };
            let Some(transfer) = transfer.and_then(|id| self.state.transfer(id)).cloned() else {
                continue;
            };
            self.report(renewal, *report, &transfer, now);
        }
    }

    fn report(&mut self, renewal: &Renewal, report: Report, transfer: &Transfer, now: Time) {
        let id = transfer.id;
        let is_target =
            (renewal.member, renewal.session) == (transfer.target.member, transfer.target.session);
        let is_source =
            (renewal.member, renewal.session) == (transfer.source.member, transfer.source.session);
        match (report, transfer.stage) {
            (Report::Prepared { .. }, Stage::Prepare) if is_target && !transfer.paused => {
                self.next(transfer, TransferCommand::Prepared { transfer: id }, now);
            }
            (Report::CaughtUp { epoch, .. }, Stage::CatchUp) if is_target => {
                let control = self.state.partition(transfer.partition);
                let holder = control.and_then(|control| control.holder);
                let Some(holder) = holder else {
                    return;
                };
                let step = TransferCommand::CaughtUp {
                    transfer: id,
                    session: holder.session,
                    epoch,
                };
                if control.is_some_and(|one| !one.is_in_sync(transfer.target.member)) {
                    self.next(transfer, step, now);
                }
            }
            (Report::Released(release), Stage::Release)
                if is_source && transfer.revoked.is_none() =>
            {
                let step = TransferCommand::Commit {
                    transfer: id,
                    release,
                };
                self.next(transfer, step, now);
            }
            (Report::Progress { done, total, .. }, Stage::Prepare | Stage::CatchUp)
                if is_target =>
            {
                let step = TransferCommand::Progress {
                    transfer: id,
                    done,
                    total,
                };
                self.next(transfer, step, now);
            }
            (Report::Activated { .. }, Stage::Activate) if is_target => {
                self.next(transfer, TransferCommand::Activated { transfer: id }, now);
            }
            (Report::Failed { .. }, Stage::Release) if is_source && !transfer.force => {
                self.abort(transfer, now);
            }
            _ => {}
        }
    }

    /// Tells the log which sessions have applied a raise of the mode.
    fn raise_mode(&mut self, now: Time) {
        let Some((office, state)) = self.in_office() else {
            return;
        };
        let Some(raise) = state.raise() else {
            return;
        };
        let since = raise.since;
        let sessions: Vec<SessionId> = raise
            .waiting
            .iter()
            .copied()
            .filter(|session| office.desk.has_applied(*session, since))
            .collect();
        if !sessions.is_empty() {
            let intent = Intent::Mode(since, sessions.len());
            self.propose(intent, Command::ModeApplied { since, sessions }, now);
        }
    }
}
