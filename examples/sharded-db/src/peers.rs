//! Requests to other nodes, over connections that are kept.

use std::time::Duration;

use bytes::Bytes;
use ck_http::{HeaderMap, Method, Problem, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Time a node has for taking a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// What is sent.
pub(crate) struct Sent {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The problem that the other node answered, if it was one.
    pub(crate) fn problem(&self) -> Option<Box<Problem>> {
        if self.status.is_success() {
            return None;
        }
        serde_json::from_slice(&self.body).ok()
    }
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// No connection: nothing was sent.
    #[error("{address} cannot be reached: {reason}")]
    NotSent {
        /// Where to.
        address: String,
        /// Why.
        reason: String,
    },
    /// It may have been carried out.
    #[error("{address} gave no whole answer: {reason}")]
    Broken {
        /// Where to.
        address: String,
        /// Why.
        reason: String,
    },
}

/// The client of one node. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Peers(Client<HttpConnector, Full<Bytes>>);

impl Peers {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(16)
            .build(connector);
        Self(client)
    }

    /// Sends a request to `address` and reads the whole answer within `time`.
    pub(crate) async fn send(
        &self,
        address: &str,
        sent: Sent,
        time: Duration,
    ) -> Result<Received, PeerError> {
        let not_sent = |reason: String| PeerError::NotSent {
            address: address.to_owned(),
            reason,
        };
        let broken = |reason: String| PeerError::Broken {
            address: address.to_owned(),
            reason,
        };
        let mut request = Request::builder()
            .method(sent.method)
            .uri(format!("http://{address}{}", sent.target));
        for (name, value) in sent.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(sent.body))
            .map_err(|error| not_sent(error.to_string()))?;
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| {
                let reason = innermost(&error);
                if error.is_connect() {
                    not_sent(reason)
                } else {
                    broken(reason)
                }
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| broken(error.to_string()))?.to_bytes();
            Ok(Received {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        match tokio::time::timeout(time, exchange).await {
            Ok(received) => received,
            Err(_) => Err(broken(format!("nothing within {time:?}"))),
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
