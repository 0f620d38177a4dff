//! What the benches share: inputs, and the reporter of ratios.
//!
//! A figure in nanoseconds belongs to one machine on one day, so no promise is made in them. A
//! promise is a *ratio* of two things measured in the same run, in turns, so that both meet the
//! same noise; [`ratio::Report`] does that, and fails the run when a promise is broken.
//!
//! One bench is one file beside `Cargo.toml`, each with its own `main`.

pub mod input;
pub mod processes;
pub mod ratio;
