//! One attempt at one node.

use bytes::{Bytes, BytesMut};
use ck_api::CK_FENCE;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Request, Response, Uri};
use tokio::time::Instant;

use super::Inner;
use crate::attempt::innermost;

const FENCE: HeaderName = HeaderName::from_static(CK_FENCE);

/// What is sent, whomever it is sent to.
pub(super) struct Parcel {
    pub(super) head: Parts,
    pub(super) target: PathAndQuery,
    pub(super) body: Bytes,
    /// Whether it may be repeated.
    pub(super) safe: bool,
    pub(super) deadline: Instant,
}

/// An attempt that gave no answer.
pub(super) enum Broke {
    /// Nothing was sent.
    NotSent(String),
    /// It may have arrived.
    Sent(String),
}

impl Inner {
    /// Sends it once, and reads the whole answer.
    pub(super) async fn exchange(
        &self,
        parcel: &Parcel,
        to: &Authority,
        fence: Option<HeaderValue>,
    ) -> Result<Response<Bytes>, Broke> {
        let mut uri = hyper::http::uri::Parts::default();
        uri.scheme = Some(self.client.inner.scheme.clone());
        uri.authority = Some(to.clone());
        uri.path_and_query = Some(parcel.target.clone());
        let uri = Uri::from_parts(uri).map_err(|error| Broke::NotSent(error.to_string()))?;
        let mut request = Request::new(Full::new(parcel.body.clone()));
        *request.method_mut() = parcel.head.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = parcel.head.headers.clone();
        if let Some(fence) = fence {
            request.headers_mut().insert(FENCE, fence);
        }
        if let Some(authorization) = &self.client.inner.authorization {
            let own = request.headers_mut().entry(AUTHORIZATION);
            own.or_insert_with(|| authorization.clone());
        }
        let response = self.client.inner.http.request(request).await;
        let response = response.map_err(|error| {
            let reason = innermost(&error);
            if error.is_connect() {
                Broke::NotSent(reason)
            } else {
                Broke::Sent(reason)
            }
        })?;
        let (head, body) = response.into_parts();
        let body = whole(body, self.config.answer_bytes_max).await?;
        Ok(Response::from_parts(head, body))
    }
}

/// A whole body of at most `most` bytes.
async fn whole(mut body: Incoming, most: usize) -> Result<Bytes, Broke> {
    let declared = body.size_hint().exact();
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Broke::Sent(innermost(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > most - read.len() {
            return Err(Broke::Sent(format!(
                "the answer is longer than {most} bytes"
            )));
        }
        if read.is_empty() && declared == Some(data.len() as u64) {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
