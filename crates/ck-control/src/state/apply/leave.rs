//! Changes of a node, and the ways a session ends.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{NodeId, NodeState, PartitionId};

use crate::state::apply::rows::{Edits, edited, numbers, row_of};
use crate::state::apply::{Step, fields};
use crate::state::command::EXPIRY_NAMES_NODES;
use crate::state::{
    ChangeReason, EndReason, EventKind, Member, MemberChange, MoveRejection, PartitionControl,
    Rejection, State,
};
use crate::{MemberNumber, OfficeId, SessionId};

/// Nodes that a summary names.
const NAMED_MAX: usize = 5;

impl State {
    fn known(&self, node: &NodeId) -> Result<&Member, Rejection> {
        self.member_by_node(node.as_str())
            .ok_or_else(|| Rejection::NodeUnknown { node: node.clone() })
    }

    pub(super) fn update(
        &mut self,
        step: &mut Step<'_>,
        node: &NodeId,
        change: &MemberChange,
    ) -> Result<(), Rejection> {
        let member = self.known(node)?;
        if *change == MemberChange::default() {
            return Err(Rejection::NoField);
        }
        let next = changed(member, change)?;
        self.check_addresses(Some(member.number), &next.peer_address, &next.http_address)?;
        if next == *member {
            return Ok(());
        }
        if (next.weight, &next.domain) != (member.weight, &member.domain) {
            step.reshape();
        } else if next.state != member.state {
            step.replan();
        }
        Arc::make_mut(&mut self.members).put(next);
        step.publish();
        step.summary = format!("{node} changed");
        step.tell(EventKind::NodeChanged { node: node.clone() });
        Ok(())
    }

    /// A clean stop is applied like an expiry, but for being known to be clean.
    pub(super) fn stop(
        &mut self,
        step: &mut Step<'_>,
        member: MemberNumber,
        session: SessionId,
    ) -> Result<(), Rejection> {
        let known = self.member(member).ok_or_else(|| self.absent(member))?;
        if known.session != Some(session) {
            return Err(Rejection::SessionEnded { session });
        }
        step.summary = format!("{} stopped", known.node);
        self.end_sessions(step, &[session], EndReason::Stopped);
        self.fail_over(step, &BTreeSet::from([member]), ChangeReason::Failover);
        self.end_orphaned_moves(step);
        Ok(())
    }

    pub(super) fn expire(
        &mut self,
        step: &mut Step<'_>,
        office: OfficeId,
        sessions: &[SessionId],
    ) -> Result<(), Rejection> {
        self.check_office(office)?;
        let open: BTreeSet<SessionId> = sessions
            .iter()
            .copied()
            .filter(|id| self.session(*id).is_some())
            .collect();
        if open.is_empty() {
            let got = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
            return Err(Rejection::NothingToExpire { got });
        }
        let lost = open
            .iter()
            .filter_map(|id| self.session(*id).map(|one| one.member))
            .collect();
        step.summary = match step.version_of_command() {
            EXPIRY_NAMES_NODES.. => self.expired(&open),
            _ => format!("{} sessions expired", open.len()),
        };
        let open: Vec<SessionId> = open.into_iter().collect();
        self.end_sessions(step, &open, EndReason::Expired);
        self.fail_over(step, &lost, ChangeReason::Failover);
        self.end_orphaned_moves(step);
        Ok(())
    }

    /// Whose sessions ended, and why: `1 session of node-3 expired: no renewal for 2.1 s`.
    fn expired(&self, open: &BTreeSet<SessionId>) -> String {
        let member = |id: &SessionId| self.member(self.session(*id)?.member);
        let nodes = open.iter().filter_map(member).map(|one| one.node.as_str());
        let mut named = nodes.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
        if let more @ 1.. = open.len().saturating_sub(NAMED_MAX) {
            named = format!("{named} and {more} more");
        }
        let counted = match open.len() {
            1 => "1 session".to_string(),
            several => format!("{several} sessions"),
        };
        let past = self.past_lease().map(|past| past.terms.waits_for());
        let waited = past
            .unwrap_or_default()
            .max(self.config().lease.waits_for());
        let (seconds, tenths) = (waited.as_secs(), waited.subsec_millis() / 100);
        format!("{counted} of {named} expired: no renewal for {seconds}.{tenths} s")
    }

