use std::collections::BTreeMap;

use ck_control::State;
use ck_core::{Epoch, Version};

use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// I2: versions and epochs only grow, and every node sees them grow along the one line.
#[derive(Debug, Default)]
pub struct Growth {
    /// The epochs of each version, in order of partition.
    line: BTreeMap<Version, Vec<Epoch>>,
    seen: BTreeMap<usize, Version>,
}

fn epochs(state: &State) -> impl Iterator<Item = Epoch> {
    state.partitions().map(|(_, control)| control.epoch)
}

impl Growth {
    fn committed(&mut self, before: &State, after: &State) -> Result<(), String> {
        if after.version() < before.version() {
            return Err(format!(
                "version fell from {} to {}",
                before.version(),
                after.version()
            ));
        }
        if let Some(at) = epochs(before)
            .zip(epochs(after))
            .position(|(old, new)| new < old)
        {
            return Err(format!("the epoch of partition {at} fell"));
        }
        if after.version() != before.version() {
            self.line.insert(after.version(), epochs(after).collect());
        }
        Ok(())
    }

    fn seen(&mut self, place: usize, state: &State) -> Result<(), String> {
        let version = state.version();
        let newest = self.seen.entry(place).or_default();
        if version < *newest {
            return Err(format!(
                "place {place} went from version {newest} back to {version}"
            ));
        }
        *newest = version;
        match self.line.get(&version) {
            Some(line) if !line.iter().copied().eq(epochs(state)) => Err(format!(
                "place {place} sees epochs {:?} under version {version}; the log says {line:?}",
                epochs(state).collect::<Vec<_>>()
            )),
            _ => Ok(()),
        }
    }
}

impl Invariant for Growth {
    fn name(&self) -> &'static str {
        "I2 growth"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Committed { before, after, .. } => self.committed(before, after),
            Observation::Restarted { place } => {
                self.seen.remove(place);
                Ok(())
            }
            Observation::Seen { place, state } => self.seen(*place, state),
            _ => Ok(()),
        }
    }
}
