//! Load on a key-value service, and what came of it: latencies, throughput over time, and a history
//! that `ck check` reads.
//!
//! A [`Plan`] says what to do; [`run`] does it and gives a [`Summary`]. Each client has one request
//! under way at a time. In a closed loop it sends the next when the last is answered; at a rate
//! ([`Plan::rate`]) operations are due at fixed times, and latency counts from then, so that a service that
//! stalls is not asked less gently than it was meant to be (no coordinated omission).
//!
//! What it does *not* do: pipeline, repeat an operation, or judge what it saw. The torture
//! run judges ([`torture`]).
#![deny(missing_docs)]

mod access;
mod answer;
mod client;
mod connection;
mod drive;
mod keys;
mod measure;
mod pace;
mod plan;
mod plot;
mod protocol;
mod recorder;
mod report;
mod route;
pub mod torture;
mod values;

pub use access::Access;
pub use answer::{Answer, Condition, Request};
pub use drive::{LoadError, Progress, Setting, Summary, run};
pub use keys::{Distribution, DistributionError, Keys};
pub use measure::{Latency, Mark, Measured};
pub use plan::{Mix, MixError, Plan, PlanError};
pub use plot::plot;
pub use protocol::{Consistency, ConsistencyError, Protocol};
pub use recorder::{Clock, Recorder, RecorderError};
pub use report::{Kind, Report};
pub use route::{Partitions, Server, Spread, Way};
pub use values::Values;
