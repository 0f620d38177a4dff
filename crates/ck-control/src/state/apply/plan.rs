//! The first table, and every planned one after it.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{NodeId, PartitionId, Table, Version};

use crate::MemberNumber;
use crate::state::apply::failover::{Load, grant};
use crate::state::apply::rows::{Edits, edited, fronted, numbers, row_of};
use crate::state::apply::{Step, fields};
use crate::state::{
    ChangeReason, EventKind, Holder, MoveRejection, PartitionControl, Rejection, State, Trigger,
};

/// What a plan does to one partition.
struct Change {
    partition: PartitionId,
    row_differs: bool,
    row: Vec<MemberNumber>,
    added: Vec<MemberNumber>,
    source: Option<MemberNumber>,
    in_sync: Vec<MemberNumber>,
}

/// The changes of a plan, and the rows it must leave as they are.
struct Effect {
    changes: Vec<Change>,
    kept: Edits,
}

impl State {
    pub(super) fn create_partitions(
        &mut self,
        step: &mut Step<'_>,
        table: &Table,
        strategy: Option<&str>,
    ) -> Result<(), Rejection> {
        if let Some(table) = &self.table {
            return Err(Rejection::PartitionsExist {
                partitions: table.partitions(),
            });
        }
        fields::text("strategy", strategy.unwrap_or_default(), 0, 64)?;
        let have = self.members().filter(|member| !member.closing).count();
        let need = self.config.replication_factor.into();
        if have < need as usize {
            let have = u32::try_from(have).unwrap_or(u32::MAX);
            return Err(Rejection::TooFewNodes { have, need });
        }
        let numbers = self.check_table(table)?;
        let load = Load::of(self);
        let partitions = table.rows().map(|row| {
            let row = row_of(&numbers, row);
            let mut control = PartitionControl::default();
            if let Some(holder) = row.first().and_then(|first| holder(&load, *first)) {
                grant(&mut control, holder, step.position(), self.bugs);
            }
            control.in_sync = row;
            control.in_sync.sort_unstable();
            control
        });
        self.partitions = Arc::new(partitions.collect());
        self.table = Some(Arc::new(edited(table, &self.members, &Edits::new())));
        self.strategy = strategy.map(ToString::to_string);
        step.replan();
        let partitions = table.partitions();
        step.summary = format!("{partitions} partitions created");
        step.tell(EventKind::PartitionsCreated { partitions });
        for (row, control) in table.rows().zip(self.partitions.iter()) {
            step.tell(EventKind::PartitionChanged {
                partition: row.partition(),
                copy_from: Vec::new(),
                copy_to: row.nodes().cloned().collect(),
                reason: ChangeReason::Created,
                old_primary: None,
                new_primary: row.primary().cloned(),
                epoch: control.epoch,
            });
        }
        Ok(())
    }

    /// Checks a table's shape and nodes, and returns member numbers by index of its nodes.
    pub(super) fn check_table(
        &self,
        table: &Table,
    ) -> Result<Vec<Option<MemberNumber>>, Rejection> {
        let (got, expected) = (table.partitions(), self.config.partitions);
        if got != expected {
            return Err(Rejection::PartitionCount { got, expected });
        }
        let max = u32::from(self.config.replication_factor);
        let mut numbers = numbers(&self.members, table);
        for number in &mut numbers {
            *number = number.filter(|one| self.member(*one).is_some_and(|one| !one.closing));
        }
        for row in table.rows() {
            let partition = row.partition();
            let got = u32::try_from(row.indexes().len()).unwrap_or(u32::MAX);
            if got == 0 || got > max {
                return Err(Rejection::RowLength {
                    partition,
                    got,
                    max,
                });
            }
            let unknown = row
                .indexes()
                .iter()
                .find(|index| numbers[**index as usize].is_none());
            if let Some(index) = unknown {
                let node = table.nodes()[*index as usize].clone();
                return Err(Rejection::RowNode { partition, node });
            }
        }
        Ok(numbers)
    }

    /// Nothing that a plan depends on has changed since `base`.
    pub(super) fn check_base(&self, base: Version) -> Result<(), Rejection> {
        if base < self.planned_on || base > self.version {
            let changed = if base > self.version {
                self.version
            } else {
                self.planned_on
            };
            return Err(Rejection::PlanStale { base, changed });
        }
        Ok(())
    }

    /// Applies a plan at once, without handing anything over: every copy of a new row that has an
    /// open session counts as in sync from now on.
    ///
    /// A partition whose in-sync set has no member with an open session, or would have none, keeps
    /// its row: a plan never takes the last copy away from a node that is expected back.
    pub(super) fn apply_plan(
        &mut self,
        step: &mut Step<'_>,
        base: Version,
        table: &Table,
        trigger: Trigger,
        started_at_ms: u64,
    ) -> Result<(), Rejection> {
        let old = self.table.clone().ok_or(Rejection::NoPartitions)?;
        self.check_base(base)?;
        if let Some(moved) = self.transfers().next() {
            return Err(MoveRejection::TransferUnderWay {
                partition: moved.partition,
                transfer: moved.id,
            }
            .into());
        }
        if let Some(plan) = self.rebalance() {
            return Err(MoveRejection::RebalanceUnderWay { since: plan.since }.into());
        }
        let numbers = self.check_table(table)?;
        let load = Load::of(self);
        let effect = self.effect(&old, table, &numbers, &load);
        if effect.changes.is_empty() {
            return Ok(());
        }
        let moved = effect
            .changes
            .iter()
            .filter(|change| change.row_differs)
            .count();
        let partitions = u32::try_from(moved).unwrap_or(u32::MAX);
        let nodes = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        step.tell(EventKind::RebalanceStarted {
            trigger,
            partitions,
            nodes,
        });
        for change in effect.changes {
            self.change(step, &old, change, &load, trigger);
        }
        self.table = Some(Arc::new(edited(table, &self.members, &effect.kept)));
        step.replan();
        step.summary = format!(
            "{trigger}: {partitions} partitions changed, {} kept",
            effect.kept.len()
        );
        let duration_ms = step.at_ms().saturating_sub(started_at_ms);
        step.tell(EventKind::RebalanceCompleted {
            trigger,
            partitions,
            nodes,
            duration_ms,
        });
        Ok(())
    }

