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
//! Beside the state stand the two machines that decide, sans-IO: inputs and a clock reading in,
//! outputs and a next deadline out, nothing but plain data.
//!
//! - [`Agent`], one for each process of a node: its session, its lease, the gate of each partition,
//!   the calls of the handler, acknowledgements. `Agent::new(identity, limits, bugs)`, `handle(AgentInput,
//!   now)`, `poll_output() -> Option<AgentOutput>`, `next_deadline() -> Time`; `owns(partition,
//!   now)` and `check(token, now)` answer whether an effect may begin.
//! - [`Leader`], one for each process, leading or not: office, renewals and the confirmations that
//!   cover them, expiry, moves. `Leader::new(member, nonce, pace, bugs)`, `handle(LeaderInput,
//!   now)`, `poll_output() -> Option<LeaderOutput>`, `next_deadline() -> Option<Time>`.
//!
//! A driver gives every newly applied [`State`] to both (a clone is cheap), carries
//! [`Renewal`]s to whoever leads and [`Answer`]s back, and proposes what comes out: a leader's
//! proposals to the local consensus core only, an agent's forwarded to the leader. After a restart
//! both are made anew and fed the state restored; nothing of them is persisted.
//!
//! What it does *not* do: replicate the log (that is `ck-node`), carry bytes (`ck-transport`),
//! compute a placement (`ck-core`), or run the application's [`Handler`].
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod agent;
mod bugs;
pub mod config;
pub mod controller;
pub mod handler;
pub mod id;
pub mod session;
pub mod state;
#[cfg(test)]
mod tests;
mod time;
pub mod token;

pub use agent::{Agent, AgentInput, AgentOutput, Call, CallId, HandlerLimits, Identity};
pub use bugs::{Bug, Bugs};
pub use config::{
    Config, ConfigChange, ConfigChoices, ConfigError, Conflict, LeaseTerms, Mode, Profile,
};
pub use controller::{Leader, LeaderInput, LeaderOutput, Pace, Round};
pub use handler::{BoxFuture, Copying, Handler, HandlerContext, HandlerError, NoHandler};
pub use id::{
    ClusterId, Generation, Home, Incarnation, MemberNumber, Nonce, OfficeId, Position, SessionId,
    StoreId, SwitchId, TransferId, UuidError,
};
pub use session::{Answer, REPORTS_MAX, Release, Renewal, Report};
pub use state::{
    Applied, Brake, COMMAND_VERSION, ChangeReason, Command, Custom, EndReason, Entry, Event,
    EventKind, Founder, Genesis, HOMES_MAX, Halt, HistoryEntry, Holder, InSyncChange,
    InvariantError, Member, MemberChange, Move, MoveRejection, NewIncarnation, Office,
    PartitionControl, PartitionState, Party, PastLease, Proposal, Raise, Rebalance,
    RebalanceCommand, Registration, Rejection, SNAPSHOT_FORMAT, Session, Snapshot, SnapshotError,
    Stage, State, StopMark, Transfer, TransferCommand, Trigger,
};
pub use state::{
    CopyView, Explained, Finding, MayStop, MoveView, Obstacle, PlanView, StopHazard, WaitsFor,
};
pub use time::Time;
pub use token::{Fence, FenceError, FencingToken, TokenError};
