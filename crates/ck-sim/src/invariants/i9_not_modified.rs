use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// I9: 'not modified' means the same: under one version nothing that is published differs.
#[derive(Debug)]
pub struct NotModified;

impl Invariant for NotModified {
    fn name(&self) -> &'static str {
        "I9 not modified"
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
        if after.version() != before.version() {
            return Ok(());
        }
        let same = after.table() == before.table()
            && after.partitions().eq(before.partitions())
            && after.members().eq(before.members())
            && after.transfers().eq(before.transfers())
            && after.config() == before.config();
        if same {
            return Ok(());
        }
        Err(format!(
            "{} at {} changed what is published under version {}",
            entry.proposal.command.name(),
            entry.position,
            after.version()
        ))
    }
}
