//! Bodies of requests: bounded in size and time, then read as JSON.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use ck_api::{Code, Problem};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::DeserializeOwned;

use crate::reply::Refused;

/// Reads a whole body of at most `limit` bytes within `time`. A declared length over the limit is
/// refused before a byte is read. For the application's routes; ours read theirs themselves.
///
/// # Errors
/// A problem that says what was wrong: 413 too large, 408 too slow, 400 ended early.
/// [`problem`](crate::problem) makes an answer of it.
pub async fn read_body<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, Box<Problem>>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    read(body, limit, time).await.map_err(Refused::into_problem)
}

/// As [`read_body`].
pub(crate) async fn read<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, Refused>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        return Err(too_large(&format!("a body of {declared} bytes"), limit));
    }
    match tokio::time::timeout(time, collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Refused::new(
            Code::BodyTimeout,
            format!("the body did not arrive within {time:?}; send it at once"),
        )),
    }
}

fn too_large(what: &str, limit: usize) -> Refused {
    Refused::new(
        Code::BodyTooLarge,
        format!("{what} is too large; at most {limit} are read"),
    )
}

async fn collect<B>(body: B, limit: usize) -> Result<Bytes, Refused>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut read = BytesMut::new();
    let declared = body.size_hint().exact();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refused::new(Code::BadRequest, format!("the body ended early: {error}"))
        })?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if data.remaining() > limit - read.len() {
            return Err(too_large("the body", limit));
        }
        let length = data.remaining();
        if read.is_empty() && declared == Some(length as u64) {
            // All of it at once, as most bodies come: taken over without a copy.
            return Ok(data.copy_to_bytes(length));
        }
        read.extend_from_slice(&data.copy_to_bytes(length));
    }
    Ok(read.freeze())
}

/// Refuses a body that does not say it is JSON. One that says nothing is taken for it.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), Refused> {
    let kind = match headers.get(CONTENT_TYPE) {
        None => return plain_bytes(headers),
        Some(kind) => kind.to_str().unwrap_or("\u{fffd}"),
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = format!(
            "a body of type {kind:?} is not read here; send JSON with \
             `Content-Type: application/json`"
        );
        let problem = Problem::new(Code::UnsupportedMediaType, detail);
        return Err(problem.with_field("content-type").with_value(kind).into());
    }
    plain_bytes(headers)
}

/// Refuses a compressed body.
pub(crate) fn plain_bytes(headers: &HeaderMap) -> Result<(), Refused> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let detail = format!("a body encoded as {encoding:?} is not read; send it plain");
            let problem = Problem::new(Code::UnsupportedMediaType, detail);
            Err(problem.with_field("content-encoding").into())
        }
        _ => Ok(()),
    }
}

/// Reads JSON, naming line and column of a syntax error, or the field that is wrong.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let mut from = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        wrong(&path, &error.into_inner())
    })?;
    from.end().map_err(|error| wrong(".", &error))?;
    // serde reads a list as the fields of a struct in order; nobody means that.
    if body.trim_ascii_start().first() != Some(&b'{') {
        let detail = "the body is no JSON object; write it as {…}";
        return Err(Refused::new(Code::InvalidBody, detail));
    }
    Ok(value)
}

fn wrong(path: &str, error: &serde_json::Error) -> Refused {
    if !error.is_data() {
        let detail = format!("the body is not valid JSON: {error}");
        return Refused::new(Code::MalformedJson, detail);
    }
    let text = error.to_string();
    // serde names an unknown, missing or repeated field in back quotes; its path is the parent's.
    let quoted = text.starts_with("unknown field")
        || text.starts_with("missing field")
        || text.starts_with("duplicate field");
    let name = text
        .split('`')
        .nth(1)
        .filter(|_| quoted)
        .unwrap_or_default();
    let parent = path
        .strip_suffix(name)
        .filter(|parent| parent.is_empty() || parent.ends_with('.'))
        .map_or(path, |parent| parent.trim_end_matches('.'));
    let field = match (parent, name) {
        ("." | "", name) => name.to_owned(),
        (parent, "") => parent.to_owned(),
        (parent, name) => format!("{parent}.{name}"),
    };
    let mut problem = Problem::new(Code::InvalidBody, format!("the body is wrong: {text}"));
    if !field.is_empty() {
        problem.detail = format!("the body is wrong at `{field}`: {text}");
        problem = problem.with_field(field);
    }
    problem.into()
}

#[cfg(test)]
mod tests {
    use ck_api::{JoinRequest, NodePatch};

    use super::*;

    fn refused(body: &str) -> Problem {
        parse::<JoinRequest>(body.as_bytes()).unwrap_err().problem()
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let deep = "[".repeat(100_000);
        for (body, place) in [
            ("", "line 1 column 0"),
            ("{\n \"node\": }", "line 2 column 10"),
            (r#"{"node":{"id":"a","ip":"b"}} x"#, "line 1 column 30"),
            (&format!(r#"{{"node":{deep}"#), "line 1 column"),
        ] {
            let problem = refused(body);
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(place), "{}", problem.detail);
        }
    }

    #[test]
    fn a_wrong_field_is_named_with_its_path() {
        for (body, field) in [
            (r#"{"node":{"id":"a","ip":"b","colour":1}}"#, "node.colour"),
            (r#"{"node":{"id":"a"}}"#, "node.ip"),
            (r#"{"nodes":{}}"#, "nodes"),
            (r#"{"node":{"id":"a","ip":"b","port":"x"}}"#, "node.port"),
            (r#"{"node":{"id":"a","id":"b","ip":"c"}}"#, "node.id"),
            (r#"{"node":{"id":"a","ip":"b"},"weight":-1}"#, "weight"),
            (
                r#"{"node":{"id":"a","ip":"b","services":{"kv":1}}}"#,
                "node.services.kv",
            ),
        ] {
            let problem = refused(body);
            assert_eq!(problem.code, "invalid-body", "{body}");
            assert_eq!(problem.field.as_deref(), Some(field), "{}", problem.detail);
        }
        let problem = parse::<NodePatch>(br#"{"weight":1e99999}"#)
            .unwrap_err()
            .problem();
        assert_eq!(problem.status, 400);
        assert_eq!(parse::<NodePatch>(b"[]").unwrap_err().problem().status, 400);
    }

    #[test]
    fn another_media_type_is_refused() {
        let mut headers = HeaderMap::new();
        assert!(is_json(&headers).is_ok());
        headers.insert(
            CONTENT_TYPE,
            "Application/JSON; charset=utf-8".parse().unwrap(),
        );
        assert!(is_json(&headers).is_ok());
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(is_json(&headers).unwrap_err().problem().status, 415);
        headers.remove(CONTENT_ENCODING);
        headers.insert(
            CONTENT_TYPE,
            "application/x-www-form-urlencoded".parse().unwrap(),
        );
        assert_eq!(is_json(&headers).unwrap_err().problem().status, 415);
    }
}
