use std::collections::BTreeMap;

use crate::clock::Instant;
use crate::invariants::{Epochs, Invariant, Observation};

/// I4: after a release acknowledgement no write is admitted at that epoch.
#[derive(Debug, Default)]
pub struct NothingAfterRelease(Epochs);

impl Invariant for NothingAfterRelease {
    fn name(&self) -> &'static str {
        "I4 nothing after release"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Released { partition, epoch } => {
                let newest = self.0.entry(*partition).or_default();
                *newest = (*newest).max(*epoch);
                Ok(())
            }
            Observation::Admitted { place, token } => {
                let released: &BTreeMap<_, _> = &self.0;
                match released.get(&token.partition) {
                    Some(epoch) if token.epoch <= *epoch => Err(format!(
                        "place {place} admitted a write under {token} after epoch {epoch} was \
                         given up"
                    )),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
