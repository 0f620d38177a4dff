//! The HTTP surface of a node.
//!
//! A [`Surface`] answers requests over a [`Backend`], which a node's handle is. A [`Server`] serves
//! it on an address of its own, with limits on everything one caller may use up; a service that
//! has a server already mounts [`Surface::handle`] beside its own routes.
//!
//! Everything lives under `/v1`; the paths that clients of the Go library call are served without
//! the prefix as well, under their old field names. [`routes`] lists them all. Errors are
//! `application/problem+json` with a stable code. The dashboard is at `/ui`.
//!
//! An application's own routes are served beside these, under the same limits: [`Routes`]. A data
//! plane answers who is not the owner with [`admit`].
//!
//! What it does *not* do: decide anything (the node does), speak HTTP/2, allow requests from pages of
//! other origins.
#![deny(missing_docs)]

mod access;
mod answered;
mod backend;
mod body;
mod callers;
mod config;
mod connection;
mod counters;
mod failovers;
#[cfg(feature = "fake")]
pub mod fake;
mod frames;
mod guard;
mod handlers;
mod moving;
mod node;
#[cfg(feature = "schema")]
pub mod openapi;
mod orders;
mod owner;
mod plans;
mod query;
mod redirect;
mod refusal;
mod render;
mod reply;
mod route;
mod routes;
mod server;
mod spans;
mod stream;
mod surface;
mod table;
mod time;
mod ui;
mod view;

pub use access::AcceptedTokens;
pub use backend::{Backend, BoxFuture, Follow, Observed};
pub use body::read_body;
pub use callers::calling_node;
pub use config::{Limits, LimitsError, SurfaceConfig, loopback_hosts};
pub use orders::{OrderError, Orders};
pub use owner::{admit, fence, not_owner, partition_of};
pub use reply::{Reply, json_reply, problem};
pub use route::{RouteInfo, routes};
pub use routes::Routes;
pub use server::{BindError, Server};
pub use spans::{REQUEST_SPANS, TraceParent};
pub use stream::ReplyBody;
pub use surface::Surface;

// What an application's routes are written with, so that they need no crate beside this one.
#[doc(no_inline)]
pub use bytes::Bytes;
#[doc(no_inline)]
pub use ck_api::{Code, Newest, Problem, Role};
#[doc(no_inline)]
pub use ck_tls::{ServerFiles, ServerTls};
#[doc(no_inline)]
pub use hyper::http::{Error as HttpError, request::Parts};
#[doc(no_inline)]
pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header};
