//! Claims about the state, made through entries only.

mod custom;
mod failover;
mod form;
mod leave;
mod plan;
mod random;
mod register;
mod returning;
mod snapshot;
pub(in crate::state) mod world;
