//! Real processes, started, killed and looked at from outside.

mod cluster;
mod poll;

pub use cluster::{Cluster, Program, SERVER};
pub use poll::{Gaps, Poll, Server};
