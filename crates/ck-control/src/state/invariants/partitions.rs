use alloc::vec::Vec;

use ck_core::{PartitionId, Row};

use crate::MemberNumber;
use crate::state::invariants::{InvariantError, ahead};
use crate::state::{PartitionControl, Stage, State, Transfer};

fn ordered(members: &[MemberNumber]) -> bool {
    members.windows(2).all(|pair| pair[0] < pair[1])
}

impl State {
    pub(super) fn check_partitions(&self) -> Result<(), InvariantError> {
        let rows = self
            .table
            .as_ref()
            .map_or(0, |table| u64::from(table.partitions()));
        let (control, config) = (
            self.partitions.len() as u64,
            u64::from(self.config.partitions),
        );
        if rows != control || (rows != 0 && rows != config) {
            return Err(InvariantError::PartitionCount {
                table: rows,
                control,
                config,
            });
        }
        let Some(table) = &self.table else {
            return Ok(());
        };
        let numbers: Vec<Option<MemberNumber>> = table
            .nodes()
            .iter()
            .map(|node| self.members.number_of(node.as_str()))
            .collect();
        for (row, (partition, control)) in table.rows().zip(self.partitions()) {
            let mut members = Vec::with_capacity(row.indexes().len());
            for index in row.indexes() {
                let node = &table.nodes()[*index as usize];
                members.push(
                    numbers[*index as usize].ok_or_else(|| InvariantError::RowNode {
                        partition,
                        node: node.clone(),
                    })?,
                );
            }
            self.check_control(row, &members, control)?;
        }
        Ok(())
    }

    fn check_control(
        &self,
        row: Row<'_>,
        members: &[MemberNumber],
        control: &PartitionControl,
    ) -> Result<(), InvariantError> {
        let (partition, epoch) = (row.partition(), control.epoch);
        let granted = control.granted_at.0 != 0;
        if (epoch.0 != 0) != granted || (control.holder.is_some() && !granted) {
            return Err(InvariantError::Grant { partition, epoch });
        }
        ahead("a grant", control.granted_at.0, self.applied.0)?;
        self.check_holder(partition, members, control)?;
        self.check_in_sync(partition, members, control)?;
        match control.transfer {
            Some(id)
                if self
                    .transfer(id)
                    .is_none_or(|one| one.partition != partition) =>
            {
                Err(InvariantError::Transfer {
                    transfer: id,
                    what: "the partition".into(),
                })
            }
            _ => Ok(()),
        }
    }

    fn check_holder(
        &self,
        partition: PartitionId,
        members: &[MemberNumber],
        control: &PartitionControl,
    ) -> Result<(), InvariantError> {
        let Some(holder) = control.holder else {
            return Ok(());
        };
        let member = holder.member;
        let open = self.session(holder.session);
        let known = self
            .member(member)
            .is_some_and(|one| Some(holder.session) <= one.last_session);
        if !known || open.is_some_and(|session| session.member != member) {
            let session = holder.session;
            return Err(InvariantError::Holder {
                partition,
                member,
                session,
            });
        }
        if members.first() != Some(&member) {
            return Err(InvariantError::HolderNotFirst { partition, member });
        }
        if open.is_some() && (control.last_known || !control.is_in_sync(member)) {
            return Err(InvariantError::HolderOutOfSync { partition, member });
        }
        Ok(())
    }

    fn check_in_sync(
        &self,
        partition: PartitionId,
        members: &[MemberNumber],
        control: &PartitionControl,
    ) -> Result<(), InvariantError> {
        let target = control
            .transfer
            .and_then(|id| self.transfer(id))
            .map(|transfer| transfer.target.member);
        let may = |member: &MemberNumber| {
            self.member(*member).is_some() && (members.contains(member) || target == Some(*member))
        };
        let refuse = |set: &str, member: Option<&MemberNumber>| InvariantError::InSync {
            partition,
            set: set.into(),
            member: member.copied().unwrap_or_default(),
        };
        let stray = control.in_sync.iter().find(|member| !may(member));
        if stray.is_some() || !ordered(&control.in_sync) {
            return Err(refuse("in-sync", stray));
        }
        let stray = control
            .unproven
            .iter()
            .find(|member| !control.is_in_sync(**member));
        if stray.is_some() || !ordered(&control.unproven) {
            return Err(refuse("unproven", stray));
        }
        let no = |why: &str| {
            Err(InvariantError::LastKnown {
                partition,
                why: why.into(),
            })
        };
        if !control.last_known {
            return if control.unproven.is_empty() {
                Ok(())
            } else {
                no("it is doubted, not lost")
            };
        }
        if control.in_sync.is_empty() {
            return no("it is empty");
        }
        let alive = |member: &&MemberNumber| {
            !control.unproven.contains(member)
                && self
                    .member(**member)
                    .is_some_and(|member| member.session.is_some() && !member.closing)
        };
        if control.in_sync.iter().any(|member| alive(&member)) {
            return no("a member that has everything has an open session");
        }
        Ok(())
    }

    pub(super) fn check_transfers(&self) -> Result<(), InvariantError> {
        for (id, transfer) in self.transfers.iter() {
            let Transfer {
                stage,
                switch,
                source,
                target,
                ..
            } = *transfer;
            let control = self.partition(transfer.partition);
            let parties = [source, target];
            let known = parties
                .iter()
                .all(|party| self.member(party.member).is_some());
            let switched = transfer.handoff && stage >= Stage::Release;
            let wrong = [
                ("its id", transfer.id != *id),
                (
                    "the partition",
                    control.is_none_or(|one| one.transfer != Some(*id)),
                ),
                ("a party", !known || source.member == target.member),
                ("the switch", switch.is_some() != switched),
                (
                    "the progress",
                    transfer.total != 0 && transfer.done > transfer.total,
                ),
            ];
            if let Some((what, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
                return Err(InvariantError::Transfer {
                    transfer: *id,
                    what: (*what).into(),
                });
            }
            ahead("a transfer", transfer.since.0.max(id.0), self.applied.0)?;
        }
        Ok(())
    }
}
