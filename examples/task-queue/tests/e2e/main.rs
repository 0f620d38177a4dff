//! `ck-queue` as its users see it: real processes, real disks, killed, drained, started anew.
#![expect(
    clippy::print_stderr,
    reason = "what a failed test's processes printed is what one looks for"
)]

mod bad_input;
mod failures;
mod life;
mod moving;
#[cfg(unix)]
mod readme;
mod secured;
mod support;
mod waiting;
