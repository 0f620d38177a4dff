//! Small replicated values.

use std::sync::Arc;

use bytes::Bytes;
use ck_api as api;
use ck_api::{CK_VALUE_VERSION, Code, Problem};
use ck_core::Version;
use ck_node::{Operation, Outcome};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};

use crate::handlers::{ACTOR, formed};
use crate::query;
use crate::reply::{Refused, Rendered, done, json};
use crate::route::{Answer, Ask, Order};
use crate::surface::Core;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const VALUE_VERSION: HeaderName = HeaderName::from_static(CK_VALUE_VERSION);
const LIMIT_MAX: u64 = 1000;

pub(super) fn list(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &["prefix", "after", "limit"])?;
    let prefix = query::text(ask.query(), "prefix")?.unwrap_or_default();
    let after = query::text(ask.query(), "after")?;
    let limit = query::number(ask.query(), "limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_MAX);
    let view = formed(core)?;
    let state = view.state();
    let mut matching = state.customs().filter(|(key, _)| {
        key.starts_with(&prefix) && after.as_deref().is_none_or(|after| *key > after)
    });
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let entry = |(key, custom): (&str, &ck_control::Custom)| api::CustomEntry {
        key: key.to_owned(),
        version: custom.version.0,
        bytes: custom.value.len() as u64,
    };
    let entries: Vec<_> = matching.by_ref().take(take).map(entry).collect();
    let answer = api::CustomList {
        count: entries.len() as u64,
        has_more: matching.next().is_some(),
        entries,
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

pub(super) fn read(core: &Core, ask: &Ask<'_>) -> Answer {
    let view = formed(core)?;
    let key = ask.name()?;
    let custom = view.state().custom(&key).ok_or_else(|| {
        let shown: String = key.chars().take(128).collect();
        let detail = format!("custom {shown:?} does not exist; see GET /v1/custom");
        Refused::from(
            Problem::new(Code::CustomUnknown, detail)
                .with_field("key")
                .with_value(&*key),
        )
    })?;
    let body = Bytes::copy_from_slice(&custom.value);
    let rendered = Rendered::of_body(OCTETS, body, Some(view.version()));
    let mut reply = rendered.reply(&ask.head.headers);
    let headers = reply.headers_mut();
    headers.insert(VALUE_VERSION, HeaderValue::from(custom.version.0));
    // The application's bytes share an origin with our pages: never let them be taken for one.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(reply)
}

fn expected(order: &Order) -> Result<Option<Version>, Refused> {
    query::only(order.query(), &["expected"])?;
    // A condition that is not looked at is a lost update; entity tags here are of bodies.
    for condition in [IF_MATCH, IF_NONE_MATCH] {
        if order.head.headers.contains_key(&condition) {
            let detail = format!(
                "`{condition}` is not looked at here; make the change conditional by \
                 `?expected=VERSION`, the value's version, where 0 is that there is none"
            );
            return Err(Problem::new(Code::ConditionUnsupported, detail)
                .with_field(condition.as_str())
                .into());
        }
    }
    Ok(query::number(order.query(), "expected", 0, u64::MAX)?.map(Version))
}

pub(super) async fn write(core: Arc<Core>, order: Order) -> Answer {
    let expected = expected(&order)?;
    let key = order.name()?;
    formed(&core)?;
    let bytes = order.body.len() as u64;
    let value = Vec::from(order.body);
    let operation = Operation::SetCustom {
        key: key.clone(),
        value,
        expected,
    };
    let version = execute(&core, operation).await?;
    let answer = api::CustomStored {
        key,
        version,
        bytes,
    };
    Ok(done(StatusCode::OK, Some(core.view().version()), &answer))
}

pub(super) async fn delete(core: Arc<Core>, order: Order) -> Answer {
    let expected = expected(&order)?;
    let key = order.name()?;
    formed(&core)?;
    let operation = Operation::DeleteCustom {
        key: key.clone(),
        expected,
    };
    let version = execute(&core, operation).await?;
    let answer = api::CustomDeleted { key, version };
    Ok(done(StatusCode::OK, Some(core.view().version()), &answer))
}

async fn execute(core: &Core, operation: Operation) -> Result<u64, Refused> {
    match core.backend.execute(operation, ACTOR.to_owned()).await? {
        Outcome::Custom { version } => Ok(version.0),
        _ => Err(Refused::new(
            Code::Internal,
            "a value came to something else; report this",
        )),
    }
}
