use std::collections::BTreeMap;

use ck_control::Holder;
use ck_core::{Epoch, PartitionId};

use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// I1: for each (partition, epoch) at most one grant, ever.
#[derive(Debug, Default)]
pub struct OneGrant(BTreeMap<(PartitionId, Epoch), Holder>);

impl Invariant for OneGrant {
    fn name(&self) -> &'static str {
        "I1 one grant"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Committed { before, after, .. } = seen else {
            return Ok(());
        };
        for (partition, control) in after.partitions() {
            let Some(holder) = control.holder else {
                continue;
            };
            let old = before.partition(partition);
            let granted = old.is_none_or(|old| old.granted_at != control.granted_at);
            let known = self.0.insert((partition, control.epoch), holder);
            if known.is_some_and(|known| known != holder || granted) {
                return Err(format!(
                    "{partition} epoch {} was granted to {known:?}, and now to {holder:?}",
                    control.epoch
                ));
            }
        }
        Ok(())
    }
}
