use crate::clock::Instant;
use crate::invariants::{Epochs, Invariant, Observation};

/// I5: the epochs that a resource accepts never fall.
#[derive(Debug, Default)]
pub struct ResourceEpochs(Epochs);

impl Invariant for ResourceEpochs {
    fn name(&self) -> &'static str {
        "I5 resource epochs"
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Accepted { token } = seen else {
            return Ok(());
        };
        let newest = self.0.entry(token.partition).or_default();
        if token.epoch < *newest {
            return Err(format!(
                "the resource accepted {token} after epoch {newest}"
            ));
        }
        *newest = token.epoch;
        Ok(())
    }
}
