//! The surface over real sockets, on a backend whose state is real.

mod application;
mod bad_input;
mod client;
mod depth;
mod events;
mod figures;
mod fixtures;
mod framing;
mod given;
mod guide;
mod limits;
mod look;
mod openapi;
mod operate;
mod orders;
mod owner;
mod ownership;
mod plans;
mod questions;
mod redirects;
mod routes;
mod support;
mod table;
mod tls;
mod tokens;
mod watch;
