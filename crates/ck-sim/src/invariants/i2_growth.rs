use std::collections::BTreeMap;

use ck_core::Version;

use crate::clock::Instant;
use crate::invariants::{Epochs, Invariant, Observation};

/// I2: versions and epochs only grow, in the log and as each node sees them.
#[derive(Debug, Default)]
pub struct Growth(BTreeMap<usize, (Version, Epochs)>);

impl Invariant for Growth {
    fn name(&self) -> &'static str {
        "I2 growth"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Committed { before, after, .. } => {
                if after.version() < before.version() {
                    return Err(format!(
                        "version fell from {} to {}",
                        before.version(),
                        after.version()
                    ));
                }
                Ok(())
            }
            Observation::Wiped { place } => {
                self.0.remove(place);
                Ok(())
            }
            Observation::Seen { place, state } => {
                let (version, epochs) = self.0.entry(*place).or_default();
                if state.version() < *version {
                    return Err(format!(
                        "place {place} went from version {version} back to {}",
                        state.version()
                    ));
                }
                *version = state.version();
                for (partition, control) in state.partitions() {
                    let newest = epochs.entry(partition).or_default();
                    if control.epoch < *newest {
                        return Err(format!(
                            "place {place} saw {partition} at epoch {newest}, and now at {}",
                            control.epoch
                        ));
                    }
                    *newest = control.epoch;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
