//! The production protocol under virtual time: a seed in, a verdict out.
//!
//! A run links the same `ck-control` that nodes link, gives it clocks that run fast and slow, a
//! network that loses, delays, doubles, reorders and cuts, processes that crash, stop and stand
//! still, and a model application whose resource checks tokens. What nodes promise is asserted from
//! outside, by [`invariants`].
//!
//! It holds no protocol logic, and it simulates no consensus algorithm: the log is a
//! synchronous stand-in, with elections, leaders that do not know that they are none any more, and
//! uncommitted tails.

pub mod clock;
pub mod coverage;
pub mod fault;
pub mod harness;
pub mod history;
pub mod invariants;
mod log;
pub mod network;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod queue;
pub mod random;
pub mod run;
pub mod shrink;
pub mod world;

pub use coverage::Coverage;
pub use fault::{Act, Fault};
pub use harness::Simulation;
pub use run::{Verdict, run_seed};
pub use shrink::{Script, run_script, shrink};
