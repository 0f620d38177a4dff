//! Who may act on a partition, and when that changes.
//!
//! The replicated half of the control plane: one [`State`], changed only by applying the entries
//! of a replicated log in order. [`State::apply`] is a pure function of the state and the entry, so
//! every node that applied the same entries holds the same state, byte for byte.
//!
//! The crate is `no_std` with `alloc`; it reads no clock, draws no random number, uses no floating
//! point and never iterates in hash order. Times in commands are stamped by the proposer and are
//! for people only: no decision depends on them.
//!
//! What it does *not* do: replicate the log (that is `ck-node`), carry bytes (`ck-transport`),
//! compute a placement (`ck-core`), or run the application's [`Handler`].
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
pub mod handler;
pub mod id;
pub mod state;
pub mod token;

pub use config::{
    Config, ConfigChange, ConfigChoices, ConfigError, Conflict, LeaseTerms, Mode, Profile,
};
pub use handler::{BoxFuture, Copying, Handler, HandlerContext, HandlerError, NoHandler};
pub use id::{
    ClusterId, Generation, Incarnation, MemberNumber, Nonce, OfficeId, Position, SessionId,
    StoreId, SwitchId, TransferId, UuidError,
};
pub use state::{
    Applied, Brake, COMMAND_VERSION, ChangeReason, Command, Custom, EndReason, Entry, Event,
    EventKind, Founder, Genesis, Halt, HistoryEntry, Holder, InvariantError, Member, MemberChange,
    Office, PartitionControl, PartitionState, Party, PastLease, Proposal, Raise, Rebalance,
    Registration, Rejection, SNAPSHOT_FORMAT, Session, Snapshot, SnapshotError, Stage, State,
    Transfer, Trigger,
};
pub use token::{Fence, FenceError, FencingToken, TokenError};
