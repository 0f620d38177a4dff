//! The embeddable node: forms or joins a cluster, keeps the table by consensus, and answers for
//! any key which partition it is in and which nodes hold it.
//!
//! What it does *not* do: decide placements (`ck-core`), decide who may act (`ck-control`), or
//! speak HTTP (`ck-http`).

pub mod config;
pub mod operation;

pub use config::{Config, ConfigError, OnFatal, PeerAddresses, Resolve, ResolveError};
pub use operation::{Itself, JoinRequest, Joined, Operation, OperationError, Outcome, PlanOutcome};
