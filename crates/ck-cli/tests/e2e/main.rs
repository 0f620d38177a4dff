//! `ck` as its users meet it: real processes, sockets and files.
//!
//! One test program, so that it is linked once. Nothing here sleeps to win a race: waiting is
//! asking again until it holds, with a bound.
#![expect(
    clippy::print_stderr,
    reason = "a failing test shows what the processes printed"
)]

#[cfg(target_os = "linux")]
mod abuse;
mod backup;
mod check;
mod clocks;
mod commands;
mod completions;
mod crash;
mod dev;
mod drain;
mod failover;
mod faults;
mod forming;
mod guides;
mod handler_faults;
mod limits;
mod live;
mod logs;
mod migrate;
mod network;
mod ownership;
mod place;
mod power;
mod recover;
mod routes;
mod security;
mod seed_faults;
mod stopping;
mod store;
mod support;
mod what_if;
