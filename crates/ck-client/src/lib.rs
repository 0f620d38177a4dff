//! Asks a cluster over HTTP.
//!
//! A [`Client`] knows several servers of one cluster. It stays with the one that answered last,
//! goes on to the next when that one does not, keeps a deadline, and gives typed answers.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ck_client::{Client, ClientConfig};
//! let client = Client::new(ClientConfig::new(["127.0.0.1:8080", "127.0.0.1:8081"]))?;
//! let partition = client.partition_for_key(b"user:1001").await?;
//! println!("{} is written at {}", partition.id, partition.primary_address);
//! # Ok(()) }
//! ```
//!
//! A [`Router`] keeps the cluster's table near, told of each change by a server it follows: look-ups
//! are answered locally, and requests of a data plane go to the primary of their key, wherever it
//! moves. It goes by the last table when no server is left.
//!
//! A [`Courier`] asks servers by their address, for whoever knows it: the nodes of a service one another.
//!
//! What it does *not* do: trust an authority it was not given, repeat a change that may have taken effect.
#![deny(missing_docs)]

mod attempt;
mod client;
mod config;
mod connect;
mod courier;
mod encode;
mod error;
mod events;
mod operate;
mod ownership;
mod read;
mod router;
#[cfg(test)]
mod tests;
mod token;
mod watch;

pub use client::Client;
pub use config::{ClientConfig, ConfigError, SERVERS_MAX};
pub use courier::{Courier, CourierConfig, CourierError};
pub use error::ClientError;
pub use operate::Created;
pub use ownership::{NodeOrder, PlanOrder};
pub use read::{CustomValue, PartitionQuery, Readiness};
pub use router::{
    Repeat, Route, RouteNode, RouteReader, Router, RouterConfig, RouterFigures, RouterStatus,
    SendError,
};
pub use token::{TokenFileError, read_token, read_tokens};
pub use watch::{Watch, WatchEvent};

#[doc(no_inline)]
pub use ck_tls::{ClientTls, TlsError};

/// The types that requests of a data plane are made of, and answers.
pub mod http {
    #[doc(no_inline)]
    pub use bytes::Bytes;
    #[doc(no_inline)]
    pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};
}
