//! The steps of a planned move.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::bugs::Bug;
use crate::state::apply::Step;
use crate::state::apply::failover::grant;
use crate::state::apply::rows::fronted;
use crate::state::{
    Holder, Move, MoveRejection, Rejection, Stage, State, Transfer, TransferCommand,
};
use crate::{MemberNumber, OfficeId, Release, SwitchId, TransferId};

impl State {
    pub(super) fn transfer_step(
        &mut self,
        step: &mut Step<'_>,
        office: Option<OfficeId>,
        command: &TransferCommand,
    ) -> Result<(), Rejection> {
        if let Some(office) = office {
            self.check_office(office)?;
        }
        step.summary = self.told(command);
        match *command {
            TransferCommand::Open(begun) => self.open_transfer(step, office, &begun),
            TransferCommand::Prepared { transfer } => {
                self.at(transfer, &[Stage::Prepare])?;
                self.enter(step, transfer, Stage::CatchUp);
                Ok(())
            }
            TransferCommand::CaughtUp {
                transfer,
                session,
                epoch,
            } => {
                let moved = self.at(transfer, &[Stage::CatchUp])?;
                self.check_grant(moved.partition, session, epoch)?;
                self.caught_up(step, &moved)
            }
            TransferCommand::OpenSwitch { transfer } => self.open_switch(step, transfer),
            TransferCommand::Commit { transfer, release } => {
                let moved = self.at(transfer, &[Stage::Release])?;
                self.check_release(&moved, release)?;
                self.hand_over(step, &moved)
            }
            TransferCommand::Revoke { transfer } => self.revoke(step, transfer),
            TransferCommand::CommitRevoked { transfer, revoked } => {
                let moved = self.at(transfer, &[Stage::Release])?;
                if office.is_none() || moved.revoked != Some(revoked) {
                    return Err(MoveRejection::NotRevoked { transfer, revoked }.into());
                }
                self.hand_over(step, &moved)
            }
            TransferCommand::Activated { transfer } => {
                let moved = self.at(transfer, &[Stage::Activate])?;
                self.enter(step, transfer, Stage::CleanUp);
                if moved.leaving.is_none() {
                    self.end_move(step, &moved);
                }
                Ok(())
            }
            TransferCommand::Finish { transfer } => {
                let moved = self.at(transfer, &[Stage::CleanUp])?;
                self.end_move(step, &moved);
                Ok(())
            }
            TransferCommand::Abort { transfer } => {
                let before = [Stage::Prepare, Stage::CatchUp, Stage::Release];
                let moved = self.at(transfer, &before)?;
                self.abort_move(step, &moved);
                Ok(())
            }
            TransferCommand::Pause { transfer, paused } => self.pause(step, transfer, paused),
            TransferCommand::Progress {
                transfer,
                done,
                total,
            } => {
                self.at(transfer, &[Stage::Prepare, Stage::CatchUp])?;
                self.change_transfer(step, transfer, |moved| {
                    (moved.done, moved.total) = (done, total);
                });
                step.publish_in_passing();
                Ok(())
            }
            TransferCommand::Trim { partition, member } => self.trim(step, partition, member),
        }
    }

    fn pause(
        &mut self,
        step: &mut Step<'_>,
        transfer: TransferId,
        paused: bool,
    ) -> Result<(), Rejection> {
        let moved = self.transfer(transfer);
        let moved = moved.ok_or(MoveRejection::TransferUnknown { transfer })?;
        if moved.paused != paused {
            self.change_transfer(step, transfer, |one| one.paused = paused);
        }
        Ok(())
    }

