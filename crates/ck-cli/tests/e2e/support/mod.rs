//! What the end-to-end tests share: processes, sockets, ports, waiting.

pub(crate) mod application;
mod cluster;
#[cfg(target_os = "linux")]
mod compiled;
pub(crate) mod go_node;
mod http;
#[cfg(target_os = "linux")]
pub(crate) mod net;
pub(crate) mod owners;
pub(crate) mod ports;
mod process;
mod terminal;
mod wait;
pub(crate) mod watch;
#[cfg(target_os = "linux")]
pub(crate) mod world;

pub(crate) use cluster::{BOUND, Cluster, Server};
#[cfg(target_os = "linux")]
pub(crate) use compiled::{compiled, preloaded};
pub(crate) use http::{Reply, answer, request, send};
pub(crate) use process::{
    Process, argument, ck, ck_by, is_alive, json, output_of, run, run_with, said,
};
pub(crate) use terminal::Terminal;
pub(crate) use wait::wait_for;
