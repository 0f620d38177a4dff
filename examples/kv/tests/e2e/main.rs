//! `ck-kv` as its users see it: real processes, real disks, killed, stopped, cut from power.
#![expect(
    clippy::print_stderr,
    reason = "what a failed test's processes printed is what one looks for"
)]

mod api;
#[cfg(target_os = "linux")]
mod clocks;
mod crash;
#[cfg(target_os = "linux")]
mod cuts;
mod dev;
#[cfg(target_os = "linux")]
mod fencing;
mod followed;
mod moving;
mod pause;
#[cfg(target_os = "linux")]
mod power;
mod routed;
mod secured;
#[cfg(target_os = "linux")]
mod stages;
mod support;
#[cfg(target_os = "linux")]
mod torn;