    /// A step in words, for the history.
    fn told(&self, command: &TransferCommand) -> String {
        let of = |transfer: &TransferId| match self.transfer(*transfer) {
            Some(moved) => {
                let target = self.shown(moved.target.member);
                format!("{} to {target}: {}", moved.partition, moved.stage)
            }
            None => format!("move {transfer}"),
        };
        match command {
            TransferCommand::Open(begun) => {
                let (from, to) = (
                    self.shown(begun.source.member),
                    self.shown(begun.target.member),
                );
                let what = match (begun.handoff, begun.leaving) {
                    (true, None) => "the primary role",
                    (true, Some(_)) => "the copy and the primary role",
                    (false, _) => "a copy",
                };
                format!("{}: {what}, {from} to {to}", begun.partition)
            }
            TransferCommand::Trim { partition, member } => {
                format!("{partition}: {} drops its copy", self.shown(*member))
            }
            TransferCommand::Commit { release, .. } => {
                format!("{}: the role is given up and granted", release.partition)
            }
            TransferCommand::Prepared { transfer }
            | TransferCommand::CaughtUp { transfer, .. }
            | TransferCommand::OpenSwitch { transfer }
            | TransferCommand::Revoke { transfer }
            | TransferCommand::CommitRevoked { transfer, .. }
            | TransferCommand::Activated { transfer }
            | TransferCommand::Finish { transfer }
            | TransferCommand::Abort { transfer }
            | TransferCommand::Pause { transfer, .. }
            | TransferCommand::Progress { transfer, .. } => of(transfer),
        }
    }

    /// The move, if it stands at one of these stages.
    fn at(&self, transfer: TransferId, stages: &[Stage]) -> Result<Transfer, Rejection> {
        let moved = self.transfer(transfer);
        let moved = moved.ok_or(MoveRejection::TransferUnknown { transfer })?;
        if stages.contains(&moved.stage) {
            return Ok(moved.clone());
        }
        Err(MoveRejection::TransferStage {
            transfer,
            stage: moved.stage,
        }
        .into())
    }

    pub(super) fn change_transfer(
        &mut self,
        step: &mut Step<'_>,
        transfer: TransferId,
        change: impl FnOnce(&mut Transfer),
    ) {
        if let Some(moved) = Arc::make_mut(&mut self.transfers).get_mut(&transfer) {
            change(moved);
            step.publish();
        }
    }

    fn enter(&mut self, step: &mut Step<'_>, transfer: TransferId, stage: Stage) {
        let (position, at_ms) = (step.position(), step.at_ms());
        self.change_transfer(step, transfer, |moved| {
            moved.stage = stage;
            moved.since = position;
            moved.stage_at_ms = at_ms;
        });
    }

    fn open_transfer(
        &mut self,
        step: &mut Step<'_>,
        office: Option<OfficeId>,
        begun: &Move,
    ) -> Result<(), Rejection> {
        let partition = begun.partition;
        if office.is_some() && self.brake.is_some() && !self.mends(begun) {
            return Err(MoveRejection::Braked { partition }.into());
        }
        let (control, holder) = self.available(partition)?;
        if let Some(transfer) = control.transfer {
            return Err(MoveRejection::TransferUnderWay {
                partition,
                transfer,
            }
            .into());
        }
        self.check_party(begun.source, false)?;
        self.check_party(begun.target, true)?;
        let shape = MoveRejection::TransferShape { partition };
        if !self.fits(control, holder, begun) {
            return Err(shape.into());
        }
        let (in_sync, before) = (
            control.is_in_sync(begun.target.member),
            control.in_sync.len(),
        );
        let id = TransferId::from(step.position());
        let moved = Transfer {
            id,
            partition,
            stage: if in_sync {
                Stage::CatchUp
            } else {
                Stage::Prepare
            },
            source: begun.source,
            target: begun.target,
            handoff: begun.handoff,
            leaving: begun.leaving,
            switch: None,
            revoked: None,
            force: begun.force,
            in_sync_before: u8::try_from(before).unwrap_or(u8::MAX),
            reason: begun.reason,
            done: 0,
            total: 0,
            attempt: 1,
            paused: false,
            since: step.position(),
            opened_at_ms: step.at_ms(),
            stage_at_ms: step.at_ms(),
        };
        self.check_limits(&moved)?;
        Arc::make_mut(&mut self.transfers).insert(id, moved);
        self.control_mut(partition).transfer = Some(id);
        step.publish();
        Ok(())
    }

    fn check_limits(&self, moved: &Transfer) -> Result<(), Rejection> {
        if !moved.copies() {
            return Ok(());
        }
        let max = self.config.max_transfers_per_node;
        let busy = |of: fn(&Transfer) -> MemberNumber, member: MemberNumber| {
            self.transfers()
                .filter(|one| one.is_copying() && of(one) == member)
                .count()
        };
        let (source, target) = (moved.source.member, moved.target.member);
        let out = busy(|one| one.source.member, source) >= max.into();
        if out || busy(|one| one.target.member, target) >= max.into() {
            let member = if out { source } else { target };
            return Err(MoveRejection::TransferLimit { member, max }.into());
        }
        Ok(())
    }

