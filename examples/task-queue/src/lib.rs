//! A partitioned, replicated task queue on ClusterKit: leases on tasks, delivery at least once,
//! visibility time-outs, dead letters. It survives the death of a primary.
//!
//! A task is one record of [`ck_kv`], written by compare-and-set and replicated like any key's; what
//! is here is the index a primary keeps of its tasks, the leases, and the routes.
//!
//! What it does *not* do: replicate (`ck-kv`), decide who is the primary (`ck-node`), promise that a
//! task is given out once only, or keep an order across keys.
#![deny(missing_docs)]

mod bells;
mod error;
mod handler;
mod http;
mod index;
mod lease;
mod marks;
mod name;
mod record;
mod serve;
mod service;
mod shard;
mod slots;

pub use crate::service::TaskQueue;
pub use error::QueueError;
pub use name::{IDEMPOTENCY_BYTES_MAX, NameError, QUEUE_BYTES_MAX, QueueName, Receipt, TaskId};
pub use record::RecordError;
pub use serve::Args;
