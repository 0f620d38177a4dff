//! Peers' bytes: requests with deadlines and streamed bodies between the nodes of a cluster.
//!
//! A [`Transport`] carries [`Request`]s to an [`Address`] and hands those of peers to a
//! [`Service`]. [`TcpTransport`] does so over sockets, [`MemoryNetwork`] inside one process with
//! faults drawn from a seed. Payloads are opaque: this crate knows nothing of partitions, of
//! consensus, or of who may do what.
//!
//! # Contract
//! - **Ordering**: none across requests, even between the same two peers. The chunks of one body
//!   arrive in order, without gaps and without repetition.
//! - **Durability**: none. An answer means that the service answered.
//! - **Delivery**: a request is handed to the service at most once by [`TcpTransport`]. The
//!   in-memory network can be told to duplicate requests, so that services can be tried against it.
//! - **Retry**: none. A call that finds its pooled connection closed before its request was written
//!   dials once more; a request that may have run is never repeated.
//! - **Deadline**: it travels with the request; the other end drops what has expired.
//! - **Cancellation**: dropping a call frees its slot, drops the handler at the other end, and a
//!   late answer is discarded. Dropping a body tells its sender to stop.
//! - **Bounds**: payloads, calls, connections, queues and bytes held are bounded ([`Limits`]).
//!   What exceeds a bound is refused at once with [`TransportError::Busy`] or
//!   [`TransportError::FrameTooLarge`]; it does not wait in a queue without end.
//! - **Isolation**: a slow handler, reader or body delays no other request.
//! - **Identity**: both ends say who they are when they connect. Two different clusters do not
//!   talk; a node that has none yet talks to anyone. Over TCP with certificates
//!   ([`TcpConfig::tls`]) the node id is proved at both ends, and whoever says another is refused.

mod body;
mod closing;
mod codec;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod limits;
mod memory;
mod message;
mod peer;
mod serve;
mod tcp;

pub use body::{Body, BodyWriter};
pub use ck_tls::{PeerFiles, PeerTls, TlsError};
pub use error::{TransportError, WireError};
pub use limits::{BODY_WINDOW, CHUNK_BYTES_MAX, DEADLINE_MAX, Limits};
pub use memory::{Faults, MemoryNetwork, MemoryTransport};
pub use message::{BoxFuture, Reply, Request, Service, ServiceError, Transport};
pub use peer::{Address, ClusterId, PeerId};
pub use tcp::{TcpConfig, TcpTransport};
