//! `ck-kv` as its users see it: real processes, real disks, killed, stopped, cut from power.

mod api;
mod crash;
mod moving;
mod pause;
#[cfg(target_os = "linux")]
mod power;
mod support;
