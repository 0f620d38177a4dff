//! The dashboard: a page with its script and its style, embedded in the binary.
//!
//! It is a client like any other: it shows what the routes under `/v1` answer, and does what they
//! offer with the token that whoever looks at it enters. The page itself holds no data, so it is
//! served without a token. Its sources are in `crates/ck-http/ui`; what is built from them is
//! committed, so that a build of the program needs nothing but Rust.

use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use ck_api::Code;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};

use crate::reply::{Refused, Rendered, Reply, plain};

/// What the page may do: run its own script, use its own style, ask its own server. No inline script
/// or style, no frame around it, no other origin.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// Sent beside every file of the dashboard.
const GUARDS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// One file of the dashboard.
struct Asset {
    path: &'static str,
    kind: &'static str,
    body: &'static str,
    packed: OnceLock<Packed>,
}

/// A file as it is sent, made when it is first asked for.
struct Packed {
    plain: Rendered,
    gzip: Rendered,
}

macro_rules! asset {
    ($path:literal, $kind:literal, $file:literal) => {
        Asset {
            path: $path,
            kind: $kind,
            body: include_str!(concat!("assets/", $file)),
            packed: OnceLock::new(),
        }
    };
}

static ASSETS: [Asset; 4] = [
    asset!("/ui", "text/html; charset=utf-8", "index.html"),
    asset!("/ui/app.js", "text/javascript; charset=utf-8", "app.js"),
    asset!("/ui/app.css", "text/css; charset=utf-8", "app.css"),
    asset!("/ui/icon.svg", "image/svg+xml", "icon.svg"),
];

impl Packed {
    fn new(kind: &'static str, body: &'static str) -> Self {
        let kind = HeaderValue::from_static(kind);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let written = encoder.write_all(body.as_bytes());
        let gzip = written.and_then(|()| encoder.finish());
        let gzip = gzip.expect("writing to memory does not fail");
        Self {
            plain: Rendered::of_body(kind.clone(), Bytes::from_static(body.as_bytes()), None),
            gzip: Rendered::of_body(kind, gzip.into(), None),
        }
    }
}

/// Whether a path is one of the dashboard's.
pub(crate) fn serves(path: &str) -> bool {
    path == "/ui/" || ASSETS.iter().any(|asset| asset.path == path)
}

/// Answers a request for a file of the dashboard; `None` when the path is none.
pub(crate) fn answer(head: &Parts) -> Option<Reply> {
    let path = head.uri.path();
    if !serves(path) {
        return None;
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let detail = format!("{path} does not take {}; it takes GET, HEAD", head.method);
        let mut reply = Refused::new(Code::MethodNotAllowed, detail).reply();
        let allow = HeaderValue::from_static("GET, HEAD");
        reply.headers_mut().insert(ALLOW, allow);
        return Some(reply);
    }
    let mut reply = match ASSETS.iter().find(|asset| asset.path == path) {
        Some(asset) => asset.reply(&head.headers),
        None => canonical(),
    };
    reply.headers_mut().extend(GUARDS);
    Some(reply)
}

/// `/ui/` is `/ui`, relative so that it holds below a prefix that a proxy adds.
fn canonical() -> Reply {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut reply = plain(StatusCode::PERMANENT_REDIRECT, kind, Bytes::new());
    reply
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static("../ui"));
    reply
}

impl Asset {
    fn reply(&self, asked: &HeaderMap) -> Reply {
        let make = || Packed::new(self.kind, self.body);
        let packed = self.packed.get_or_init(make);
        let mut reply;
        if takes_gzip(asked) {
            reply = packed.gzip.reply(asked);
            let gzip = HeaderValue::from_static("gzip");
            reply.headers_mut().insert(CONTENT_ENCODING, gzip);
        } else {
            reply = packed.plain.reply(asked);
        }
        let vary = HeaderValue::from_static("accept-encoding");
        reply.headers_mut().insert(VARY, vary);
        reply
    }
}

/// Whether the caller reads gzip: named, or by `*`, and not with a quality of zero.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(ACCEPT_ENCODING).iter();
    let codings = lists.filter_map(|value| value.to_str().ok());
    let mut taken = None;
    for coding in codings.flat_map(|list| list.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        let is_taken = quality.is_none_or(|quality| quality > 0.0);
        if name.eq_ignore_ascii_case("gzip") {
            return is_taken;
        }
        if name == "*" {
            taken = Some(is_taken);
        }
    }
    taken.unwrap_or(false)
}

#[cfg(test)]
mod tests;
