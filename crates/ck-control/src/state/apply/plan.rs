//! The first table, and what is asked of every planned one after it.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{NodeId, Table, Version};

use crate::MemberNumber;
use crate::state::apply::failover::grant;
use crate::state::apply::rows::{Edits, edited, numbers, row_of};
use crate::state::apply::{Step, fields};
use crate::state::{ChangeReason, EventKind, Holder, PartitionControl, Rejection, State};

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
        self.check_up(table)?;
        let holder = |member: MemberNumber| {
            let session = self.member(member)?.session?;
            Some(Holder { member, session })
        };
        let partitions = table.rows().map(|row| {
            let row = row_of(&numbers, row);
            let mut control = PartitionControl::default();
            if let Some(holder) = row.first().and_then(|first| holder(*first)) {
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

    /// A first table names only nodes with open sessions: nobody would be granted what it gives to
    /// one that has just gone, since nobody held it before.
    fn check_up(&self, table: &Table) -> Result<(), Rejection> {
        let gone = |node: &&NodeId| {
            let member = self.member_by_node(node.as_str());
            member.is_none_or(|member| member.session.is_none())
        };
        for row in table.rows() {
            if let Some(node) = row.nodes().find(gone) {
                let (partition, node) = (row.partition(), node.clone());
                return Err(Rejection::RowNode { partition, node });
            }
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
}
