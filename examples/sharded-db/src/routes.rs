//! The service's paths beside those of its node.

use std::sync::Arc;
use std::time::Duration;

use ck_http::{
    Bytes, Code, HeaderMap, Incoming, Method, Problem, Reply, ReplyBody, Request, Response,
    StatusCode, fence, header, json_reply, problem, read_body,
};
use ck_node::{MemberNumber, PartitionId, TransferId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::copying_in::{ANEW, LENGTH, PIECE_SUM, SNAPSHOT, SUM, UPTO};
use crate::copying_out::{Attached, Piece};
use crate::file::{Answer, Statement};
use crate::front::Work;
use crate::shipping::{MARK, PART_BYTES_MAX};
use crate::store::Store;

/// Time a body has to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

/// One transaction may be as long as this when another node sends it.
const RECORD_BYTES_MAX: usize = 72 << 20;

type Answered = Result<Reply, Box<Problem>>;

/// Whether a path is one of ours.
pub(crate) fn serves(path: &str) -> bool {
    ["/sql/", "/sql-peer/"]
        .iter()
        .any(|start| path.starts_with(start))
        || ["/query", "/schema"].contains(&path)
}

/// Answers one of our paths.
pub(crate) async fn answer(store: Arc<Store>, request: Request<Incoming>) -> Reply {
    let answered = route(&store, request).await;
    answered.unwrap_or_else(|refused| problem(&refused))
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
                let body = read_body(body, store.config.body_bytes_max, BODY_TIMEOUT).await?;
                by_key(store, &key, &body, &head.headers).await
            }
            _ => Err(method(&head.method, "GET, POST")),
        };
    }
    if let Some(rest) = path.strip_prefix("/sql-peer/") {
        return peer(store, &head.method, rest, query, &head.headers, body).await;
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
            let body = read_body(body, store.config.body_bytes_max, BODY_TIMEOUT).await?;
            let version = store.change_schema(parse(&body)?).await?;
            Ok(json_reply(
                StatusCode::OK,
                &store.spread_schema(version).await?,
            ))
        }
        ("/query", &Method::POST) => {
            let body = read_body(body, store.config.body_bytes_max, BODY_TIMEOUT).await?;
            Ok(json_reply(
                StatusCode::OK,
                &store.query(parse(&body)?).await?,
            ))
        }
        ("/schema", other) => Err(method(other, "GET, POST")),
        (_, other) => Err(method(other, "POST")),
    }
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

/// What nodes ask one another.
async fn peer(
    store: &Arc<Store>,
    asked: &Method,
    rest: &str,
    query: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Answered {
    let (number, what) = rest.split_once('/').unwrap_or((rest, ""));
    let partition = PartitionId(number.parse().map_err(|_| invalid("partition", number))?);
    let limit = match what {
        "apply" => RECORD_BYTES_MAX.max(PART_BYTES_MAX),
        _ => 2 * store.config.body_bytes_max,
    };
    let body = read_body(body, limit, BODY_TIMEOUT).await?;
    match (what, asked) {
        ("run", &Method::POST) => {
            let work: Work = parse(&body)?;
            let answers = store.run_here(partition, fence(headers)?, work).await?;
            Ok(json_reply(StatusCode::OK, &answers))
        }
        ("apply", &Method::POST) => {
            let token = fence(headers)?.ok_or_else(|| missing("ck-fence"))?;
            let mark = store.apply(partition, token, body).await?;
            Ok(with(Bytes::new(), &[(MARK, mark.to_string())]))
        }
        ("snapshot", &Method::GET) => {
            let transfer = TransferId(number_of(query, "transfer")?);
            let offset = number_of(query, "offset")?;
            Ok(piece(store.piece(partition, transfer, offset).await?))
        }
        ("attach", &Method::POST) => {
            let transfer = TransferId(number_of(query, "transfer")?);
            let member = MemberNumber(number_of(query, "member")?);
            let mark = headers.get(MARK).and_then(|mark| mark.to_str().ok());
            let mark = mark.and_then(|mark| mark.parse().ok());
            let mark = mark.ok_or_else(|| missing(MARK))?;
            attached(store, partition, transfer, member, mark).await
        }
        (what @ ("try-schema" | "apply-schema"), &Method::POST) => {
            let done = store.order(partition, what, &body).await?;
            Ok(with(done, &[]))
        }
        _ => {
            let detail = format!("there is no path {rest:?} for {asked} below /sql-peer/");
            Err(Box::new(Problem::new(Code::NotFound, detail)))
        }
    }
}

fn piece(piece: Piece) -> Reply {
    match piece {
        Piece::NotYet => {
            let mut reply = with(Bytes::new(), &[]);
            *reply.status_mut() = StatusCode::ACCEPTED;
            reply
        }
        Piece::Chunk {
            id,
            taken,
            bytes,
            sum,
        } => with(
            bytes,
            &[
                (SNAPSHOT, id),
                (MARK, taken.mark.to_string()),
                (LENGTH, taken.bytes.to_string()),
                (SUM, format!("{:016x}", taken.sum)),
                (PIECE_SUM, format!("{sum:016x}")),
            ],
        ),
    }
}

async fn attached(
    store: &Arc<Store>,
    partition: PartitionId,
    transfer: TransferId,
    member: MemberNumber,
    mark: crate::file::Mark,
) -> Answered {
    let token = store.acquire(partition)?.token();
    Ok(
        match store.attach(partition, transfer, member, mark).await? {
            Attached::Anew => with(Bytes::new(), &[(ANEW, "1".to_owned())]),
            Attached::Next { records, upto } => {
                let mut headers = vec![("ck-fence", token.to_string())];
                headers.extend(upto.map(|upto| (UPTO, upto.to_string())));
                with(records, &headers)
            }
        },
    )
}

/// An answer of bytes with headers of ours.
fn with(body: Bytes, headers: &[(&'static str, String)]) -> Reply {
    let mut reply = Response::new(ReplyBody::from(body));
    for (name, value) in headers {
        if let Ok(value) = header::HeaderValue::from_str(value) {
            reply.headers_mut().insert(*name, value);
        }
    }
    reply
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
