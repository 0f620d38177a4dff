//! Several servers, one deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ck_api::{Code, Problem, Token};
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::attempt::{Answer, Call, Failure, attempt};
use crate::config::{SERVERS_MAX, servers};
use crate::connect::{Connector, connector};
use crate::{ClientConfig, ClientError, ConfigError};

/// Rounds over all servers while each of them says "later".
const ROUNDS_MAX: u32 = 32;

/// Longest pause between two rounds, however long a server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Asks the servers of one cluster. Cheap to clone; clones share connections.
///
/// A read goes on to the next server when one cannot be reached, breaks off, is too slow or says
/// "later" (503, 504). A change goes on only when it certainly was not carried out: nothing was
/// sent, or the server refused to take it on. Rounds are repeated only as long as servers say
/// "later", within the deadline. Must be called from within a tokio runtime.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// What all nodes speak.
    pub(crate) scheme: Scheme,
    pub(crate) servers: Vec<String>,
    /// Index of the server that answered last.
    pub(crate) preferred: AtomicUsize,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) http: hyper_util::client::legacy::Client<Connector, Full<Bytes>>,
    pub(crate) answer_bytes_max: usize,
    pub(crate) timeout: Duration,
}

/// How a token is shown.
pub(crate) fn authorization(token: &Token) -> HeaderValue {
    let text = format!("Bearer {}", token.expose());
    let mut value = HeaderValue::from_str(&text).expect("a token is visible ASCII");
    value.set_sensitive(true);
    value
}

impl Client {
    /// A client of those servers. Connects to none of them yet.
    ///
    /// # Errors
    /// [`ConfigError`] names the server or the value that is wrong.
    ///
    /// # Panics
    /// Never: a [`Token`](ck_api::Token) always fits a header.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        if config.servers.is_empty() {
            return Err(ConfigError::NoServers);
        }
        if config.servers.len() > SERVERS_MAX {
            return Err(ConfigError::TooManyServers {
                got: config.servers.len(),
            });
        }
        for (field, time) in [
            ("timeout", config.timeout),
            ("connect_timeout", config.connect_timeout),
        ] {
            if time.is_zero() {
                return Err(ConfigError::Zero { field });
            }
        }
        let (scheme, servers) = servers(&config)?;
        // One server that does not answer must leave time for the others.
        let share = config.timeout / u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let connector = connector(config.connect_timeout.min(share), config.tls.as_ref());
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(config.idle_connections_max)
            .build(connector);
        let authorization = config.token.map(|token| authorization(&token));
        Ok(Self {
            inner: Arc::new(Inner {
                scheme,
                servers,
                preferred: AtomicUsize::new(0),
                authorization,
                http,
                answer_bytes_max: config.answer_bytes_max,
                timeout: config.timeout,
            }),
        })
    }

    /// The servers, as `host:port`.
    #[must_use]
    pub fn servers(&self) -> &[String] {
        &self.inner.servers
    }

    /// Sends `call` and reads the answer as `T`.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        parse(&self.send(call).await?)
    }

    /// Sends `call` to one server after the other until one answers.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        let inner = &*self.inner;
        let deadline = Instant::now() + inner.timeout;
        for _ in 0..ROUNDS_MAX {
            let later = match self.round(&call, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Round::Final(error)) => return Err(error),
                Err(Round::Later(problem)) => problem,
            };
            let pause = Duration::from_millis(later.retry_after_ms.unwrap_or(100).max(20));
            let pause = pause.min(PAUSE_MAX);
            if Instant::now() + pause >= deadline {
                return Err(ClientError::Problem(later));
            }
            tokio::time::sleep(pause).await;
        }
        let server = inner.servers[0].clone();
        // Every server refused to take it on until now, so nothing was changed.
        Err(ClientError::TimedOut {
            server,
            after: inner.timeout,
            change: false,
        })
    }

    /// Each server once, the preferred one first.
    async fn round(&self, call: &Call, deadline: Instant) -> Result<Answer, Round> {
        let inner = &*self.inner;
        let count = inner.servers.len();
        let first = inner.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let mut later = None;
        let mut last = None;
        for step in 0..count {
            let at = (first + step) % count;
            let server = &inner.servers[at];
            let left = deadline.saturating_duration_since(Instant::now());
            // A change may not be repeated elsewhere once sent, so it gets all the time there is.
            let share = u32::try_from(count - step).unwrap_or(u32::MAX);
            let time = if call.is_safe() { left / share } else { left };
            let failure = match attempt(inner, server, call, time).await {
                Ok(answer) => {
                    inner.preferred.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::Request(reason) => {
                    return Err(Round::Final(ClientError::Request { reason }));
                }
                Failure::Problem(problem) if is_later(&problem, call.is_safe()) => {
                    later = Some(problem);
                }
                Failure::Problem(problem) => {
                    inner.preferred.store(at, Ordering::Relaxed);
                    return Err(Round::Final(ClientError::Problem(problem)));
                }
                Failure::NotConnected(reason) => tried.push((server.clone(), reason)),
                failure => {
                    let error = final_error(failure, server, inner.timeout, !call.is_safe());
                    if !call.is_safe() {
                        return Err(Round::Final(error));
                    }
                    last = Some(error);
                }
            }
        }
        Err(match (later, last) {
            (Some(problem), _) => Round::Later(problem),
            (None, Some(error)) => Round::Final(error),
            (None, None) => Round::Final(ClientError::Unreachable { tried }),
        })
    }
}

/// How a round without an answer ended.
enum Round {
    /// Going on would not help, or might do harm.
    Final(ClientError),
    /// At least one server said "later".
    Later(Box<Problem>),
}

/// Whether another server, or the same one later, may do it. For a change only refusals count
/// that promise it was not carried out.
fn is_later(problem: &Problem, safe: bool) -> bool {
    if safe {
        return matches!(problem.status, 503 | 504);
    }
    matches!(
        problem.known_code(),
        Some(
            Code::NotLeader | Code::NoLeader | Code::NotFormed | Code::Overloaded | Code::Stopping
        )
    )
}

pub(crate) fn final_error(
    failure: Failure,
    server: &str,
    after: Duration,
    change: bool,
) -> ClientError {
    let server = server.to_owned();
    match failure {
        Failure::NotConnected(reason) => ClientError::Unreachable {
            tried: vec![(server, reason)],
        },
        Failure::Broken(reason) => ClientError::Broken {
            server,
            reason,
            change,
        },
        Failure::TimedOut => ClientError::TimedOut {
            server,
            after,
            change,
        },
        Failure::Malformed(reason) => ClientError::Malformed { server, reason },
        Failure::Problem(problem) => ClientError::Problem(problem),
        Failure::Request(reason) => ClientError::Request { reason },
    }
}

/// Reads an answer's body as JSON.
pub(crate) fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, ClientError> {
    serde_json::from_slice(&answer.body).map_err(|error| ClientError::Malformed {
        server: answer.server.clone(),
        reason: error.to_string(),
    })
}