    pub(super) fn close(&mut self, step: &mut Step<'_>, node: &NodeId) -> Result<(), Rejection> {
        let member = self.known(node)?;
        if member.closing {
            return Ok(());
        }
        if self.members().filter(|one| !one.closing).count() == 1 {
            return Err(Rejection::LastMember { node: node.clone() });
        }
        let (number, session) = (member.number, member.session);
        let stays = |one: &MemberNumber| {
            let member = self.member(*one).filter(|member| !member.closing);
            *one != number && member.is_some_and(|member| member.session.is_some())
        };
        let alone = |(_, control): &(PartitionId, &PartitionControl)| {
            control.is_in_sync(number) && !control.in_sync.iter().any(stays)
        };
        if session.is_some()
            && let Some((partition, _)) = self.partitions().find(alone)
        {
            let node = node.clone();
            return Err(MoveRejection::LastCopy { partition, node }.into());
        }
        if let Some(member) = Arc::make_mut(&mut self.members).member_mut(number) {
            member.closing = true;
        }
        if let Some(id) = session
            && let Some(session) = Arc::make_mut(&mut self.sessions).get_mut(&id)
        {
            session.closing = true;
        }
        step.replan();
        step.summary = format!("{node} is being removed");
        step.tell(EventKind::NodeChanged { node: node.clone() });
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        step: &mut Step<'_>,
        node: &NodeId,
        office: Option<OfficeId>,
    ) -> Result<(), Rejection> {
        let member = self.known(node)?;
        if !member.closing {
            return Err(Rejection::NotClosing { node: node.clone() });
        }
        match (office, member.session) {
            (Some(office), _) => self.check_office(office)?,
            (None, Some(session)) => {
                return Err(Rejection::OfficeMissing {
                    node: node.clone(),
                    session,
                });
            }
            (None, None) => {}
        }
        let (number, session) = (member.number, member.session);
        let (partitions_primary, partitions_replica) = self.rows_with(node);
        if let Some(session) = session {
            self.end_sessions(step, &[session], EndReason::Removed);
        }
        self.fail_over(step, &BTreeSet::from([number]), ChangeReason::Removed);
        self.end_orphaned_moves(step);
        self.drop_copies(step, number, node);
        Arc::make_mut(&mut self.members).remove(number);
        step.replan();
        step.summary = format!("{node} left");
        let reason = EndReason::Removed;
        let (node, member) = (node.clone(), number);
        step.tell(EventKind::Left {
            node,
            member,
            reason,
            partitions_primary,
            partitions_replica,
        });
        Ok(())
    }

    /// Rows that `node` stands first in, and rows that it stands in elsewhere.
    fn rows_with(&self, node: &NodeId) -> (u32, u32) {
        let Some(table) = &self.table else {
            return (0, 0);
        };
        let Some(index) = table.index_of(node.as_str()) else {
            return (0, 0);
        };
        table
            .rows()
            .fold((0, 0), |(first, other), row| match row.indexes() {
                [head, ..] if *head == index => (first + 1, other),
                [_, tail @ ..] if tail.contains(&index) => (first, other + 1),
                _ => (first, other),
            })
    }

    /// Takes a member out of every row and every in-sync set.
    pub(super) fn drop_copies(&mut self, step: &mut Step<'_>, member: MemberNumber, node: &NodeId) {
        let Some(table) = self.table.clone() else {
            return;
        };
        let forget = |control: &mut PartitionControl| {
            control.in_sync.retain(|one| *one != member);
            control.unproven.retain(|one| *one != member);
            control.last_known &= !control.in_sync.is_empty();
            if control.holder.is_some_and(|holder| holder.member == member) {
                control.holder = None;
            }
        };
        let concerned = |control: &PartitionControl| {
            control.is_in_sync(member)
                || control.holder.is_some_and(|holder| holder.member == member)
        };
        if self.partitions.iter().any(concerned) {
            Arc::make_mut(&mut self.partitions)
                .iter_mut()
                .for_each(forget);
        }
        let numbers = numbers(&self.members, &table);
        let mut edits = Edits::new();
        for row in table.rows().filter(|row| row.contains(node.as_str())) {
            let mut left = row_of(&numbers, row);
            left.retain(|one| *one != member);
            edits.insert(row.partition(), left);
        }
        let told: BTreeSet<PartitionId> = step.kinds.iter().filter_map(changed_partition).collect();
        for partition in edits.keys().filter(|partition| !told.contains(partition)) {
            let control = &self.partitions[partition.index()];
            let holder = control.holder.and_then(|holder| self.member(holder.member));
            step.tell(EventKind::PartitionChanged {
                partition: *partition,
                copy_from: Vec::new(),
                copy_to: Vec::new(),
                reason: ChangeReason::Removed,
                old_primary: table.row(*partition).and_then(|row| row.primary()).cloned(),
                new_primary: holder.map(|member| member.node.clone()),
                epoch: control.epoch,
            });
        }
        let mut members = (*self.members).clone();
        members.remove(member);
        self.table = Some(Arc::new(edited(&table, &members, &edits)));
    }
}

const fn changed_partition(kind: &EventKind) -> Option<PartitionId> {
    match kind {
        EventKind::PartitionChanged { partition, .. } => Some(*partition),
        _ => None,
    }
}

fn changed(member: &Member, change: &MemberChange) -> Result<Member, Rejection> {
    let mut next = member.clone();
    if let Some(name) = &change.display_name {
        fields::text("display_name", name, 0, 128)?;
        next.display_name.clone_from(name);
    }
    if let Some(weight) = change.weight {
        fields::weight(weight)?;
        next.weight = weight;
    }
    if let Some(domain) = &change.domain {
        next.domain.clone_from(domain);
    }
    if let Some(services) = &change.services {
        fields::items("services", services)?;
        next.services.clone_from(services);
    }
    if let Some(labels) = &change.labels {
        fields::items("labels", labels)?;
        next.labels.clone_from(labels);
    }
    match change.state {
        Some(NodeState::Down) => return Err(Rejection::StateDown),
        Some(state) => next.state = state,
        None => {}
    }
    if let Some(address) = &change.peer_address {
        fields::address("peer_address", address, 1)?;
        next.peer_address.clone_from(address);
    }
    if let Some(address) = &change.http_address {
        fields::address("http_address", address, 0)?;
        next.http_address.clone_from(address);
    }
    Ok(next)
}