    /// What a plan does, partition by partition; nothing is changed yet.
    fn effect(
        &self,
        old: &Table,
        new: &Table,
        new_numbers: &[Option<MemberNumber>],
        load: &Load,
    ) -> Effect {
        let old_numbers = numbers(&self.members, old);
        let live = |set: &[MemberNumber]| set.iter().any(|one| load.session(*one).is_some());
        let mut effect = Effect {
            changes: Vec::new(),
            kept: Edits::new(),
        };
        for ((before, after), (partition, control)) in
            old.rows().zip(new.rows()).zip(self.partitions())
        {
            let (before, mut row) = (row_of(&old_numbers, before), row_of(new_numbers, after));
            let present = control
                .holder
                .filter(|holder| self.session(holder.session).is_some());
            if let (Some(first), Some(present)) = (row.first(), present)
                && load.session(*first).is_none()
                && row.contains(&present.member)
            {
                // The role is not taken from a live primary for one that is away.
                row = fronted(&row, present.member);
                effect.kept.insert(partition, row.clone());
            }
            let mut in_sync: Vec<MemberNumber> = row.clone();
            in_sync.retain(|one| load.session(*one).is_some() || control.is_in_sync(*one));
            in_sync.sort_unstable();
            let row_differs = before != row;
            let lost = control.last_known || !live(&control.in_sync);
            if !control.in_sync.is_empty() && (lost || !live(&in_sync)) {
                if row_differs {
                    effect.kept.insert(partition, before);
                }
                continue;
            }
            let holder = self.next_holder(control, &row, load);
            if !row_differs && control.in_sync == in_sync && control.holder == holder {
                continue;
            }
            let added: Vec<MemberNumber> = row
                .iter()
                .copied()
                .filter(|one| !before.contains(one))
                .collect();
            let is_source =
                |one: &&MemberNumber| control.is_in_sync(**one) && load.session(**one).is_some();
            let source = before
                .iter()
                .chain(&control.in_sync)
                .find(is_source)
                .copied();
            let source = source.filter(|_| !added.is_empty());
            effect.changes.push(Change {
                partition,
                row_differs,
                row,
                added,
                source,
                in_sync,
            });
        }
        effect
    }

    /// Who holds a partition once `row` is its row: the present holder if it stands first, else the
    /// one that does, as soon as it has an open session.
    fn next_holder(
        &self,
        control: &PartitionControl,
        row: &[MemberNumber],
        load: &Load,
    ) -> Option<Holder> {
        let first = *row.first()?;
        let next = holder(load, first);
        let present = control.holder.filter(|holder| holder.member == first);
        match (present, next) {
            (Some(present), Some(next)) if present.session != next.session => Some(next),
            (Some(present), _) => Some(present),
            (None, next) => next,
        }
    }

    fn change(
        &mut self,
        step: &mut Step<'_>,
        old: &Table,
        change: Change,
        load: &Load,
        trigger: Trigger,
    ) {
        let Change {
            partition,
            row_differs,
            row,
            added,
            source,
            in_sync,
        } = change;
        let before = self.partitions[partition.index()].holder;
        let after = self.next_holder(&self.partitions[partition.index()], &row, load);
        let bugs = self.bugs;
        let control = &mut Arc::make_mut(&mut self.partitions)[partition.index()];
        control.in_sync = in_sync;
        match after {
            Some(holder) if before != after => grant(control, holder, step.position(), bugs),
            _ => control.holder = after,
        }
        let epoch = control.epoch;
        if let Some(taken) = before.filter(|_| before != after)
            && self.sessions.contains_key(&taken.session)
            && let Some(session) = Arc::make_mut(&mut self.sessions).get_mut(&taken.session)
        {
            // Taken without its consent: its lease counts only once it has applied this.
            session.floor = step.position();
        }
        if !row_differs && before == after {
            return;
        }
        let node = |number: &MemberNumber| self.member(*number).map(|one| one.node.clone());
        let nodes = |numbers: &[MemberNumber]| numbers.iter().filter_map(node).collect();
        step.tell(EventKind::PartitionChanged {
            partition,
            copy_from: source.iter().filter_map(node).collect::<Vec<NodeId>>(),
            copy_to: nodes(&added),
            reason: trigger.into(),
            old_primary: old.row(partition).and_then(|row| row.primary()).cloned(),
            new_primary: row.first().and_then(node),
            epoch,
        });
    }
}

fn holder(load: &Load, member: MemberNumber) -> Option<Holder> {
    load.session(member)
        .map(|session| Holder { member, session })
}
