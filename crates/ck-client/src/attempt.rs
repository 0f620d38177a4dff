//! One request to one server.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ck_api::{PROBLEM_JSON, Problem};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::client::Inner;

/// What is sent, to whichever server.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// The body with its media type.
    pub(crate) body: Option<(Bytes, &'static str)>,
    /// A condition on what it changes.
    pub(crate) if_match: Option<String>,
    /// The tag of what is known already; a 304 is an answer then.
    pub(crate) if_none_match: Option<HeaderValue>,
    /// A status other than 2xx that is an answer all the same.
    pub(crate) also: Option<StatusCode>,
}

impl Call {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            target: target.into(),
            body: None,
            if_match: None,
            if_none_match: None,
            also: None,
        }
    }

    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: None,
            if_match: None,
            if_none_match: None,
            also: None,
        }
    }

    /// Asks for an answer only when it is another one than that of `tag`.
    pub(crate) fn unless(mut self, tag: Option<HeaderValue>) -> Self {
        self.also = tag.as_ref().map(|_| StatusCode::NOT_MODIFIED);
        self.if_none_match = tag;
        self
    }

    /// Whether sending it twice is the same as sending it once.
    pub(crate) fn is_safe(&self) -> bool {
        self.method == Method::GET
    }
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) server: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why one server gave none.
pub(crate) enum Failure {
    /// Nothing was sent.
    NotConnected(String),
    /// Sent, and no whole answer.
    Broken(String),
    /// The time of this attempt ran out.
    TimedOut,
    /// An answer that is none of ours.
    Malformed(String),
    /// An error body.
    Problem(Box<Problem>),
    /// No request can be built from this call.
    Request(String),
}

/// Sends `call` to `server` and reads the whole answer within `time`.
pub(crate) async fn attempt(
    inner: &Inner,
    server: &str,
    call: &Call,
    time: Duration,
) -> Result<Answer, Failure> {
    let request = build(inner, server, call)?;
    match tokio::time::timeout(time, exchange(inner, server, request)).await {
        Ok(Ok(answer)) => sort_out(answer, call),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::TimedOut),
    }
}

pub(crate) fn build(
    inner: &Inner,
    server: &str,
    call: &Call,
) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = Request::builder()
        .method(&call.method)
        .uri(format!("{}://{server}{}", inner.scheme, call.target));
    if let Some(authorization) = &inner.authorization {
        request = request.header(hyper::header::AUTHORIZATION, authorization.clone());
    }
    if let Some(condition) = &call.if_match {
        request = request.header(IF_MATCH, condition);
    }
    if let Some(tag) = &call.if_none_match {
        request = request.header(IF_NONE_MATCH, tag.clone());
    }
    let body = match &call.body {
        Some((body, kind)) => {
            request = request.header(CONTENT_TYPE, *kind);
            Full::new(body.clone())
        }
        None => Full::default(),
    };
    request
        .body(body)
        .map_err(|error| Failure::Request(error.to_string()))
}

/// Sends `request` and gives the answer before its body is read.
pub(crate) async fn head(
    inner: &Inner,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    inner.http.request(request).await.map_err(|error| {
        let reason = innermost(&error);
        if error.is_connect() {
            Failure::NotConnected(reason)
        } else {
            Failure::Broken(reason)
        }
    })
}

async fn exchange(
    inner: &Inner,
    server: &str,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    let response = head(inner, request).await?;
    read(inner, server, response).await
}

/// The whole answer.
pub(crate) async fn read(
    inner: &Inner,
    server: &str,
    response: Response<Incoming>,
) -> Result<Answer, Failure> {
    let (parts, mut body) = response.into_parts();
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(innermost(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let limit = inner.answer_bytes_max;
        if data.len() > limit - read.len() {
            return Err(Failure::Malformed(format!(
                "the answer is longer than {limit} bytes"
            )));
        }
        read.extend_from_slice(&data);
    }
    Ok(Answer {
        server: server.to_owned(),
        status: parts.status,
        headers: parts.headers,
        body: read.freeze(),
    })
}

pub(crate) fn sort_out(answer: Answer, call: &Call) -> Result<Answer, Failure> {
    let kind = answer
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_problem = kind.is_some_and(|kind| kind.starts_with(PROBLEM_JSON));
    if answer.status.is_success() || (call.also == Some(answer.status) && !is_problem) {
        return Ok(answer);
    }
    if !is_problem {
        let reason = format!("status {} without a problem body", answer.status.as_u16());
        return Err(Failure::Malformed(reason));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(problem) => Err(Failure::Problem(Box::new(problem))),
        Err(error) => Err(Failure::Malformed(format!(
            "its problem body is malformed: {error}"
        ))),
    }
}

/// The error at the bottom says what happened; those above only where.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
