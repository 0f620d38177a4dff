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
            let moved = old.transfer.and_then(|id| before.transfer(id));
            let began = moved.map_or(0, |transfer| usize::from(transfer.in_sync_before));
            let aborted = matches!(
                entry.proposal.command,
                Command::Transfer {
                    step: TransferCommand::Abort { .. },
                    ..
                }
            );
            // An abort gives up the copy that the move itself had added, and never another; what
            // was lost meanwhile was not lost by planned work.
            let floor = if aborted {
                let added = moved.is_some_and(|one| old.is_in_sync(one.target.member));
                had - usize::from(added)
            } else {
                usize::from(after.config().min_in_sync).max(began).min(had)
            };
            if has < floor {
                return Err(format!(
                    "{} took {partition} from {had} in-sync copies to {has}; {floor} had to stay",
                    entry.proposal.command.name()
                ));
            }
        }
        Ok(())
    }
}
