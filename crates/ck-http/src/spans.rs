//! A span for each request, for whoever collects them. They are below every level that is logged by
//! default, so that where nobody does, nothing is made.

use hyper::{HeaderMap, Request, StatusCode};
use tracing::field::Empty;
use tracing::{Span, trace_span};

use crate::answered::Way;

/// The target of the spans of requests: what a subscriber that collects them lets through, at the
/// level trace.
pub const REQUEST_SPANS: &str = "ck_http::request";

/// Ties the span of a request to what its caller says of its own trace, in its header fields.
pub type TraceParent = fn(&Span, &HeaderMap);

/// The span of a request, for as long as it is worked on. Names no path: it may be somebody's key.
pub(crate) fn begin<B>(request: &Request<B>, parent: Option<TraceParent>) -> Span {
    let span = trace_span!(
        target: REQUEST_SPANS,
        "request",
        otel.kind = "server",
        otel.name = Empty,
        otel.status_code = Empty,
        http.request.method = %request.method(),
        http.route = Empty,
        http.response.status_code = Empty,
    );
    if let Some(parent) = parent.filter(|_| !span.is_disabled()) {
        parent(&span, request.headers());
    }
    span
}

/// Who answers it. Told before anything happens within the span: a name is fixed from then on.
pub(crate) fn name(span: &Span, way: Way) {
    if span.is_disabled() {
        return;
    }
    let [method, route] = way.name();
    span.record("otel.name", format!("{method} {route}"));
    span.record("http.route", route);
}

/// What came of it.
pub(crate) fn end(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
