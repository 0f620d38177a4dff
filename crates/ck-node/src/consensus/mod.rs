//! Consensus inside the nodes. The only module that names the library it is built on.
//!
//! Everything else sees [`Substrate`]: propose an entry, confirm that one still leads, watch, and
//! change the members.

#![expect(
    clippy::result_large_err,
    reason = "the errors of storage traits are the library's, and large"
)]

mod anew;
mod log_store;
mod machine;
mod network;
mod raft;
mod serve;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod ties;
mod types;

pub(crate) use anew::{ReadBack, awaited, begun, read_back};
pub(crate) use log_store::resign;
pub use raft::ConsensusError;
pub(crate) use raft::{Consensus, Start};
pub use status::Role;
pub(crate) use status::SubstrateStatus;

use std::collections::BTreeSet;

use ck_control::{MemberNumber, Position, Proposal, Rejection};
use ck_core::Version;
use ck_transport::BoxFuture;
use tokio::sync::watch;

/// A replicated log with one leader.
///
/// Entries are applied on every member in one order; an entry whose proposal succeeded is applied
/// here, and on a majority of disks. Nothing is retried by itself. Dropping a future leaves an
/// entry that was already proposed to be committed or not.
pub(crate) trait Substrate: Send + Sync + 'static {
    /// Puts an entry into the log, and waits until it is applied here. Only on the leader.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>>;

    /// Asks a majority whether this node still leads. The question goes out after the call, so an
    /// answer speaks of a moment after it.
    fn confirm_leadership(&self) -> BoxFuture<'_, Result<Confirmed, ProposeError>>;

    /// The newest status, and a way to wait for the next.
    fn watch(&self) -> watch::Receiver<SubstrateStatus>;

    /// Makes the members what `change` says, and waits until that is committed. Only on the leader.
    fn change_members(&self, change: MemberChange) -> BoxFuture<'_, Result<(), ProposeError>>;
}

/// One step in changing who belongs to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// Sends the log to one more member, which does not vote.
    AddLearner {
        member: MemberNumber,
        address: String,
    },
    /// Lets exactly these vote; each must receive the log already.
    Voters(BTreeSet<MemberNumber>),
    /// Stops sending the log to a member that does not vote.
    Remove(MemberNumber),
}

/// A majority's word that this node led, at some moment after it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The term it led in.
    pub(crate) term: u64,
    /// Everything committed before that moment is at or before this position.
    pub(crate) position: Position,
}

/// What came of an entry that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) position: u64,
    /// The version after it, or why the state refused it.
    pub(crate) result: Result<Version, Rejection>,
}

/// Why an entry is not known to be in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposeError {
    /// This node does not lead; nothing was proposed.
    #[error("this node does not lead")]
    NotLeader { leader: Option<MemberNumber> },
    /// Leadership was lost, or no majority answered in time: the entry may yet be committed.
    #[error("no majority answered: {reason}")]
    Unknown { reason: String },
    /// The core has failed.
    #[error("consensus has failed: {reason}")]
    Fatal { reason: String },
}
