//! Requests to other nodes, over pooled connections.

use std::time::Duration;

use bytes::Bytes;
use ck_node::MemberNumber;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::kv::Core;
use crate::record::VALUE_BYTES_MAX;
use crate::wire::{Envelope, Message, WireError, frame, unframe};

/// Largest frame between nodes: what may be under way in a partition, and some.
pub(crate) const FRAME_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX;

/// Path below which nodes speak to one another.
pub(crate) const PEER_PATH: &str = "/kv-peer/";

/// Connections at rest that are kept for each member.
const IDLE_MAX: usize = 16;

/// Time a connection has to be made.
const CONNECT: Duration = Duration::from_millis(500);

/// Time a connection at rest is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Why a member gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CourierError {
    /// It has no address, or is no member.
    #[error("member {member} has no address")]
    NoAddress { member: MemberNumber },
    /// No connection was made, so nothing was sent.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        address: String,
        source: hyper_util::client::legacy::Error,
    },
    /// It broke off.
    #[error("{address}: {source}")]
    Broken {
        address: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was silent.
    #[error("{address} was silent for {within:?}")]
    Silent { address: String, within: Duration },
    /// It refused the request as such.
    #[error("{address} answered {status}")]
    Status { address: String, status: StatusCode },
    /// Its answer is damaged.
    #[error("{address}: {source}")]
    Wire { address: String, source: WireError },
    /// Its answer is of another question.
    #[error("the answer does not fit the question")]
    Malformed,
    /// This node belongs to no cluster yet.
    #[error("the node belongs to no cluster yet")]
    NoNode,
}

impl CourierError {
    /// Whether nothing can have arrived.
    pub(crate) const fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::NoAddress { .. } | Self::NoNode | Self::Unreachable { .. }
        )
    }
}

/// Carries requests to other nodes.
pub(crate) struct Courier {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Courier {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            // What is sent may have been carried out: whoever asks decides.
            .retry_canceled_requests(false)
            .build(connector);
        Self { client }
    }

    /// Asks a member.
    pub(crate) async fn ask<M: Message>(
        &self,
        core: &Core,
        member: MemberNumber,
        content: M,
        within: Duration,
    ) -> Result<M::Reply, CourierError> {
        let node = core.node().ok_or(CourierError::NoNode)?;
        let state = node.state();
        let (genesis, me) = state
            .formed()
            .zip(node.member())
            .ok_or(CourierError::NoNode)?;
        let address = state
            .member(member)
            .map(|one| one.http_address.clone())
            .filter(|address| !address.is_empty())
            .ok_or(CourierError::NoAddress { member })?;
        let envelope = Envelope {
            cluster: genesis.cluster.0,
            from: me.0,
            to: member.0,
            content,
        };
        let uri = format!("http://{address}{PEER_PATH}{}", M::PATH);
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| CourierError::Broken {
            address: address.clone(),
            source,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .body(Full::new(frame(&envelope)))
            .map_err(|source| broken(source.into()))?;
        let (status, body) = self.exchange(request, &address, within).await?;
        if status != StatusCode::OK {
            return Err(CourierError::Status { address, status });
        }
        unframe(body).map_err(|source| CourierError::Wire { address, source })
    }

    /// One request and its whole answer.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        address: &str,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), CourierError> {
        let (head, body) = self.send(request, address, within).await?;
        Ok((head.status, body))
    }

    /// One request and its whole answer, with its head.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        address: &str,
        within: Duration,
    ) -> Result<(hyper::http::response::Parts, Bytes), CourierError> {
        let broken = |source| CourierError::Broken {
            address: address.to_owned(),
            source,
        };
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|source| {
                if source.is_connect() {
                    let address = address.to_owned();
                    return CourierError::Unreachable { address, source };
                }
                broken(source.into())
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, FRAME_BYTES_MAX).collect().await;
            Ok((head, body.map_err(broken)?.to_bytes()))
        };
        match tokio::time::timeout(within, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CourierError::Silent {
                address: address.to_owned(),
                within,
            }),
        }
    }

    /// The same over HTTP to whoever is at an address.
    pub(crate) fn uri(address: &str, path: &str) -> Result<Uri, hyper::http::uri::InvalidUri> {
        format!("http://{address}{path}").parse()
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}
