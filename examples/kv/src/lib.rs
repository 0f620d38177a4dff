//! A durable, replicated key-value store on ClusterKit: small enough to be read, whole enough to
//! start from.
//!
//! Where to start reading:
//!
//! | to see | start at |
//! | --- | --- |
//! | a write at the primary | `ops.rs`, then `part/serving.rs` |
//! | what a copy takes, and what it refuses | `store/batch.rs`, `store/meta.rs` |
//! | records on their way to the replicas | `peer/mod.rs` |
//! | a new primary before it serves | `reconcile.rs` |
//! | a copy being made | `copying.rs` |
//! | what the node asks for | `handler.rs` |
//! | the routes | `http/mod.rs` |
//!
//! # The invariant
//!
//! *Copies in sync hold prefixes of one line of records. No record of a grant exists before all
//! copies in sync have seen that grant and stand at the same record.*
//!
//! From it follows that what was acknowledged is on every copy that can become the primary's. It is
//! kept by four rules: a copy takes a record only if it follows on its last one and carries no older
//! grant than it has seen; a primary acknowledges once every copy in sync, and every copy about to
//! be, has the record on its disk; nobody leaves that set but by the cluster's word, which comes
//! first; and a new primary brings all of them to one record before its first. So does one that
//! serves anew at its epoch, which first takes out whoever attached before and is not in sync yet.
//!
//! What it does *not* do: transactions over keys, ranges, time-outs of keys, or backups.
mod answer;
mod copying;
mod dev;
mod embed;
mod error;
mod exclude;
mod handler;
mod http;
mod kv;
mod ops;
mod pace;
mod part;
mod peer;
mod planted;
mod reconcile;
mod record;
mod serve;
mod stamp;
mod store;
mod wire;

pub use dev::{Dev, DevError, run as dev};
pub use embed::{EmbedError, Marked, Page, Scanned};
pub use error::{Interruption, KvError};
pub use kv::{EXIT_FATAL, Kv, KvConfig, Replication};
pub use ops::{Condition, Consistency};
pub use record::{Effect, Entry, KEY_BYTES_MAX, Record, Trace, VALUE_BYTES_MAX};
pub use serve::Args;
pub use stamp::{Grant, Stamp};
pub use store::{Admitted, Mark, MarkedBy, Permit, StoreError};
pub use wire::WireError;
