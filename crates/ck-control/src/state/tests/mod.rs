//! Claims about the state, made through entries only.

mod anew;
mod custom;
mod failover;
mod figures;
mod form;
mod golden;
mod golden_moves;
mod identity;
mod leases;
mod leave;
mod ops;
mod plan;
mod planned;
mod random;
mod random_moves;
mod register;
mod returning;
mod shrinking;
mod snapshot;
mod transfer;
pub(crate) mod world;
