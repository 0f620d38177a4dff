//! Requests to servers that are known by their address, over connections that are kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use ck_api::Token;
use ck_tls::ClientTls;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::attempt::innermost;
use crate::client::authorization;
use crate::connect::{Connector, connector};

/// How a [`Courier`] keeps its connections, and how much it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierConfig {
    /// Time one connection attempt may take, its handshake included. Default 500 ms.
    pub connect_timeout: Duration,
    /// Connections that are kept open to a server while nothing is under way on them. Default 64.
    pub idle_connections_max: usize,
    /// Time such a connection is kept. Default 30 s: shorter than a server keeps it.
    pub idle_timeout: Duration,
    /// Most bytes of an answer that are read. Default 16 MiB.
    pub answer_bytes_max: usize,
}

impl Default for CourierConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(500),
            idle_connections_max: 64,
            idle_timeout: Duration::from_secs(30),
            answer_bytes_max: 16 << 20,
        }
    }
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CourierError {
    /// What was to be sent makes no request.
    #[error("{address} cannot be asked: {reason}")]
    Request {
        /// Where to.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// No connection was made, so nothing was sent.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Where to.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// It broke off. What was asked for may have been carried out.
    #[error("{address} gave no whole answer: {reason}")]
    Broken {
        /// Where to.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// It was silent. What was asked for may have been carried out.
    #[error("{address} was silent for {within:?}")]
    Silent {
        /// Where to.
        address: String,
        /// The time it had.
        within: Duration,
    },
    /// Its answer is longer than is read. What was asked for may have been carried out.
    #[error("{address} answers with more than {limit} bytes")]
    TooLong {
        /// Where to.
        address: String,
        /// The most that is read, in bytes.
        limit: usize,
    },
}

impl CourierError {
    /// Whether nothing can have arrived.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::Request { .. } | Self::Unreachable { .. })
    }
}

/// Carries requests to servers whose addresses its caller knows: other nodes, for a service that asks
/// them. It follows nothing and repeats nothing that may have arrived.
///
/// Cheap to clone; clones share connections, and whom to trust and what to show, which may be replaced
/// while requests are under way.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use ck_client::http::Request;
/// use ck_client::{Courier, CourierConfig};
/// let courier = Courier::new(CourierConfig::default());
/// let request = Request::get("/digest/partition-3").body(Default::default())?;
/// let answer = courier.send("127.0.0.1:8081", request, Duration::from_secs(1)).await?;
/// println!("{}: {} bytes", answer.status(), answer.body().len());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Courier {
    shared: Arc<Shared>,
    answer_bytes_max: usize,
}

struct Shared {
    config: CourierConfig,
    now: ArcSwap<Way>,
}

/// How servers are asked at present.
#[derive(Clone)]
struct Way {
    scheme: Scheme,
    http: Client<Connector, Full<Bytes>>,
    authorization: Option<HeaderValue>,
}

impl Courier {
    /// One that encrypts nothing and shows no token.
    #[must_use]
    pub fn new(config: CourierConfig) -> Self {
        let way = Way {
            scheme: Scheme::HTTP,
            http: client(&config, None),
            authorization: None,
        };
        Self {
            answer_bytes_max: config.answer_bytes_max,
            shared: Arc::new(Shared {
                config,
                now: ArcSwap::from_pointee(way),
            }),
        }
    }

    /// The same, which reads answers of as many bytes instead.
    #[must_use]
    pub fn with_answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    /// Shows that token from now on, in every clone.
    pub fn show(&self, token: &Token) {
        let shown = authorization(token);
        self.shared.now.rcu(|way| Way {
            authorization: Some(shown.clone()),
            ..Way::clone(way)
        });
    }

    /// Speaks TLS from now on, in every clone. Connections made before are used no more.
    pub fn encrypt(&self, tls: &ClientTls) {
        let http = client(&self.shared.config, Some(tls));
        self.shared.now.rcu(|way| Way {
            scheme: Scheme::HTTPS,
            http: http.clone(),
            ..Way::clone(way)
        });
    }

