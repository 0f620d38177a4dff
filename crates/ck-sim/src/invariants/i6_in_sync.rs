use ck_control::{Command, TransferCommand};

use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// I6: planned work never takes in-sync copies below `min_in_sync`, nor below what was in sync
/// when it began.
#[derive(Debug)]
pub struct InSyncKept;

impl Invariant for InSyncKept {
    fn name(&self) -> &'static str {
        "I6 in-sync kept"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed {
            before,
            after,
            entry,
            ..
        } = seen
        else {
            return Ok(());
        };
        if !matches!(
            entry.proposal.command,
            Command::Transfer { .. } | Command::Rebalance { .. }
        ) {
            return Ok(());
        }
        for (partition, control) in after.partitions() {
            let Some(old) = before.partition(partition) else {
                continue;
            };
            let (had, has) = (old.in_sync.len(), control.in_sync.len());
            let began = old
                .transfer
                .and_then(|id| before.transfer(id))
                .map_or(0, |transfer| usize::from(transfer.in_sync_before));
            // An abort gives up what the move itself had added, never more.
            let aborted = matches!(
                entry.proposal.command,
                Command::Transfer {
                    step: TransferCommand::Abort { .. },
                    ..
                }
            );
            let least = usize::from(after.config().min_in_sync).max(began);
            let floor = if aborted { began.min(had) } else { least.min(had) };
            if has < had && has < floor {
                return Err(format!(
                    "{} took {partition} from {had} in-sync copies to {has}; {floor} had to stay",
                    entry.proposal.command.name()
                ));
            }
        }
        Ok(())
    }
}
