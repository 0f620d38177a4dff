//! The HTTP surface of a node.
//!
//! A [`Surface`] answers requests over a [`Backend`], which a node's handle is. A [`Server`] serves
//! it on an address of its own, with limits on everything one caller may use up; a service that
//! has a server already mounts [`Surface::handle`] beside its own routes.
//!
//! Everything lives under `/v1`; the paths that clients of the Go library call are served without
//! the prefix as well, under their old field names. [`routes`] lists them all. Errors are
//! `application/problem+json` with a stable code.
//!
//! What it does *not* do: decide anything (the node does), speak TLS or HTTP/2, allow requests
//! from pages of other origins.
#![deny(missing_docs)]

mod backend;
mod body;
mod config;
mod connection;
#[cfg(feature = "fake")]
pub mod fake;
mod guard;
mod handlers;
mod moving;
mod node;
mod orders;
mod plans;
mod query;
mod refusal;
mod render;
mod reply;
mod route;
mod server;
mod stream;
mod surface;
mod time;
mod view;

pub use backend::{Backend, BoxFuture, Observed};
pub use config::{Limits, LimitsError, SurfaceConfig, loopback_hosts};
pub use orders::{OrderError, Orders};
pub use reply::Reply;
pub use route::{RouteInfo, routes};
pub use server::{BindError, Server};
pub use stream::ReplyBody;
pub use surface::Surface;
