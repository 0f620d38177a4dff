//! Requests to other nodes, over pooled connections.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Largest answer that is read: as many payloads as one lease gives, in base64, and some.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Connections at rest that are kept for each node.
const IDLE_MAX: usize = 64;

/// Time a connection has to be made.
const CONNECT: Duration = Duration::from_millis(500);

/// Time a connection at rest is kept; shorter than the other side keeps it.
const IDLE: Duration = Duration::from_secs(30);

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CourierError {
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
}

impl CourierError {
    /// Whether nothing can have arrived.
    pub(crate) const fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
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
            // Only what was not begun to be written is sent anew by itself: a connection at rest that
            // the other side has just closed.
            .retry_canceled_requests(true)
            .build(connector);
        Self { client }
    }

    /// One request to `address` and its whole answer. Dropping the future breaks it off.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        address: &str,
        within: Duration,
    ) -> Result<Response<Bytes>, CourierError> {
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
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok(Response::from_parts(head, body.map_err(broken)?.to_bytes()))
        };
        match tokio::time::timeout(within, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CourierError::Silent {
                address: address.to_owned(),
                within,
            }),
        }
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}
