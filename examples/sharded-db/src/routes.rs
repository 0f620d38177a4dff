//! The service's paths beside those of its node.

mod peers;

use std::sync::Arc;

use ck_http::{
    Code, HeaderMap, Incoming, Method, Parts, Problem, Reply, Request, Role, StatusCode, fence,
    json_reply, problem,
};
use ck_serve::Taken;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::file::{Answer, Statement};
use crate::front::Work;
use crate::store::Store;

/// Below it, what nodes ask one another.
const PEER: &str = "/sql-peer/";

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

type Answered = Result<Reply, Box<Problem>>;

/// Whether a path is one of ours.
pub(crate) fn serves(path: &str) -> bool {
    ["/sql/", PEER].iter().any(|start| path.starts_with(start))
        || ["/query", "/schema"].contains(&path)
}

/// Answers one of our paths.
pub(crate) async fn answer(store: Arc<Store>, request: Request<Incoming>) -> Reply {
    let answered = route(&store, request).await;
    answered.unwrap_or_else(|refused| problem(&refused))
}

/// What a caller must be allowed to do: a query of all partitions looks, however it is sent.
pub(crate) fn role(method: &Method, path: &str) -> Role {
    match (path, method) {
        ("/query", _) | (_, &Method::GET) => Role::Read,
        _ => Role::Operate,
    }
}

/// Whether a path is for nodes among themselves.
pub(crate) fn is_between_nodes(path: &str) -> bool {
    path.starts_with(PEER)
}

async fn route(store: &Arc<Store>, request: Request<Incoming>) -> Answered {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    if let Some(key) = path.strip_prefix("/sql/") {
        let key = key_of(key)?;
        return match head.method {
            Method::GET => read_by_key(store, &key, query, &head.headers).await,
            Method::POST => {
                let body = taken(store, &head, body).await?;
                by_key(store, &key, &body.bytes, &head.headers).await
            }
            _ => Err(method(&head.method, "GET, POST")),
        };
    }
    if path.starts_with(PEER) {
        return peers::answer(store, &head, body).await;
    }
    match (path, &head.method) {
        ("/schema", &Method::GET) => {
            let version = store.schema_of(store.node()?)?.len();
            Ok(json_reply(
                StatusCode::OK,
                &store.spread_schema(version).await?,
            ))
        }
        ("/schema", &Method::POST) => {
            let body = taken(store, &head, body).await?;
            let version = store.change_schema(parse(&body.bytes)?).await?;
            Ok(json_reply(
                StatusCode::OK,
                &store.spread_schema(version).await?,
            ))
        }
        ("/query", &Method::POST) => {
            let body = taken(store, &head, body).await?;
            Ok(json_reply(
                StatusCode::OK,
                &store.query(parse(&body.bytes)?).await?,
            ))
        }
        ("/schema", other) => Err(method(other, "GET, POST")),
        (_, other) => Err(method(other, "POST")),
    }
}

/// A client's body.
async fn taken<'a>(
    store: &'a Store,
    head: &Parts,
    body: Incoming,
) -> Result<Taken<'a>, Box<Problem>> {
    let most = store.config.body_bytes_max;
    store.bodies.read(&head.headers, body, most, 0).await
}

/// The body of `POST /sql/{key}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Asked {
    /// One transaction.
    Many(Vec<Statement>),
    /// One statement.
    One(One),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    sql: String,
    #[serde(default)]
    params: Vec<Json>,
    #[serde(default)]
    read: bool,
}

/// The answer to a transaction.
#[derive(Debug, Serialize)]
struct Results {
    results: Vec<Answer>,
}

async fn by_key(store: &Arc<Store>, key: &[u8], body: &[u8], headers: &HeaderMap) -> Answered {
    let asked: Asked = parse(body)?;
    let (read, many, statements) = match asked {
        Asked::Many(statements) => (false, true, statements),
        Asked::One(One { sql, params, read }) => (read, false, vec![Statement { sql, params }]),
    };
    let most = store.config.statements_max;
    if statements.is_empty() || statements.len() > most {
        let detail = format!(
            "{} statements are out of range; use 1 to {most}",
            statements.len()
        );
        return Err(Box::new(Problem::new(Code::InvalidBody, detail)));
    }
    let partition = store.partition_of(key)?;
    let work = Work { read, statements };
    let mut answers = store.run(partition, fence(headers)?, &work).await?;
    Ok(match answers.pop() {
        Some(only) if !many => json_reply(StatusCode::OK, &only),
        last => {
            answers.extend(last);
            json_reply(StatusCode::OK, &Results { results: answers })
        }
    })
}

