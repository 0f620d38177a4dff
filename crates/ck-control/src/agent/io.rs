//! What goes into an agent, and what comes out.

use core::time::Duration;

use ck_core::PartitionId;

use crate::{Answer, FencingToken, MemberNumber, Renewal, SessionId, State, StopMark, TransferId};

/// What happened at a node.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "an input is moved once, into the machine"
)]
pub enum AgentInput {
    /// The node has applied up to here, entry by entry or from a snapshot. A clone is cheap.
    Applied(State),
    /// An answer of the leader arrived.
    Answered(Answer),
    /// A call of the handler ended. Also given, with `false`, when it panicked.
    CallEnded {
        /// The call.
        call: CallId,
        /// Whether it succeeded.
        succeeded: bool,
    },
    /// A handler says how far its copy of a partition has come.
    Progress {
        /// The partition.
        partition: PartitionId,
        /// Units copied.
        done: u64,
        /// Units to copy; 0 while unknown.
        total: u64,
    },
    /// No proof of this token is outstanding, and its gate is shut: no effect is admitted at it.
    Drained {
        /// The token of an earlier [`AgentOutput::Shut`].
        token: FencingToken,
    },
    /// The node is about to stop: its primary roles are to be handed over first. It goes on
    /// serving; see [`is_handed_over`](crate::Agent::is_handed_over).
    Leave,
    /// The node is to stop. The agent ends its own lease at once, and for good.
    ///
    /// Give it only once everything this node has acknowledged is on its disk, and acknowledge
    /// nothing after it: the entry that follows says that the next start has everything, and it may
    /// be committed although the process has died meanwhile.
    Stop,
    /// The store keeps no mark of a clean stop any more, see [`AgentOutput::ForgetStop`].
    StopForgotten,
    /// Time has passed: call it at [`next_deadline`](crate::Agent::next_deadline).
    Tick,
}

/// One call of the handler by one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What the driver has to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentOutput {
    /// Send to whoever leads. Losing it is harmless.
    Renew(Renewal),
    /// Propose this node's registration, forwarded to the leader. Repeated until one is applied.
    Register {
        /// Its newest session, open or ended, as the registration's compare-and-set.
        previous: Option<SessionId>,
        /// The mark of a clean stop in the store.
        stopped: Option<StopMark>,
    },
    /// Take the mark of a clean stop out of the store, durably, then say
    /// [`AgentInput::StopForgotten`]: a session that may act has begun. Repeated until then.
    ForgetStop,
    /// Write into the store, durably, that this session was stopped cleanly; then propose its end,
    /// forwarded to the leader. Its lease has ended, and nothing is acknowledged any more.
    ///
    /// The mark is for a stop that cannot be committed, because a majority has stopped already: the
    /// next start gives it to [`Identity::stopped`](crate::Identity::stopped).
    StopSession {
        /// The member.
        member: MemberNumber,
        /// The session.
        session: SessionId,
    },
    /// Proofs of this token may be given from now on, while the lease lasts.
    Open {
        /// What the proofs carry.
        token: FencingToken,
    },
    /// No new proof of this token. Say [`AgentInput::Drained`] when none is outstanding.
    Shut {
        /// What the proofs carry.
        token: FencingToken,
    },
    /// Call the handler, and say [`AgentInput::CallEnded`]. Calls of one partition never overlap.
    Call {
        /// Names the call.
        id: CallId,
        /// The partition.
        partition: PartitionId,
        /// Which method, and its arguments.
        call: Call,
    },
    /// The call's result is no longer wanted: cancel it. Its end is still to be told.
    Cancel {
        /// The call.
        id: CallId,
        /// It took longer than this, so it counts as failed and is made again; absent when something
        /// else is wanted by now.
        overdue: Option<Duration>,
    },
    /// The lease has lapsed: call `lease_lost`. Nothing waits for it.
    Lapsed,
}

/// A method of the [`Handler`](crate::Handler).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `prepare`
    Prepare {
        /// The move.
        transfer: TransferId,
        /// Who to copy from.
        source: MemberNumber,
    },
    /// `catch_up`
    CatchUp {
        /// The move.
        transfer: TransferId,
        /// Who to copy from.
        source: MemberNumber,
    },
    /// `become_primary`
    BecomePrimary {
        /// What every effect carries.
        token: FencingToken,
    },
    /// `become_replica`
    BecomeReplica,
    /// `release`
    Release {
        /// The grant that is given up.
        token: FencingToken,
    },
    /// `clean_up`
    CleanUp,
}
