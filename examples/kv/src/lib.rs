//! A durable, replicated key-value store on ClusterKit, small enough to be read, whole enough to
//! start from.
mod answer;
mod copying;
mod embed;
mod error;
mod exclude;
mod handler;
mod http;
mod kv;
mod ops;
mod part;
mod peer;
mod planted;
mod reconcile;
mod record;
mod serve;
mod stamp;
mod store;
mod wire;

pub use embed::{EmbedError, Page, Scanned};
pub use error::{Interruption, KvError};
pub use kv::{EXIT_FATAL, Kv, KvConfig, Replication};
pub use ops::{Condition, Consistency};
pub use record::{Effect, Entry, KEY_BYTES_MAX, Record, Trace, VALUE_BYTES_MAX};
pub use serve::{Args, Service};
pub use stamp::{Grant, Stamp};
pub use store::{Admitted, Permit, StoreError};
pub use wire::WireError;
