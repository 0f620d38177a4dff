//! The embeddable node: forms or joins a cluster, keeps the table by consensus, and answers for
//! any key which partition it is in and which nodes hold it.
//!
//! A service needs this crate alone to look keys up, act, and take part in handoffs: what of
//! `ck-core` and `ck-control` it meets is exported here as well.
//!
//! What it does *not* do: decide placements (`ck-core`), decide who may act (`ck-control`), or
//! speak HTTP (`ck-http`).

mod admission;
mod attempts;
pub mod backup;
mod clock;
mod codec;
pub mod config;
mod consensus;
mod control;
mod driver;
pub mod events;
mod execute;
mod forming;
mod handle;
mod incarnation;
mod node;
pub mod offline;
pub mod operation;
mod ownership;
mod planning;
mod published;
mod relay;
mod removal;
mod reports;
mod secret;
mod senders;
mod service;
mod shared;
pub mod status;
mod store;
mod upkeep;
mod wire;

pub use backup::{Backup, BackupError};
pub use clock::{BootClock, Clock};
pub use codec::CodecError;
pub use config::{Config, ConfigError, OnFatal, PeerAddresses, Resolve, ResolveError};
pub use consensus::ConsensusError;
pub use driver::NodeError;
pub use events::{Changes, Event, EventKind, Events, Next};
pub use forming::FormingError;
pub use handle::{Distribution, Ended, Handle, Partition};
pub use node::{Bind, Bound, Node, StartError};
pub use operation::{Itself, JoinRequest, Joined, Operation, OperationError, Outcome, PlanOutcome};
pub use ownership::{HeldProof, NotOwner, Owned, Ownership, Proof};
pub use published::{Published, Reader};
pub use reports::HandlerReport;
pub use secret::{Secret, Secrets};
pub use status::{NodeStatus, Phase, Role};
pub use store::StoreError;

// How it proves to its peers which node it is.
#[doc(no_inline)]
pub use ck_transport::{PeerFiles, PeerTls, TlsError};
// Where data goes.
#[doc(no_inline)]
pub use ck_core::{Domain, Epoch, KeyHash, NodeId, PartitionId, Row, Table, Version};
// What an application implements, and is given.
#[doc(no_inline)]
pub use ck_control::{
    BoxFuture, Copying, Handler, HandlerContext, HandlerError, NoHandler, TransferId,
};
// Tokens, and what a resource keeps to refuse old ones.
#[doc(no_inline)]
pub use ck_control::{Fence, FenceError, FencingToken, Incarnation, TokenError};
// The replicated state, as far as an application looks into it.
#[doc(no_inline)]
pub use ck_control::{
    ClusterId, ConfigChange, ConfigChoices, Generation, Holder, InSyncChange, Member, MemberChange,
    MemberNumber, Mode, MoveRejection, PartitionControl, PartitionState, Party, Position, Profile,
    Rejection, SessionId, Stage, State, Transfer,
};
