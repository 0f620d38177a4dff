//! `ck-kv` as its users see it: real processes, real disks, killed, stopped, cut from power.
#![expect(
    clippy::print_stderr,
    reason = "what a failed test's processes printed is what one looks for"
)]

mod api;
mod crash;
mod dev;
mod followed;
mod moving;
mod pause;
#[cfg(target_os = "linux")]
mod power;
mod routed;
mod support;
