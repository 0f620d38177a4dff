//! In-sync sets by their primaries, and what operators and the leader decide beside moves.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{Epoch, PartitionId, Table, Version};

use crate::state::apply::Step;
use crate::state::apply::failover::grant;
use crate::state::apply::rows::fronted;
use crate::state::{
    Brake, ChangeReason, EventKind, Holder, InSyncChange, MoveRejection, PastLease, Raise,
    Rebalance, RebalanceCommand, Rejection, Stage, State, Trigger,
};
use crate::{LeaseTerms, MemberNumber, Mode, OfficeId, Position, SessionId};

impl State {
    pub(super) fn change_in_sync(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        session: SessionId,
        epoch: Epoch,
        change: InSyncChange,
    ) -> Result<(), Rejection> {
        self.check_grant(partition, session, epoch)?;
        let (control, holder) = self.available(partition)?;
        match change {
            InSyncChange::Remove(member) => {
                // What a move's target had caught up with is not enough any more, and a report of
                // it may be on its way: the move ends, so that the report finds none.
                let moved = control.transfer.and_then(|id| self.transfer(id));
                let moved = moved
                    .filter(|one| one.target.member == member && one.stage <= Stage::Release)
                    .cloned();
                let known = control.is_in_sync(member) || moved.is_some();
                if !known || member == holder.member {
                    return Err(MoveRejection::NotInSync { partition, member }.into());
                }
                self.control_mut(partition)
                    .in_sync
                    .retain(|one| *one != member);
                if let Some(moved) = moved {
                    self.abort_move(step, &moved);
                }
            }
            InSyncChange::Add(party) => {
                self.check_party(party, true)?;
                let member = party.member;
                let fits =
                    self.row_members(partition).contains(&member) && !control.is_in_sync(member);
                if !fits {
                    return Err(MoveRejection::TransferShape { partition }.into());
                }
                let control = self.control_mut(partition);
                control.in_sync.push(member);
                control.in_sync.sort_unstable();
            }
        }
        step.publish();
        step.summary = format!("{partition}: {change:?}");
        Ok(())
    }

    /// An operator's order: somebody has to be the primary, and what it lacks is lost.
    pub(super) fn promote(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        member: MemberNumber,
        accept_loss: bool,
    ) -> Result<(), Rejection> {
        if let Ok((_, holder)) = self.available(partition) {
            return Err(MoveRejection::PartitionHeld {
                partition,
                member: holder.member,
            }
            .into());
        }
        let control = self
            .partition(partition)
            .ok_or(MoveRejection::PartitionUnknown { partition })?;
        let known = self.member(member).ok_or_else(|| self.absent(member))?;
        let session = known.session.filter(|_| !known.closing);
        let session = session.ok_or(MoveRejection::PartySession {
            member,
            session: known.last_session.unwrap_or_default(),
        })?;
        let row = self.row_members(partition);
        if !row.contains(&member) && !control.in_sync.is_empty() {
            return Err(MoveRejection::TransferShape { partition }.into());
        }
        let proven = control.is_in_sync(member) && !control.unproven.contains(&member);
        if !proven && !accept_loss {
            return Err(MoveRejection::LossNotAccepted { partition, member }.into());
        }
        if let Some(moved) = control.transfer.and_then(|id| self.transfer(id)).cloned() {
            self.abort_move(step, &moved);
        }
        let old_primary = row.first().copied();
        let (position, bugs) = (step.position(), self.bugs);
        let control = self.control_mut(partition);
        control.in_sync = Vec::from([member]);
        control.unproven.clear();
        control.last_known = false;
        grant(control, Holder { member, session }, position, bugs);
        let epoch = control.epoch;
        let row = self.row_members(partition);
        self.set_row(step, partition, fronted(&row, member));
        let node = |number: MemberNumber| self.member(number).map(|one| one.node.clone());
        step.summary = format!("{partition}: {} by order", self.shown(member));
        step.tell(EventKind::PartitionChanged {
            partition,
            copy_from: Vec::new(),
            copy_to: Vec::new(),
            reason: ChangeReason::Manual,
            old_primary: old_primary.and_then(node),
            new_primary: node(member),
            epoch,
        });
        Ok(())
    }

    pub(super) fn set_brake(
        &mut self,
        step: &mut Step<'_>,
        office: Option<OfficeId>,
        lost: u32,
    ) -> Result<(), Rejection> {
        if let Some(office) = office {
            self.check_office(office)?;
        }
        let brake = (lost > 0).then_some(Brake {
            since: step.position(),
            lost,
            at_ms: step.at_ms(),
        });
        if brake.is_some() == self.brake.is_some() {
            return Ok(());
        }
        self.brake = brake;
        step.publish();
        step.summary = match lost {
            0 => "released: moves go on".into(),
            lost => format!("{lost} nodes lost: nothing is moved"),
        };
        Ok(())
    }

