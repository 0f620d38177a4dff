use std::collections::BTreeMap;

use ck_control::{Command, MemberNumber, State, TransferCommand, TransferId};
use ck_core::{NodeId, PartitionId};

use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// I8: an aborted transfer leaves the placement as it was, at a higher epoch where the switch was
/// open.
///
/// What ended meanwhile without any planned work (a session, a membership) is no part of this:
/// a move that saw one of those is not looked at. Where every other copy that is in sync is leaving
/// or away, the target may be the last that has everything, and keeps its copy.
#[derive(Debug, Default)]
pub struct AbortKeeps(BTreeMap<TransferId, Vec<NodeId>>);

fn row(state: &State, partition: PartitionId) -> Vec<NodeId> {
    let row = state.table().and_then(|table| table.row(partition));
    row.map(|row| row.nodes().cloned().collect())
        .unwrap_or_default()
}

/// Whether no other copy in sync has a session that stays.
fn is_last(state: &State, partition: PartitionId, target: MemberNumber) -> bool {
    let stays = |number: &MemberNumber| {
        let member = state.member(*number);
        member.is_some_and(|one| one.session.is_some() && !one.closing)
    };
    let in_sync = state.partition(partition).map(|one| &one.in_sync);
    let mut others = in_sync.into_iter().flatten().filter(|one| **one != target);
    !others.any(stays)
}

impl Invariant for AbortKeeps {
    fn name(&self) -> &'static str {
        "I8 abort keeps"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed {
            before,
            after,
            entry,
            accepted: true,
        } = seen
        else {
            return Ok(());
        };
        let command = &entry.proposal.command;
        let planned = matches!(command, Command::Transfer { .. });
        if planned {
            for transfer in after.transfers() {
                let found = before.transfer(transfer.id).is_some();
                if !found {
                    self.0.insert(transfer.id, row(before, transfer.partition));
                }
            }
        } else {
            let changed = |partition| row(before, partition) != row(after, partition);
            self.0.retain(|id, _| {
                after
                    .transfer(*id)
                    .is_some_and(|transfer| !changed(transfer.partition))
            });
        }
        let Command::Transfer {
            step: TransferCommand::Abort { transfer },
            ..
        } = command
        else {
            return Ok(());
        };
        let (Some(opened), Some(old)) = (self.0.remove(transfer), before.transfer(*transfer))
        else {
            return Ok(());
        };
        let partition = old.partition;
        let mut now = row(after, partition);
        if is_last(after, partition, old.target.member) {
            let target = after.member(old.target.member).map(|one| &one.node);
            now.retain(|node| Some(node) != target || opened.contains(node));
        }
        if now != opened {
            return Err(format!(
                "the abort of transfer {transfer} left {partition} at {now:?}; it was {opened:?}"
            ));
        }
        let epoch = |state: &State| state.partition(partition).map(|one| one.epoch);
        if old.switch.is_some() && epoch(after) <= epoch(before) {
            return Err(format!(
                "the abort of transfer {transfer} left {partition} at epoch {:?}, though its \
                 switch was open",
                epoch(after)
            ));
        }
        Ok(())
    }
}
