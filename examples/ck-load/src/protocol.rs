//! How operations are spelt for a service, and what its answers mean.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, StatusCode, http};
use serde::Deserialize;

use crate::answer::{Answer, Condition, Request};
use crate::connection::Reply;
use crate::keys::encoded;

/// Which service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `/kv/{key}`, raw bodies, versions as entity tags.
    Kv(Consistency),
    /// etcd's version 3 over JSON; it knows no conditions here.
    Etcd,
}

/// What a read of `/kv/{key}` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Linearizable, by the primary's lease.
    Lease,
    /// Linearizable, by a round among the replicas.
    Barrier,
    /// Whatever the node asked has.
    Stale,
}

impl Consistency {
    const fn query(self) -> &'static str {
        match self {
            Self::Lease => "",
            Self::Barrier => "?consistency=barrier",
            Self::Stale => "?consistency=stale",
        }
    }
}

/// Why a text names no consistency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no consistency; lease, barrier and stale are")]
pub struct ConsistencyError {
    text: String,
}

impl FromStr for Consistency {
    type Err = ConsistencyError;

    fn from_str(text: &str) -> Result<Self, ConsistencyError> {
        match text {
            "lease" => Ok(Self::Lease),
            "barrier" => Ok(Self::Barrier),
            "stale" => Ok(Self::Stale),
            _ => Err(ConsistencyError {
                text: text.to_owned(),
            }),
        }
    }
}

impl Protocol {
    /// The request for an operation on a key, without the host it goes to.
    pub(crate) fn request(
        self,
        key: &[u8],
        request: &Request,
    ) -> Result<hyper::Request<Bytes>, http::Error> {
        match self {
            Self::Kv(consistency) => kv_request(key, request, consistency),
            Self::Etcd => etcd_request(key, request),
        }
    }

    /// What an answer to it means.
    pub(crate) fn answer(self, request: &Request, reply: &Reply) -> Answer {
        let status = reply.status.as_u16();
        match self {
            Self::Kv(_) => kv_answer(request, reply),
            Self::Etcd if reply.status == StatusCode::OK => etcd_answer(request, reply),
            Self::Etcd if reply.status.is_client_error() => Answer::Refused(status),
            Self::Etcd => Answer::Unknown(Some(status)),
        }
    }
}

fn kv_request(
    key: &[u8],
    request: &Request,
    consistency: Consistency,
) -> Result<hyper::Request<Bytes>, http::Error> {
    let (method, query, body, condition) = match request {
        Request::Get => (Method::GET, consistency.query(), None, &Condition::None),
        Request::Put(value, condition) => (Method::PUT, "", Some(value), condition),
        Request::Delete(condition) => (Method::DELETE, "", None, condition),
    };
    let mut builder = hyper::Request::builder()
        .method(method)
        .uri(format!("/kv/{}{query}", encoded(key)));
    match condition {
        Condition::None => {}
        Condition::Absent => builder = builder.header(IF_NONE_MATCH, "*"),
        Condition::Version(version) => builder = builder.header(IF_MATCH, version),
    }
    builder.body(body.cloned().unwrap_or_default())
}

fn kv_answer(request: &Request, reply: &Reply) -> Answer {
    let version = || {
        let tag = reply.headers.get(ETAG)?;
        tag.to_str().ok().map(str::to_owned)
    };
    let is_read = *request == Request::Get;
    match reply.status {
        StatusCode::OK if is_read => Answer::Read {
            value: reply.body.clone(),
            version: version(),
        },
        status if status.is_success() && !is_read => Answer::Written { version: version() },
        StatusCode::NOT_FOUND if is_read && is_absent(&reply.body) => Answer::Absent,
        StatusCode::PRECONDITION_FAILED => Answer::Mismatch,
        status if status.is_client_error() => Answer::Refused(status.as_u16()),
        status => Answer::Unknown(Some(status.as_u16())),
    }
}

/// Whether a 404 is about the key, and not about the path: it says nothing of the key otherwise.
fn is_absent(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    serde_json::from_slice(body).is_ok_and(|problem: Problem| problem.code == "key-absent")
}

fn etcd_request(key: &[u8], request: &Request) -> Result<hyper::Request<Bytes>, http::Error> {
    let key = BASE64.encode(key);
    let (path, body) = match request {
        Request::Get => ("/v3/kv/range", format!("{{\"key\":\"{key}\"}}")),
        Request::Put(value, _) => {
            let value = BASE64.encode(value);
            let body = format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}");
            ("/v3/kv/put", body)
        }
        Request::Delete(_) => ("/v3/kv/deleterange", format!("{{\"key\":\"{key}\"}}")),
    };
    hyper::Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .body(body.into())
}

