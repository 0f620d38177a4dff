//! What happens, and what travels.

use std::task::Waker;

use ck_control::{Answer, CallId, Command, FencingToken, Position, Renewal, Round, TransferId};
use ck_core::{Epoch, PartitionId};

use crate::clock::Instant;
use crate::log::Append;
use crate::world::place::Writes;

/// What travels.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a message travels in a box")]
pub(crate) enum Message {
    Append(Append),
    /// Entries that are the same, or from where to try again.
    Appended {
        term: u64,
        result: Result<usize, usize>,
    },
    Confirm {
        term: u64,
        round: Round,
        life: u64,
    },
    Confirmed {
        term: u64,
        round: Round,
        life: u64,
    },
    Renewal(Renewal),
    Answer(Answer),
    Propose {
        actor: String,
        command: Command,
    },
    /// Asks for a copy; with a grant, to follow its stream from here on too.
    Fetch {
        partition: PartitionId,
        call: CallId,
        life: u64,
        follow: Option<(Epoch, TransferId, Position)>,
    },
    Copy {
        partition: PartitionId,
        call: CallId,
        life: u64,
        writes: Option<Writes>,
    },
    Replicate {
        token: FencingToken,
        write: usize,
    },
    Replicated {
        token: FencingToken,
        write: usize,
    },
}

/// What happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Agent {
        place: usize,
        life: u64,
    },
    Leader {
        place: usize,
        life: u64,
    },
    Watch {
        place: usize,
    },
    Deliver {
        to: usize,
        from: usize,
        message: Box<Message>,
    },
    CallEnds {
        place: usize,
        life: u64,
        call: CallId,
        succeeded: bool,
    },
    Write {
        place: usize,
        life: u64,
    },
    Effect {
        place: usize,
        life: u64,
        token: FencingToken,
    },
    ProofEnds {
        place: usize,
        life: u64,
        token: FencingToken,
    },
    /// An effect reaches the resource.
    Resource {
        token: FencingToken,
    },
    Fault(usize),
    FaultEnds(usize, usize),
    Flap {
        place: usize,
        until: Instant,
        cut: bool,
    },
    Start {
        place: usize,
    },
    /// A time that a task of a handler waits for has come.
    Wake {
        place: usize,
        life: u64,
        waker: Waker,
    },
}

impl Event {
    /// The place that must be running for it.
    pub(super) const fn place(&self) -> Option<usize> {
        match self {
            Self::Agent { place, .. }
            | Self::Leader { place, .. }
            | Self::CallEnds { place, .. }
            | Self::Write { place, .. }
            | Self::Wake { place, .. }
            | Self::Effect { place, .. }
            | Self::ProofEnds { place, .. } => Some(*place),
            Self::Deliver { to, .. } => Some(*to),
            _ => None,
        }
    }
}
