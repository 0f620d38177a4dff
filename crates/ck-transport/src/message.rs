//! The transport trait, and what passes through it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Address, Body, PeerId, TransportError};

/// A boxed future, so that the traits stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A question to a peer.
#[derive(Debug)]
pub struct Request {
    /// Which question it is; its meaning belongs to the service.
    pub kind: u16,
    /// The question, encoded by the caller. Bounded by [`Limits::payload_bytes_max`].
    ///
    /// [`Limits::payload_bytes_max`]: crate::Limits::payload_bytes_max
    pub payload: Bytes,
    /// What does not fit in a payload. Sent while the call is under way, and cut off with it.
    pub body: Option<Body>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(kind: u16, payload: impl Into<Bytes>) -> Self {
        Self {
            kind,
            payload: payload.into(),
            body: None,
        }
    }

    /// The same request with `body`.
    #[must_use]
    pub fn with_body(self, body: Body) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }
}

/// The answer.
#[derive(Debug)]
pub struct Reply {
    /// The answer, encoded by the service. Bounded by [`Limits::payload_bytes_max`].
    ///
    /// [`Limits::payload_bytes_max`]: crate::Limits::payload_bytes_max
    pub payload: Bytes,
    /// What does not fit in a payload. Outlives the call; dropping it frees the call's slot.
    pub body: Option<Body>,
}

impl Reply {
    /// A reply without a body.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            body: None,
        }
    }

    /// The same reply with `body`.
    #[must_use]
    pub fn with_body(self, body: Body) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }
}

/// A service's refusal; reaches the caller as [`TransportError::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("refused with code {code}: {message}")]
pub struct ServiceError {
    /// Which refusal; its meaning belongs to the service. See [`ServiceError::PANICKED`].
    pub code: u16,
    /// For people. Cut after 4 KiB on its way.
    pub message: String,
}

impl ServiceError {
    /// The code a caller sees when the service panicked. Services do not use it themselves.
    pub const PANICKED: u16 = u16::MAX;

    /// A refusal.
    #[must_use]
    pub fn new(code: u16, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

/// What answers the requests of peers.
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// Requests run concurrently and in no order. The future is dropped as soon as the caller has
    /// gone or its deadline has passed; work that has to finish is spawned. A panic is contained
    /// and reported to the caller with [`ServiceError::PANICKED`].
    fn handle(
        &self,
        from: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ServiceError>>;

    /// A peer of another cluster said hello and was refused. `expects` is the member number it
    /// took this side for, if it took it for one. Called before the peer learns of the refusal;
    /// must not block. Does nothing by itself.
    fn stranger(&self, from: &PeerId, expects: Option<u64>) {
        let _ = (from, expects);
    }
}

/// Carries requests to peers and their requests to a [`Service`]. The crate's documentation
/// states the contract.
pub trait Transport: Send + Sync + 'static {
    /// Asks the peer at `to`, and waits at most `deadline` (cut to one day) for its answer.
    ///
    /// Returns the id of who answered. The deadline covers connecting, the request's body and the
    /// reply's payload, not the reply's body. Dropping the future cancels the call.
    ///
    /// # Errors
    /// Every [`TransportError`] but `Bind`; each variant says whether the request may have run.
    fn call<'a>(
        &'a self,
        to: &'a Address,
        request: Request,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(PeerId, Reply), TransportError>>;

    /// What this side says of itself from now on: a node learns its member number and its cluster
    /// after joining. Open connections are told before anything else is sent on them; those that
    /// turn out to lead to another cluster are closed.
    fn identify(&self, me: PeerId);

    /// The address peers can call, with the real port where 0 was asked for.
    fn local_address(&self) -> String;

    /// Stops listening, closes every connection and drops every running handler. Calls under way
    /// and later ones fail with [`TransportError::Closed`]. Idempotent.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
