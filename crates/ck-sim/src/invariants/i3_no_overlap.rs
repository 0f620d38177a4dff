use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// I3: no two live ownerships of a partition overlap in real time.
#[derive(Debug)]
pub struct NoOverlap;

impl Invariant for NoOverlap {
    fn name(&self) -> &'static str {
        "I3 no overlap"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Owned { partition, owners } if owners.len() > 1 => {
                let owners: Vec<_> = owners
                    .iter()
                    .map(|(place, token)| format!("place {place} under {token}"))
                    .collect();
                Err(format!(
                    "{partition} is owned by {}",
                    owners.join(" and by ")
                ))
            }
            _ => Ok(()),
        }
    }
}
