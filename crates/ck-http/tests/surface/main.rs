//! The surface over real sockets, on a backend whose state is real.

mod application;
mod bad_input;
mod client;
mod events;
mod figures;
mod fixtures;
mod given;
mod guide;
mod limits;
mod look;
mod operate;
mod orders;
mod owner;
mod ownership;
mod plans;
mod questions;
mod routes;
mod support;
mod table;
mod tls;
mod tokens;
mod watch;
