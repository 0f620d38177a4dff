use crate::clock::Instant;
use crate::invariants::{Invariant, Observation};

/// G6: whoever begins to serve has every write that was acknowledged under the in-sync rule,
/// unless an operator accepted the loss.
#[derive(Debug)]
pub struct NoLoss;

impl Invariant for NoLoss {
    fn name(&self) -> &'static str {
        "G6 no silent loss"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Serving { token, missing } if *missing > 0 => Err(format!(
                "{missing} acknowledged writes are missing where {token} begins to serve"
            )),
            _ => Ok(()),
        }
    }
}
