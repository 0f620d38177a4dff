//! What was proposed and may be on its way.

use alloc::collections::BTreeMap;
use core::time::Duration;

use ck_core::{NodeId, PartitionId};

use crate::{Position, SessionId, Stage, Time, TransferId, Trigger};

/// Most proposals remembered; beyond that the oldest are proposed again, which is harmless.
const INTENTS_MAX: usize = 65_536;

/// What a proposal is for: the same one is not made twice in a moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Intent {
    /// This process's office.
    Office,
    /// An expiry, by its newest session and their number.
    Expire(SessionId, usize),
    /// The completion of a removal.
    Remove(NodeId),
    /// The next step of a move at a stage.
    Step(TransferId, &'static str),
    /// The end of a move before its time.
    Abort(TransferId, Stage),
    /// A new move of a partition.
    Open(PartitionId),
    /// A copy too many.
    Trim(PartitionId),
    /// The end of a plan.
    Rebalance(Position),
    /// A plan.
    Plan(Trigger),
    /// The brake, pulled or released.
    Brake(bool),
    /// The end of a longer lease.
    Lease(Position),
    /// The mode's raise.
    Mode(Position, usize),
}

/// When each was proposed last.
#[derive(Debug, Clone, Default)]
pub(super) struct Intents(BTreeMap<Intent, Time>);

impl Intents {
    /// Whether it is time to propose `intent`, which is then noted as proposed.
    pub(super) fn due(&mut self, intent: Intent, now: Time, retry: Duration) -> bool {
        if self
            .0
            .get(&intent)
            .is_some_and(|last| now.since(*last) < retry)
        {
            return false;
        }
        if self.0.len() >= INTENTS_MAX {
            self.0.retain(|_, last| now.since(*last) < retry);
        }
        self.0.insert(intent, now);
        true
    }
}
