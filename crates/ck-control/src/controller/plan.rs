//! When a new plan is called for. Computing it is not this crate's.

use ck_core::NodeState;

use crate::controller::intent::Intent;
use crate::controller::{InOffice, Leader, LeaderOutput};
use crate::{Command, MemberNumber, RebalanceCommand, State, Time, Trigger};

use alloc::vec::Vec;
use core::time::Duration;

impl Leader {
    /// Members that have had no session for longer than the rejoin grace, counted from this office
    /// at the earliest: plans are made without them. Empty while this process holds no office.
    #[must_use]
    pub fn lost(&self, now: Time) -> Vec<MemberNumber> {
        let office = self.tenure.as_ref().and_then(|one| one.office.as_ref());
        let Some(office) = office else {
            return Vec::new();
        };
        let grace = Duration::from_millis(self.state.config().rejoin_grace_ms);
        let gone = |number: &MemberNumber| {
            let away = office.timers.away(*number, now);
            away.is_some_and(|away| away >= grace)
        };
        let numbers = self.state.members().map(|member| member.number);
        numbers.filter(gone).collect()
    }

    /// Asks for a plan when there is a reason, and gives up one that cannot be reached.
    pub(super) fn plan(&mut self, now: Time) {
        let Some((office, state)) = self.in_office() else {
            return;
        };
        if state.brake().is_some() {
            return;
        }
        if let Some(plan) = state.rebalance() {
            let grace = Duration::from_millis(state.config().rejoin_grace_ms);
            let lost = |node: &ck_core::NodeId| {
                state.member_by_node(node.as_str()).is_none_or(|member| {
                    let away = office.timers.away(member.number, now);
                    away.is_some_and(|away| away >= grace)
                })
            };
            if plan.target.nodes().iter().any(lost) {
                let intent = Intent::Rebalance(plan.since);
                let step = RebalanceCommand::Abort;
                self.propose(intent, Command::Rebalance { step }, now);
            }
            return;
        }
        let Some(trigger) = reason(office, state, now) else {
            return;
        };
        let every = state.config().lease.lease();
        if let Some(tenure) = &mut self.tenure
            && tenure.intents.due(Intent::Plan(trigger), now, every)
        {
            self.outputs.push_back(LeaderOutput::Plan { trigger });
        }
    }
}

/// Why a plan is wanted, the most pressing reason first.
fn reason(office: &InOffice, state: &State, now: Time) -> Option<Trigger> {
    let config = state.config();
    if !config.auto_rebalance {
        return None;
    }
    let table = state.table()?;
    let holds = |node: &str| {
        let index = table.index_of(node);
        index.is_some_and(|index| table.cells().contains(&index))
    };
    let grace = Duration::from_millis(config.rejoin_grace_ms);
    let settle = Duration::from_millis(config.settle_ms);
    let lost = state.members().any(|member| {
        let away = office.timers.away(member.number, now);
        away.is_some_and(|away| away >= grace) && holds(member.node.as_str())
    });
    let stays = |session| !office.desk.is_leaving(session);
    let usable = || {
        let members = state.members();
        members.filter(|member| !member.closing && member.session.is_some_and(stays))
    };
    let wanted = usable().count().min(config.replication_factor.into());
    let live = |control: &crate::PartitionControl| {
        let session = control.holder.map(|holder| holder.session);
        session.is_some_and(|session| state.session(session).is_some())
    };
    let short = table
        .rows()
        .zip(state.partitions())
        .any(|(row, (_, control))| row.indexes().len() < wanted && live(control));
    // A plan that empties a node also makes up for what was lost; the other way round, a loss that
    // nothing can be done about would hide the drain.
    if state
        .members()
        .any(|member| member.state == NodeState::Draining && holds(member.node.as_str()))
    {
        return Some(Trigger::Drain);
    }
    if lost || short {
        return Some(Trigger::Loss);
    }
    let newcomer = usable().any(|member| {
        let settled = office.timers.settled(member.number, now) >= settle;
        member.state == NodeState::Active && settled && !holds(member.node.as_str())
    });
    if newcomer {
        return Some(Trigger::Join);
    }
    let idle = usable().any(|member| {
        let held = |control: &crate::PartitionControl| {
            control
                .holder
                .is_some_and(|holder| holder.member == member.number)
        };
        let in_sync = state
            .partitions()
            .any(|(_, control)| control.is_in_sync(member.number));
        let settled = office.timers.settled(member.number, now) >= settle;
        member.state == NodeState::Active
            && settled
            && in_sync
            && !state.partitions().any(|(_, control)| held(control))
    });
    idle.then_some(Trigger::Rejoin)
}
