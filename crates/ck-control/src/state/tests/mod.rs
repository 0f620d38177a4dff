//! Claims about the state, made through entries only.

mod custom;
mod failover;
mod figures;
mod form;
mod golden;
mod identity;
mod leave;
mod ops;
mod plan;
mod random;
mod register;
mod returning;
mod snapshot;
pub(crate) mod world;
