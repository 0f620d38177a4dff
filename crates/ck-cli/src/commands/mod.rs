//! One module a command, or a few that belong together.

pub(crate) mod backup;
pub(crate) mod cert;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod custom;
pub(crate) mod dev;
pub(crate) mod drain;
pub(crate) mod key;
pub(crate) mod migrate;
mod moves;
pub(crate) mod nodes;
mod online;
pub(crate) mod own;
pub(crate) mod partitions;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod plans;
pub(crate) mod questions;
pub(crate) mod recover;
pub(crate) mod remove;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod steer;
mod waiting;
pub(crate) mod watch;
pub(crate) mod what_if;

pub(crate) use online::operate;
