//! Answers: JSON with an entity tag, problem bodies.

use std::fmt::Write as _;

use bytes::Bytes;
use ck_api::{CK_VERSION, Code, PROBLEM_JSON, Problem};
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    RETRY_AFTER, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use crate::stream::ReplyBody;

/// What the surface answers.
pub type Reply = Response<ReplyBody>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static(PROBLEM_JSON);
const BY_FORM: HeaderValue = HeaderValue::from_static("accept, accept-encoding");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
pub(crate) const CK_VERSION_NAME: HeaderName = HeaderName::from_static(CK_VERSION);

/// An error on its way out. Boxed: errors are rare, answers are not.
#[derive(Debug)]
pub(crate) struct Refused(Box<Problem>);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl Refused {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    pub(crate) fn into_problem(self) -> Box<Problem> {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn problem(self) -> Problem {
        *self.0
    }

    pub(crate) fn reply(&self) -> Reply {
        problem(&self.0)
    }
}

/// A problem as an answer, with `Retry-After` in whole seconds where it says when.
///
/// # Panics
/// Never: a problem is text and numbers.
#[must_use]
pub fn problem(problem: &Problem) -> Reply {
    let body = serde_json::to_vec(problem).expect("a problem is text and numbers");
    let mut reply = plain(status(problem.status), PROBLEM, body.into());
    if let Some(after_ms) = problem.retry_after_ms {
        reply
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1000)));
    }
    reply
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An answer without an entity tag.
pub(crate) fn plain(status: StatusCode, kind: HeaderValue, body: Bytes) -> Reply {
    plain_with(status, kind, body.into())
}

/// As [`plain`], with any body.
pub(crate) fn plain_with(status: StatusCode, kind: HeaderValue, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    reply
}

/// A body with all that is sent beside it, made once and answered many times.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    body: Bytes,
    kind: HeaderValue,
    tag: HeaderValue,
    /// `incarnation.version` of the table it was made from, if it was.
    version: Option<HeaderValue>,
    /// Where callers choose the form: how its bytes are coded, if they are.
    form: Option<Option<HeaderValue>>,
}

impl Rendered {
    /// A body made from the table of that version. Its tag is
    /// `"<incarnation>.<version>.<representation>"`, where the representation is a hash of the
    /// body: equal tags mean equal bytes, whatever else may have changed.
    pub(crate) fn of_table(version: &HeaderValue, body: Vec<u8>) -> Self {
        let text = version.to_str().unwrap_or_default();
        let tag = tag(&format!("{text}."), &body);
        Self {
            body: body.into(),
            kind: JSON,
            tag,
            version: Some(version.clone()),
            form: None,
        }
    }

    /// As [`Rendered::of_table`], in the form that the caller chose.
    pub(crate) fn of_form(
        version: &HeaderValue,
        kind: HeaderValue,
        coding: Option<&'static str>,
        body: Vec<u8>,
    ) -> Self {
        Self {
            kind,
            form: Some(coding.map(HeaderValue::from_static)),
            ..Self::of_table(version, body)
        }
    }

    /// A body whose tag is a hash of it.
    pub(crate) fn of_body(kind: HeaderValue, body: Bytes, version: Option<HeaderValue>) -> Self {
        let tag = tag("", &body);
        Self {
            body,
            kind,
            tag,
            version,
            form: None,
        }
    }

    /// The answer: 304 when the caller has these bytes already.
    pub(crate) fn reply(&self, asked: &HeaderMap) -> Reply {
        let mut reply = if is_known(asked, &self.tag) {
            let mut reply = Response::new(ReplyBody::default());
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        } else {
            let mut reply = Response::new(self.body.clone().into());
            reply.headers_mut().insert(CONTENT_TYPE, self.kind.clone());
            if let Some(Some(coding)) = &self.form {
                reply.headers_mut().insert(CONTENT_ENCODING, coding.clone());
            }
            reply
        };
        let headers = reply.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, NO_CACHE);
        if self.form.is_some() {
            headers.insert(VARY, BY_FORM);
        }
        if let Some(version) = &self.version {
            headers.insert(CK_VERSION_NAME, version.clone());
        }
        reply
    }

    /// The same body under another status, for an operation that answers with it.
    pub(crate) fn with_status(&self, status: StatusCode) -> Reply {
        let mut reply = self.reply(&HeaderMap::new());
        *reply.status_mut() = status;
        reply
    }
}

fn tag(prefix: &str, body: &[u8]) -> HeaderValue {
    let mut text = String::with_capacity(prefix.len() + 18);
    let hash = xxhash_rust::xxh3::xxh3_64(body);
    write!(text, "\"{prefix}{hash:016x}\"").expect("writing to a string does not fail");
    HeaderValue::from_str(&text).expect("digits and dots are visible ASCII")
}

/// Whether `If-None-Match` names the tag, by the weak comparison RFC 9110 asks for.
fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| {
            list.split(',').map(str::trim).any(|one| {
                one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes()
            })
        })
}

/// A value as JSON, with a hash of the body as its tag.
pub(crate) fn json(
    asked: &HeaderMap,
    version: Option<HeaderValue>,
    value: &impl Serialize,
) -> Reply {
    Rendered::of_body(JSON, to_json(value).into(), version).reply(asked)
}

/// A value as the answer to an operation.
pub(crate) fn done(
    status: StatusCode,
    version: Option<HeaderValue>,
    value: &impl Serialize,
) -> Reply {
    let mut reply = plain(status, JSON, to_json(value).into());
    if let Some(version) = version {
        reply.headers_mut().insert(CK_VERSION_NAME, version);
    }
    reply
}

/// A value as an answer in JSON, for the application's routes.
///
/// # Panics
/// When `value` cannot be written as JSON: a map whose keys are no text, or a `Serialize` that fails.
#[must_use]
pub fn json_reply(status: StatusCode, value: &impl Serialize) -> Reply {
    plain(status, JSON, to_json(value).into())
}

pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("wire types have text keys only")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tag: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
        headers
    }

    #[test]
    fn equal_bytes_are_not_sent_twice_and_others_are() {
        let version = HeaderValue::from_static("1.12");
        let rendered = Rendered::of_table(&version, b"{}".to_vec());
        let tag = rendered.tag.to_str().unwrap().to_owned();
        assert!(
            tag.starts_with("\"1.12.") && tag.len() == 5 + 1 + 16 + 1,
            "{tag}"
        );
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            assert_eq!(rendered.reply(&asked(&known)).status(), 304, "{known}");
        }
        let other = Rendered::of_table(&version, b"[]".to_vec());
        assert_eq!(other.reply(&asked(&tag)).status(), 200);
    }

    #[test]
    fn a_problem_says_when_to_come_back() {
        let later = Problem::new(Code::NoLeader, "none").with_retry_after_ms(1500);
        let reply = problem(&later);
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers()[RETRY_AFTER], "2");
        assert_eq!(reply.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }
}
