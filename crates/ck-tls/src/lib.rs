//! TLS for the servers, clients and peers of a cluster.
//!
//! [`ServerTls`] is what a server shows, [`ClientTls`] whom a client trusts, and [`PeerTls`] both at
//! once, for nodes that talk to one another: each proves by its certificate which node it is. Files
//! are PEM, and may be read again while connections are open: those that follow use what was read
//! last.
//!
//! Cryptography is ring's, under rustls. This is the one crate that says so.
//!
//! What it does *not* do: serve, dial, decide how long a handshake may take, or trust an authority
//! that it was not given. A certificate that was revoked is good until it expires: keep them short,
//! or replace the authority.
#![deny(missing_docs)]

mod client;
mod error;
mod files;
#[cfg(feature = "issue")]
pub mod issue;
mod name;
mod peer;
mod server;

pub use client::{ClientStream, ClientTls};
pub use error::TlsError;
pub use name::{PEER_NAME, node_uri};
pub use peer::{PeerFiles, PeerStream, PeerTls};
pub use server::{Caller, ServerFiles, ServerStream, ServerTls};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
