//! What a node is granted when it comes back.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{PartitionId, Table};

use crate::MemberNumber;
use crate::state::apply::Step;
use crate::state::apply::failover::grant;
use crate::state::apply::rows::{Edits, edited, fronted, numbers, row_of};
use crate::state::{ChangeReason, EventKind, Holder, PartitionControl, State};

/// The row of each partition as member numbers.
struct Rows<'a> {
    table: &'a Table,
    numbers: Vec<Option<MemberNumber>>,
}

impl Rows<'_> {
    fn row(&self, partition: PartitionId) -> Vec<MemberNumber> {
        self.table
            .row(partition)
            .map(|row| row_of(&self.numbers, row))
            .unwrap_or_default()
    }
}

/// Whether a member that has everything is granted the partition at once: it held it last, or
/// nobody holds it and it stands first, or the in-sync set is only the last known one.
fn waits(
    rows: &Rows<'_>,
    partition: PartitionId,
    control: &PartitionControl,
    member: MemberNumber,
) -> bool {
    if !control.is_in_sync(member) {
        return false;
    }
    if control.last_known {
        return !control.unproven.contains(&member);
    }
    match control.holder {
        Some(held) => held.member == member,
        None => rows.row(partition).first() == Some(&member),
    }
}

impl State {
    /// Marks a member that came back without proof of having everything in the sets that are only
    /// last known: it is passed over when another comes back with proof.
    pub(super) fn doubt(&mut self, step: &mut Step<'_>, member: MemberNumber) {
        let doubted = |control: &PartitionControl| {
            control.last_known && control.is_in_sync(member) && !control.unproven.contains(&member)
        };
        if !self.partitions.iter().any(doubted) {
            return;
        }
        for control in Arc::make_mut(&mut self.partitions)
            .iter_mut()
            .filter(|one| doubted(one))
        {
            control.unproven.push(member);
            control.unproven.sort_unstable();
        }
        step.publish();
    }

    /// Grants a member that came back with everything what its old session held, what waits for
    /// it, and what nobody else is left for. Returns how many partitions.
    pub(super) fn recover(&mut self, step: &mut Step<'_>, holder: Holder) -> u32 {
        let member = holder.member;
        let Some(table) = self.table.clone() else {
            return 0;
        };
        let rows = Rows {
            table: &table,
            numbers: numbers(&self.members, &table),
        };
        let waiting: Vec<PartitionId> = self
            .partitions()
            .filter(|(partition, control)| waits(&rows, *partition, control, member))
            .map(|(partition, _)| partition)
            .collect();
        if waiting.is_empty() {
            return 0;
        }
        let node = self.member(member).map(|member| member.node.clone());
        let bugs = self.bugs;
        let partitions = Arc::make_mut(&mut self.partitions);
        let mut edits = Edits::new();
        for partition in &waiting {
            let control = &mut partitions[partition.index()];
            let held_before = !control.last_known && control.holder.is_some();
            if control.last_known {
                let unproven = core::mem::take(&mut control.unproven);
                control.in_sync.retain(|one| !unproven.contains(one));
                control.last_known = false;
            }
            grant(control, holder, step.position(), bugs);
            if held_before {
                continue;
            }
            let old_primary = table.row(*partition).and_then(|row| row.primary()).cloned();
            if old_primary != node {
                edits.insert(*partition, fronted(&rows.row(*partition), member));
            }
            step.tell(EventKind::PartitionChanged {
                partition: *partition,
                copy_from: Vec::new(),
                copy_to: Vec::new(),
                reason: ChangeReason::Recovered,
                old_primary,
                new_primary: node.clone(),
                epoch: control.epoch,
            });
        }
        step.publish();
        if !edits.is_empty() {
            self.table = Some(Arc::new(edited(&table, &self.members, &edits)));
            step.replan();
        }
        u32::try_from(waiting.len()).unwrap_or(u32::MAX)
    }
}