    fn open_switch(&mut self, step: &mut Step<'_>, id: TransferId) -> Result<(), Rejection> {
        let moved = self.at(id, &[Stage::CatchUp])?;
        self.check_target(&moved)?;
        if !moved.handoff {
            return Err(MoveRejection::TransferStage {
                transfer: id,
                stage: moved.stage,
            }
            .into());
        }
        let switch = SwitchId::from(step.position());
        self.enter(step, id, Stage::Release);
        self.change_transfer(step, id, |moved| moved.switch = Some(switch));
        Ok(())
    }

    /// The target is in sync in its present, open, not closing session.
    fn check_target(&self, moved: &Transfer) -> Result<(), Rejection> {
        self.check_party(moved.target, true)?;
        let (partition, member) = (moved.partition, moved.target.member);
        if self
            .partition(partition)
            .is_some_and(|control| control.is_in_sync(member))
        {
            Ok(())
        } else {
            Err(MoveRejection::NotInSync { partition, member }.into())
        }
    }

    /// An acknowledgement counts only where session, partition, epoch and switch all match.
    fn check_release(&self, moved: &Transfer, release: Release) -> Result<(), Rejection> {
        let epoch = self.partition(moved.partition).map(|control| control.epoch);
        // Every abort of an open switch raises the epoch, so each of the two tells an earlier
        // switch from this one; the broken rule looks at neither.
        let bound = moved.switch == Some(release.switch) && Some(release.epoch) == epoch;
        let matches = release.session == moved.source.session
            && release.partition == moved.partition
            && (bound || self.bugs.has(Bug::AckNotBound))
            && moved.revoked.is_none();
        if matches {
            Ok(())
        } else {
            Err(MoveRejection::ReleasePast {
                transfer: moved.id,
                got: release,
                switch: moved.switch,
            }
            .into())
        }
    }

    fn revoke(&mut self, step: &mut Step<'_>, id: TransferId) -> Result<(), Rejection> {
        let moved = self.at(id, &[Stage::Release])?;
        if !moved.force || moved.revoked.is_some() {
            return Err(MoveRejection::NotForced { transfer: id }.into());
        }
        let position = step.position();
        self.enter(step, id, Stage::Release);
        self.change_transfer(step, id, |moved| moved.revoked = Some(position));
        if let Some(session) = Arc::make_mut(&mut self.sessions).get_mut(&moved.source.session) {
            session.floor = position;
        }
        Ok(())
    }

    /// The commit: primary = the target in its session, at the next epoch.
    fn hand_over(&mut self, step: &mut Step<'_>, moved: &Transfer) -> Result<(), Rejection> {
        self.check_target(moved)?;
        let (partition, target) = (moved.partition, moved.target);
        let row = self.row_members(partition);
        let added = !row.contains(&target.member);
        let holder = Holder {
            member: target.member,
            session: target.session,
        };
        let (position, bugs) = (step.position(), self.bugs);
        grant(self.control_mut(partition), holder, position, bugs);
        self.enter(step, moved.id, Stage::Activate);
        self.set_row(step, partition, fronted(&row, target.member));
        let copied = if added { Some(moved.source) } else { None };
        self.tell_moved(step, moved, row.first().copied(), copied);
        Ok(())
    }

    /// The target is in sync. A move without a handoff is done with that.
    fn caught_up(&mut self, step: &mut Step<'_>, moved: &Transfer) -> Result<(), Rejection> {
        self.check_party(moved.target, true)?;
        let (partition, target) = (moved.partition, moved.target.member);
        let control = self.control_mut(partition);
        if control.is_in_sync(target) {
            return Err(MoveRejection::TransferStage {
                transfer: moved.id,
                stage: moved.stage,
            }
            .into());
        }
        control.in_sync.push(target);
        control.in_sync.sort_unstable();
        step.publish();
        if moved.handoff {
            return Ok(());
        }
        let mut row = self.row_members(partition);
        let primary = row.first().copied();
        if !row.contains(&target) {
            row.push(target);
            self.set_row(step, partition, row);
        }
        self.end_move(step, moved);
        self.tell_moved(step, moved, primary, Some(moved.source));
        Ok(())
    }
}