    pub(super) fn rebalance_step(
        &mut self,
        step: &mut Step<'_>,
        command: &RebalanceCommand,
    ) -> Result<(), Rejection> {
        if let RebalanceCommand::Begin {
            base,
            table,
            trigger,
            started_at_ms,
        } = command
        {
            return self.begin_rebalance(step, *base, table, *trigger, *started_at_ms);
        }
        let Some(plan) = &mut self.rebalance else {
            return Err(MoveRejection::NoRebalance.into());
        };
        step.summary = format!("{}: {}", plan.trigger, command.name());
        match *command {
            RebalanceCommand::Pause { paused } => Arc::make_mut(plan).paused = paused,
            RebalanceCommand::Finish { since } if since != plan.since => {
                return Err(MoveRejection::NoRebalance.into());
            }
            _ => {
                let partitions = plan.done;
                let trigger = plan.trigger;
                let duration_ms = step.at_ms().saturating_sub(plan.started_at_ms);
                self.rebalance = None;
                let nodes = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
                step.tell(EventKind::RebalanceCompleted {
                    trigger,
                    partitions,
                    nodes,
                    duration_ms,
                });
            }
        }
        step.publish();
        Ok(())
    }

    fn begin_rebalance(
        &mut self,
        step: &mut Step<'_>,
        base: Version,
        table: &Table,
        trigger: Trigger,
        started_at_ms: u64,
    ) -> Result<(), Rejection> {
        if self.table.is_none() {
            return Err(Rejection::NoPartitions);
        }
        if let Some(plan) = &self.rebalance {
            return Err(MoveRejection::RebalanceUnderWay { since: plan.since }.into());
        }
        self.check_base(base)?;
        self.check_table(table)?;
        if self.reshaped.take().is_some() {
            step.publish();
        }
        let mut plan = Rebalance {
            since: step.position(),
            trigger,
            actor: step.actor().into(),
            base,
            target: Arc::new(table.clone()),
            started_at_ms,
            total: 0,
            done: 0,
            paused: false,
        };
        self.rebalance = Some(Arc::new(plan.clone()));
        let differs = self.partitions().filter(|(partition, _)| {
            self.available(*partition).is_ok() && !self.plan_reached(*partition)
        });
        let partitions = u32::try_from(differs.count()).unwrap_or(u32::MAX);
        plan.total = partitions;
        self.rebalance = Some(Arc::new(plan)).filter(|plan| plan.total > 0);
        if partitions > 0 {
            step.publish();
            step.summary = format!("{trigger}: {partitions} partitions to change");
            let nodes = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            step.tell(EventKind::RebalanceStarted {
                trigger,
                partitions,
                nodes,
            });
        }
        Ok(())
    }

    pub(super) fn set_mode(&mut self, step: &mut Step<'_>, mode: Mode) {
        if mode <= self.config.mode {
            // Promising less holds at once.
            if mode != self.config.mode || self.raise.is_some() {
                self.config.mode = mode;
                self.raise = None;
                step.publish();
            }
        } else if self.raise.as_ref().is_none_or(|raise| raise.mode != mode) {
            let waiting = self.sessions().map(|session| session.id).collect();
            self.raise = Some(Arc::new(Raise {
                mode,
                since: step.position(),
                waiting,
            }));
            step.publish();
            self.complete_raise(step, &[]);
        }
        step.summary = format!("mode {}", mode.name());
    }

    pub(super) fn mode_applied(
        &mut self,
        step: &mut Step<'_>,
        since: Position,
        sessions: &[SessionId],
    ) -> Result<(), Rejection> {
        if self.raise.as_ref().is_none_or(|raise| raise.since != since) {
            return Err(MoveRejection::NoRaise { since }.into());
        }
        self.complete_raise(step, sessions);
        Ok(())
    }

    /// Notes who has applied a raise or ended; with the last of them the mode holds.
    pub(super) fn complete_raise(&mut self, step: &mut Step<'_>, applied: &[SessionId]) {
        let Some(raise) = &self.raise else {
            return;
        };
        let open = |id: &SessionId| self.sessions.contains_key(id) && !applied.contains(id);
        let waiting: Vec<SessionId> = raise.waiting.iter().copied().filter(open).collect();
        if waiting.is_empty() {
            self.config.mode = raise.mode;
            self.raise = None;
            let fields = Vec::from([alloc::string::String::from("mode")]);
            step.tell(EventKind::ConfigChanged { fields });
        } else if waiting.len() < raise.waiting.len() {
            let raise = Raise {
                waiting,
                ..(**raise).clone()
            };
            self.raise = Some(Arc::new(raise));
        } else {
            return;
        }
        step.publish();
    }

    pub(super) fn lease_settled(
        &mut self,
        step: &mut Step<'_>,
        office: OfficeId,
        since: Position,
    ) -> Result<(), Rejection> {
        self.check_office(office)?;
        if self.past_lease.is_none_or(|past| past.since != since) {
            return Err(MoveRejection::NoPastLease { since }.into());
        }
        self.past_lease = None;
        step.publish();
        step.summary = String::from("the longer lease of before has run out");
        Ok(())
    }

    pub(super) fn set_lease(
        &mut self,
        step: &mut Step<'_>,
        terms: LeaseTerms,
    ) -> Result<(), Rejection> {
        let mut config = self.config.clone();
        let old = core::mem::replace(&mut config.lease, terms);
        config.check()?;
        if old == terms {
            return Ok(());
        }
        let longest = self.past_lease.map_or(old, |past| {
            if past.terms.waits_for() > old.waits_for() {
                past.terms
            } else {
                old
            }
        });
        self.past_lease = (longest.waits_for() > terms.waits_for()).then_some(PastLease {
            terms: longest,
            since: step.position(),
        });
        self.config = config;
        step.publish();
        step.summary = format!("lease {} ms", terms.lease_ms);
        let fields = Vec::from([alloc::string::String::from("lease")]);
        step.tell(EventKind::ConfigChanged { fields });
        Ok(())
    }
}