fn etcd_answer(request: &Request, reply: &Reply) -> Answer {
    #[derive(Deserialize)]
    struct Range<'a> {
        // Always there; what has none is no answer of etcd's.
        #[serde(rename = "header")]
        _header: serde::de::IgnoredAny,
        #[serde(borrow, default)]
        kvs: Vec<Found<'a>>,
    }
    #[derive(Deserialize)]
    struct Found<'a> {
        // Left out where it is empty.
        #[serde(default)]
        value: &'a str,
    }
    if *request != Request::Get {
        return Answer::Written { version: None };
    }
    let unknown = Answer::Unknown(Some(reply.status.as_u16()));
    let range: Result<Range<'_>, _> = serde_json::from_slice(&reply.body);
    let Ok(range) = range else { return unknown };
    match range.kvs.first().map(|found| BASE64.decode(found.value)) {
        None => Answer::Absent,
        Some(Ok(value)) => Answer::Read {
            value: value.into(),
            version: None,
        },
        Some(Err(_)) => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KV: Protocol = Protocol::Kv(Consistency::Lease);

    fn answer(protocol: Protocol, request: &Request, status: u16, body: &'static str) -> Answer {
        let mut headers = hyper::HeaderMap::new();
        headers.insert(ETAG, "\"4.7\"".parse().unwrap());
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.into(),
        };
        protocol.answer(request, &reply)
    }

    #[test]
    fn answers_mean_what_the_interface_says() {
        let put = Request::Put("v".into(), Condition::Absent);
        let version = Some("\"4.7\"".to_owned());
        assert_eq!(
            answer(KV, &put, 204, ""),
            Answer::Written {
                version: version.clone()
            }
        );
        let value = "v".into();
        assert_eq!(
            answer(KV, &Request::Get, 200, "v"),
            Answer::Read { value, version }
        );
        let absent = "{\"code\":\"key-absent\"}";
        assert_eq!(answer(KV, &Request::Get, 404, absent), Answer::Absent);
        assert_eq!(answer(KV, &put, 412, ""), Answer::Mismatch);
        assert_eq!(answer(KV, &put, 421, ""), Answer::Refused(421));
        for status in [500, 503, 504, 307, 101] {
            assert_eq!(answer(KV, &put, status, ""), Answer::Unknown(Some(status)));
        }
    }

    #[test]
    fn a_404_that_is_not_about_the_key_does_not_say_that_it_is_absent() {
        for body in ["", "{}", "{\"code\":\"not-found\"}"] {
            assert_eq!(answer(KV, &Request::Get, 404, body), Answer::Refused(404));
        }
        assert_eq!(
            answer(KV, &Request::Delete(Condition::None), 404, ""),
            Answer::Refused(404)
        );
    }

    #[test]
    fn conditions_are_headers_and_keys_are_encoded() {
        let put = Request::Put("v".into(), Condition::Version("\"1.2\"".into()));
        let request = KV.request(b"a/b\xff", &put).unwrap();
        assert_eq!(
            (request.method(), request.uri().path()),
            (&Method::PUT, "/kv/a%2Fb%FF")
        );
        assert_eq!(request.headers()[IF_MATCH], "\"1.2\"");
        let delete = Request::Delete(Condition::Absent);
        let request = KV.request(b"a", &delete).unwrap();
        assert_eq!(request.headers()[IF_NONE_MATCH], "*");
    }

    #[test]
    fn values_of_etcd_are_in_base64() {
        let get = &Request::Get;
        let found = "{\"header\":{},\"kvs\":[{\"key\":\"YQ==\",\"value\":\"dg==\"}]}";
        let value = "v".into();
        let version = None;
        assert_eq!(
            answer(Protocol::Etcd, get, 200, found),
            Answer::Read { value, version }
        );
        assert_eq!(
            answer(Protocol::Etcd, get, 200, "{\"header\":{}}"),
            Answer::Absent
        );
        assert_eq!(
            answer(Protocol::Etcd, get, 200, "[]"),
            Answer::Unknown(Some(200))
        );
        let put = Request::Put("v".into(), Condition::None);
        let request = Protocol::Etcd.request(b"a", &put).unwrap();
        assert_eq!(request.uri().path(), "/v3/kv/put");
    }
}
