use std::collections::BTreeMap;

use ck_control::{Pace, Stage, TransferId};

use crate::clock::{Instant, SECOND};
use crate::invariants::{Invariant, Observation};

/// I7: every transfer ends, done or aborted, within its deadline once a quorum and both sides are
/// up.
#[derive(Debug, Default)]
pub struct Deadlines {
    healed: Option<Instant>,
    open: BTreeMap<TransferId, (Stage, Instant, Instant)>,
}

impl Invariant for Deadlines {
    fn name(&self) -> &'static str {
        "I7 deadlines"
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Healed => self.healed = Some(at),
            Observation::Committed { after, .. } => {
                self.open.retain(|id, _| after.transfer(*id).is_some());
                let pace = Pace::scaled(&after.config().lease);
                let slack = after.config().lease.waits_for() * 4;
                for transfer in after.transfers() {
                    let span = match transfer.stage {
                        Stage::Prepare => pace.prepare,
                        Stage::CatchUp => pace.catch_up,
                        Stage::Release | Stage::Commit => pace.release * 2,
                        Stage::Activate => pace.activate,
                        Stage::CleanUp => pace.clean_up,
                    } + slack;
                    let nanoseconds = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
                    let known = self.open.get(&transfer.id);
                    if known.is_none_or(|known| known.0 != transfer.stage) {
                        let stage = (transfer.stage, at, nanoseconds);
                        self.open.insert(transfer.id, stage);
                    }
                }
            }
            Observation::Passed => {
                let Some(healed) = self.healed else {
                    return Ok(());
                };
                for (id, (stage, since, span)) in &self.open {
                    if at > healed.max(*since).saturating_add(*span) {
                        return Err(format!(
                            "transfer {id} has been in {stage} for {} s",
                            (at - since) / SECOND
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
