//! What must hold, one file each, fed with what can be observed from outside.

mod i1_one_grant;
mod i2_growth;
mod i3_no_overlap;
mod i4_release;
mod i5_resource;
mod i6_in_sync;
mod i7_deadlines;
mod i8_abort;
mod i9_not_modified;
mod no_loss;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ck_control::{Entry, FencingToken, State};
use ck_core::{Epoch, PartitionId};

use crate::clock::Instant;

pub use i1_one_grant::OneGrant;
pub use i2_growth::Growth;
pub use i3_no_overlap::NoOverlap;
pub use i4_release::NothingAfterRelease;
pub use i5_resource::ResourceEpochs;
pub use i6_in_sync::InSyncKept;
pub use i7_deadlines::Deadlines;
pub use i8_abort::AbortKeeps;
pub use i9_not_modified::NotModified;
pub use no_loss::NoLoss;

/// Something seen from outside of all nodes, with real time.
#[derive(Debug, Clone, Copy)]
pub enum Observation<'a> {
    /// An entry was committed and applied.
    Committed {
        /// The state before.
        before: &'a State,
        /// The state after.
        after: &'a State,
        /// The entry.
        entry: &'a Entry,
        /// Whether it was accepted.
        accepted: bool,
    },
    /// A place has applied up to a state, an entry later or a snapshot later.
    Seen {
        /// The place.
        place: usize,
        /// Its state.
        state: &'a State,
    },
    /// A place starts again, from what its disk has, which may be an older state or none.
    Restarted {
        /// The place.
        place: usize,
    },
    /// These places hold a live ownership at this instant, or are acting under one.
    Owned {
        /// The partition.
        partition: PartitionId,
        /// Places and what they act under.
        owners: &'a [(usize, FencingToken)],
    },
    /// A node has acknowledged that it gave a role up.
    Released {
        /// The partition.
        partition: PartitionId,
        /// The grant.
        epoch: Epoch,
    },
    /// A node has begun an effect under a token.
    Admitted {
        /// The place.
        place: usize,
        /// The token.
        token: FencingToken,
    },
    /// The resource has accepted an effect.
    Accepted {
        /// The token.
        token: FencingToken,
    },
    /// A node begins to serve: how many acknowledged writes its copy lacks.
    Serving {
        /// The token.
        token: FencingToken,
        /// Acknowledged writes its copy lacks.
        missing: usize,
    },
    /// Every fault has ended; both sides of every move and a quorum are up from here on.
    Healed,
    /// Time has passed.
    Passed,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} at {} ms: {what}", at / 1_000_000)]
pub struct Violation {
    /// The rule's name.
    pub invariant: &'static str,
    /// When, in real time.
    pub at: Instant,
    /// What was seen.
    pub what: String,
}

/// A rule, with what it remembers of the run so far.
pub trait Invariant {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Takes an observation.
    ///
    /// # Errors
    /// What was seen that the rule forbids.
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) -> Result<(), String>;
}

/// Every rule.
pub struct Invariants(Vec<Box<dyn Invariant>>);

impl Default for Invariants {
    fn default() -> Self {
        Self(vec![
            Box::new(OneGrant::default()),
            Box::new(Growth::default()),
            Box::new(NoOverlap),
            Box::new(NothingAfterRelease::default()),
            Box::new(ResourceEpochs::default()),
            Box::new(InSyncKept),
            Box::new(Deadlines::default()),
            Box::new(AbortKeeps::default()),
            Box::new(NotModified),
            Box::new(NoLoss),
        ])
    }
}

impl Invariants {
    /// Shows an observation to every rule.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn observe(&mut self, at: Instant, seen: &Observation<'_>) -> Result<(), Violation> {
        for rule in &mut self.0 {
            let invariant = rule.name();
            rule.observe(at, seen).map_err(|what| Violation {
                invariant,
                at,
                what,
            })?;
        }
        Ok(())
    }
}

/// The newest epoch of each partition.
type Epochs = BTreeMap<PartitionId, Epoch>;