    /// One request to `address`, `host:port`, and its whole answer, whatever its status, within that
    /// time. Path and query of the URI are sent, whatever else it names. Dropping the future breaks it
    /// off.
    ///
    /// A connection at rest that the other side has just closed is replaced by another one; beyond that
    /// nothing is sent twice.
    ///
    /// # Errors
    /// [`CourierError`], which knows whether anything can have arrived.
    pub async fn send(
        &self,
        address: &str,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Bytes>, CourierError> {
        let way = self.shared.now.load_full();
        let request = addressed(address, &way, request).map_err(|error| CourierError::Request {
            address: address.to_owned(),
            reason: error.to_string(),
        })?;
        match tokio::time::timeout(within, self.exchange(address, &way, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(CourierError::Silent {
                address: address.to_owned(),
                within,
            }),
        }
    }

    async fn exchange(
        &self,
        address: &str,
        way: &Way,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, CourierError> {
        let response = way.http.request(request).await.map_err(|error| {
            let (address, reason) = (address.to_owned(), innermost(&error));
            if error.is_connect() {
                CourierError::Unreachable { address, reason }
            } else {
                CourierError::Broken { address, reason }
            }
        })?;
        let (head, body) = response.into_parts();
        let limit = self.answer_bytes_max;
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|error| {
            let address = address.to_owned();
            if error.is::<LengthLimitError>() {
                return CourierError::TooLong { address, limit };
            }
            let reason = innermost(&*error);
            CourierError::Broken { address, reason }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

impl Default for Courier {
    fn default() -> Self {
        Self::new(CourierConfig::default())
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier")
            .field("scheme", &self.shared.now.load().scheme)
            .finish_non_exhaustive()
    }
}

fn client(config: &CourierConfig, tls: Option<&ClientTls>) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.idle_timeout)
        .pool_max_idle_per_host(config.idle_connections_max)
        .build(connector(config.connect_timeout, tls))
}

fn addressed(
    address: &str,
    way: &Way,
    request: Request<Bytes>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let (mut head, body) = request.into_parts();
    let mut uri = head.uri.into_parts();
    uri.scheme = Some(way.scheme.clone());
    uri.authority = Some(address.parse::<Authority>()?);
    head.uri = Uri::from_parts(uri)?;
    if let Some(shown) = &way.authorization {
        let own = head.headers.entry(AUTHORIZATION);
        own.or_insert_with(|| shown.clone());
    }
    Ok(Request::from_parts(head, Full::new(body)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that answers each request on one connection so, and gives what it read.
    async fn serving(
        answers: &'static [&'static str],
    ) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            for answer in answers {
                let before = read.len();
                while !read[before..].ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut read).await.unwrap() > 0);
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            String::from_utf8(read).unwrap()
        });
        (address, served)
    }

    fn get(target: &str) -> Request<Bytes> {
        Request::get(target).body(Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_what_is_shown_may_be_replaced() {
        const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let (address, served) = serving(&[OK, OK]).await;
        let courier = Courier::default();
        let clone = courier.clone();
        for (target, token) in [("/a?b=c", "first"), ("http://elsewhere:1/d", "second")] {
            clone.show(&token.parse().unwrap());
            let answer = courier.send(&address, get(target), PATIENCE).await.unwrap();
            assert_eq!(answer.body(), "ok");
        }
        let read = served.await.unwrap();
        let lines: Vec<_> = read.lines().collect();
        for line in ["GET /a?b=c HTTP/1.1", "GET /d HTTP/1.1"] {
            assert!(lines.contains(&line), "{read}");
        }
        for token in ["first", "second"] {
            assert!(
                read.contains(&format!("authorization: Bearer {token}")),
                "{read}"
            );
        }
        assert!(!read.contains("elsewhere"), "{read}");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read() {
        let (address, served) =
            serving(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789"]).await;
        let courier = Courier::default().with_answer_bytes_max(8);
        let refused = courier
            .send(&address, get("/"), PATIENCE)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, CourierError::TooLong { limit: 8, .. }),
            "{refused}"
        );
        assert!(!refused.is_unsent());
        served.await.unwrap();
    }

    #[tokio::test]
    async fn it_is_known_whether_anything_can_have_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let courier = Courier::default();
        // Taken by the system, and answered by nobody.
        let silent = courier
            .send(&address, get("/"), Duration::from_millis(50))
            .await;
        let silent = silent.unwrap_err();
        assert!(matches!(silent, CourierError::Silent { .. }) && !silent.is_unsent());
        drop(listener);
        let gone = courier
            .send(&address, get("/"), PATIENCE)
            .await
            .unwrap_err();
        assert!(gone.is_unsent(), "{gone}");
        let unfit = courier
            .send("no address", get("/"), PATIENCE)
            .await
            .unwrap_err();
        assert!(unfit.is_unsent(), "{unfit}");
        // Encrypted, where nobody is trusted.
        courier.encrypt(&ClientTls::default());
        let (address, served) = serving(&[]).await;
        let untrusted = courier
            .send(&address, get("/"), PATIENCE)
            .await
            .unwrap_err();
        assert!(untrusted.is_unsent(), "{untrusted}");
        served.await.unwrap();
    }
}