async fn read_by_key(store: &Arc<Store>, key: &[u8], query: &str, headers: &HeaderMap) -> Answered {
    let sql = parameter(query, "sql")?.ok_or_else(|| missing("sql"))?;
    let params = match parameter(query, "params")? {
        Some(params) => parse(params.as_bytes())?,
        None => Vec::new(),
    };
    let statements = vec![Statement { sql, params }];
    let work = Work {
        read: true,
        statements,
    };
    let partition = store.partition_of(key)?;
    let mut answers = store.run(partition, fence(headers)?, &work).await?;
    let answer: Answer = answers.pop().unwrap_or_default();
    Ok(json_reply(StatusCode::OK, &answer))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Problem>> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() {
            Code::InvalidBody
        } else {
            Code::MalformedJson
        };
        Box::new(Problem::new(
            code,
            format!("the body is not understood: {error}"),
        ))
    })
}

fn missing(name: &str) -> Box<Problem> {
    let problem = Problem::new(Code::MissingParameter, format!("`{name}` is missing"));
    Box::new(problem.with_field(name))
}

fn invalid(name: &str, value: &str) -> Box<Problem> {
    let problem = Problem::new(Code::InvalidParameter, format!("{value:?} is no {name}"));
    Box::new(problem.with_field(name).with_value(value))
}

fn method(method: &Method, allowed: &str) -> Box<Problem> {
    let detail = format!("{method} is not taken here; use {allowed}");
    Box::new(Problem::new(Code::MethodNotAllowed, detail))
}

fn number_of(query: &str, name: &str) -> Result<u64, Box<Problem>> {
    let text = parameter(query, name)?.ok_or_else(|| missing(name))?;
    text.parse().map_err(|_| invalid(name, &text))
}

/// A parameter of a query, decoded: `+` is a space there.
fn parameter(query: &str, name: &str) -> Result<Option<String>, Box<Problem>> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            continue;
        }
        let decoded = decode(&value.replace('+', " "));
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(|| invalid(name, value))?;
        if found.replace(decoded).is_some() {
            let problem = Problem::new(Code::RepeatedParameter, format!("`{name}` is repeated"));
            return Err(Box::new(problem.with_field(name)));
        }
    }
    Ok(found)
}

/// The key of a path: any bytes, percent-encoded; a slash may be written as it is.
fn key_of(path: &str) -> Result<Vec<u8>, Box<Problem>> {
    let key = decode(path).ok_or_else(|| invalid("key", path))?;
    if key.is_empty() {
        return Err(missing("key"));
    }
    if key.len() > KEY_BYTES_MAX {
        let detail = format!(
            "the key has {} bytes; at most {KEY_BYTES_MAX} are taken",
            key.len()
        );
        return Err(Box::new(Problem::new(Code::UriTooLong, detail)));
    }
    Ok(key)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let [first, rest @ ..] = left {
        left = rest;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        left = &rest[2..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_any_bytes() {
        assert_eq!(key_of("user:1001").unwrap(), b"user:1001");
        assert_eq!(key_of("a%2Fb/c+d%00%fF").unwrap(), b"a/b/c+d\0\xff");
        for bad in ["", "%", "%1", "%zz", "%+1"] {
            assert!(key_of(bad).is_err(), "{bad}");
        }
        assert_eq!(key_of(&"x".repeat(1_025)).unwrap_err().status, 414);
    }

    #[test]
    fn parameters_are_decoded_and_not_repeated() {
        let query = "sql=SELECT+%2B1&params=%5B%5D&other";
        assert_eq!(parameter(query, "sql").unwrap().unwrap(), "SELECT +1");
        assert_eq!(parameter(query, "params").unwrap().unwrap(), "[]");
        assert_eq!(parameter(query, "absent").unwrap(), None);
        assert!(parameter("a=1&a=2", "a").is_err());
        assert!(parameter("a=%ff", "a").is_err());
        assert!(number_of("a=x", "a").is_err());
    }

    #[test]
    fn paths_of_the_node_are_not_ours() {
        assert!(serves("/sql/x") && serves("/query") && serves("/schema"));
        for path in ["/sql", "/v1/owned", "/partitions", "/", "/queryx"] {
            assert!(!serves(path), "{path}");
        }
    }
}
