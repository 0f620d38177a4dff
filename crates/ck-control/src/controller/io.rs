//! What goes into a leader's machine, and what comes out.

use crate::{Answer, Command, MemberNumber, Renewal, State, Trigger};

/// One leadership confirmation. Numbers are never used twice, not across terms either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

/// What happened at a process that may lead. Every process feeds its machine, leading or not.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "an input is moved once, into the machine"
)]
pub enum LeaderInput {
    /// The local consensus core leads in this term. Given again, it changes nothing.
    Leads {
        /// The term.
        term: u64,
    },
    /// The local consensus core does not lead.
    Follows,
    /// The node has applied up to here. A clone is cheap.
    Applied(State),
    /// A renewal arrived, now.
    Renewal(Renewal),
    /// A confirmation that was begun after its [`LeaderOutput::Confirm`] succeeded.
    Confirmed {
        /// The round.
        round: Round,
        /// The term that the majority confirmed.
        term: u64,
    },
    /// Time has passed: call it at [`next_deadline`](crate::Leader::next_deadline), after the
    /// renewals that have arrived.
    Tick,
}

/// What the driver has to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaderOutput {
    /// Begin a leadership confirmation. Failing is silent: another round follows.
    Confirm {
        /// The round.
        round: Round,
        /// The term that is to be confirmed.
        term: u64,
    },
    /// Send an answer back.
    Answer {
        /// The member that asked.
        to: MemberNumber,
        /// The answer.
        answer: Answer,
    },
    /// Propose to the local consensus core, in this term; never forwarded to another.
    Propose(Command),
    /// Somebody should plan: compute a table for the present state and, if it differs, propose to
    /// begin a rebalance to it. Repeated once a lease while the reason lasts.
    Plan {
        /// What for.
        trigger: Trigger,
    },
}
