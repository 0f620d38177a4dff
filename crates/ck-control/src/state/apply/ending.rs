//! How planned moves end: done, given up, or with the session of one of their sides.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::PartitionId;

use crate::MemberNumber;
use crate::state::apply::Step;
use crate::state::apply::failover::grant;
use crate::state::{Holder, MoveRejection, Rejection, Stage, State, Transfer};

impl State {
    /// Takes a move out of the books.
    fn forget_move(&mut self, step: &mut Step<'_>, moved: &Transfer) {
        Arc::make_mut(&mut self.transfers).remove(&moved.id);
        self.control_mut(moved.partition).transfer = None;
        step.publish();
    }

    /// A move is done: the leaving copy goes, unless that would leave too few.
    pub(super) fn end_move(&mut self, step: &mut Step<'_>, moved: &Transfer) {
        self.forget_move(step, moved);
        if let Some(leaving) = moved.leaving {
            let least = self.config.min_in_sync.max(moved.in_sync_before);
            if self.may_drop(moved.partition, leaving, least.into()) {
                self.drop_copy(step, moved.partition, leaving);
            }
        }
        self.count_reached(step, moved.partition);
    }

    fn count_reached(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        if self.rebalance.is_none() || !self.plan_reached(partition) {
            return;
        }
        if let Some(plan) = &mut self.rebalance
            && plan.done < plan.total
        {
            Arc::make_mut(plan).done += 1;
            step.publish();
        }
    }

    /// Whether a copy can go: it is not the primary's, and at least `least` copies that are in
    /// sync with an open, not closing session stay; one that is out of sync goes when any does.
    fn may_drop(&self, partition: PartitionId, member: MemberNumber, least: usize) -> bool {
        let Some(control) = self.partition(partition) else {
            return false;
        };
        if control.holder.is_some_and(|holder| holder.member == member) || control.last_known {
            return false;
        }
        let stays = |one: &&MemberNumber| {
            **one != member
                && self
                    .member(**one)
                    .is_some_and(|member| member.session.is_some() && !member.closing)
        };
        let least = if control.is_in_sync(member) { least } else { 1 };
        control.in_sync.iter().filter(stays).count() >= least.max(1)
    }

    fn drop_copy(&mut self, step: &mut Step<'_>, partition: PartitionId, member: MemberNumber) {
        let control = self.control_mut(partition);
        control.in_sync.retain(|one| *one != member);
        let mut row = self.row_members(partition);
        row.retain(|one| *one != member);
        self.set_row(step, partition, row);
    }

    /// Gives a move up before its commit. Once its switch was opened the source may have given the
    /// role up already, so it is granted it anew; before that all stays as it is.
    pub(super) fn abort_move(&mut self, step: &mut Step<'_>, moved: &Transfer) {
        self.forget_move(step, moved);
        let (partition, source) = (moved.partition, moved.source);
        self.settle_target(step, moved);
        if moved.stage == Stage::Release && self.session(source.session).is_some() {
            let holder = Holder {
                member: source.member,
                session: source.session,
            };
            let (position, bugs) = (step.position(), self.bugs);
            grant(self.control_mut(partition), holder, position, bugs);
            self.tell_moved(step, moved, Some(source.member), None);
        }
    }

    /// A target without a place in the row leaves the in-sync set with its move; where it may be
    /// the last that has everything, it gets a place instead.
    fn settle_target(&mut self, step: &mut Step<'_>, moved: &Transfer) {
        let (partition, target) = (moved.partition, moved.target.member);
        let mut row = self.row_members(partition);
        let in_sync = self
            .partition(partition)
            .is_some_and(|control| control.is_in_sync(target));
        if row.contains(&target) || !in_sync {
            return;
        }
        if self.may_drop(partition, target, 1) {
            let control = self.control_mut(partition);
            control.in_sync.retain(|one| *one != target);
            step.publish();
        } else {
            row.push(target);
            self.set_row(step, partition, row);
        }
    }

    /// Ends the moves one of whose sides has no session any more. Comes after the failover of what
    /// the ended sessions held.
    pub(super) fn end_orphaned_moves(&mut self, step: &mut Step<'_>) {
        let orphaned = |moved: &&Transfer| {
            self.session(moved.source.session).is_none()
                || self.session(moved.target.session).is_none()
        };
        let moves: Vec<Transfer> = self.transfers().filter(orphaned).cloned().collect();
        for moved in &moves {
            if moved.stage <= Stage::Release {
                self.end_uncommitted(step, moved);
            } else {
                self.end_committed(step, moved);
            }
        }
    }

    fn end_uncommitted(&mut self, step: &mut Step<'_>, moved: &Transfer) {
        let promoted = self
            .partition(moved.partition)
            .and_then(|control| control.holder)
            .is_some_and(|holder| holder.session == moved.target.session);
        if promoted {
            // Failover chose the target: what was planned has come about.
            self.end_move(step, moved);
        } else {
            self.abort_move(step, moved);
        }
    }

    fn end_committed(&mut self, step: &mut Step<'_>, moved: &Transfer) {
        if self.session(moved.target.session).is_some() {
            self.end_move(step, moved);
            return;
        }
        self.forget_move(step, moved);
        let (partition, target) = (moved.partition, moved.target.member);
        let in_sync = self
            .partition(partition)
            .is_some_and(|control| control.is_in_sync(target));
        if moved.leaving.is_some() && !in_sync && self.may_drop(partition, target, 1) {
            self.drop_copy(step, partition, target);
        }
    }

    /// Drops a copy beyond the replication factor.
    pub(super) fn trim(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        member: MemberNumber,
    ) -> Result<(), Rejection> {
        let (control, _) = self.available(partition)?;
        if let Some(transfer) = control.transfer {
            return Err(MoveRejection::TransferUnderWay {
                partition,
                transfer,
            }
            .into());
        }
        let row = self.row_members(partition);
        let planned = self.rebalance.is_some().then(|| self.plan_row(partition));
        let factor = usize::from(self.config.replication_factor);
        let factor = planned.map_or(factor, |row| row.len().min(factor));
        if row.len() <= factor || !row.contains(&member) {
            return Err(MoveRejection::TransferShape { partition }.into());
        }
        let least = usize::from(self.config.min_in_sync);
        if !self.may_drop(partition, member, least) {
            return Err(MoveRejection::MinInSync {
                partition,
                member,
                least: self.config.min_in_sync,
            }
            .into());
        }
        self.drop_copy(step, partition, member);
        self.count_reached(step, partition);
        Ok(())
    }
}
