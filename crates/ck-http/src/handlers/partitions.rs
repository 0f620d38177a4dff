//! Where data is.

use ck_api::{Code, Problem};
use ck_core::PartitionId;

use crate::handlers::{formed, with_partitions};
use crate::query;
use crate::render::{self, List};
use crate::reply::{Refused, to_json};
use crate::route::{Answer, Ask};
use crate::surface::Core;
use crate::view::{STATES, View};

/// Most partitions on one page, when a page is asked for.
const LIMIT_MAX: u64 = 100_000;

pub(super) fn list(core: &Core, ask: &Ask<'_>) -> Answer {
    let view = formed(core)?;
    if ask.query().is_empty() {
        return Ok(view.list().reply(&ask.head.headers));
    }
    if ask.is_strict() {
        query::only(ask.query(), &["node", "state", "limit", "after"])?;
    }
    let state = view.state();
    let node = query::text(ask.query(), "node")?;
    if let Some(node) = &node {
        known_node(state, node)?;
    }
    let wanted = query::text(ask.query(), "state")?;
    if let Some(word) = &wanted
        && !STATES.iter().any(|state| state.name() == word)
    {
        let what = "is no state; use stable, moving, degraded or unavailable";
        return Err(query::invalid("state", word, what));
    }
    let limit = query::number(ask.query(), "limit", 1, LIMIT_MAX)?;
    let first = match query::text(ask.query(), "after")? {
        Some(after) => parse_id("after", &after)?.0.saturating_add(1),
        None => 0,
    };
    let rows = state.table().into_iter().flat_map(|table| {
        (first..table.partitions()).filter_map(|number| table.row(PartitionId(number)))
    });
    let rows = rows
        .filter(|row| node.as_ref().is_none_or(|node| row.contains(node)))
        .filter(|row| {
            let word = || state.partition_state(row.partition()).name();
            wanted.as_ref().is_none_or(|wanted| wanted == word())
        });
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let body = to_json(&List::new(state, rows, limit));
    Ok(view.rendered(body).reply(&ask.head.headers))
}

pub(super) fn stats(core: &Core, ask: &Ask<'_>) -> Answer {
    Ok(formed(core)?.stats().reply(&ask.head.headers))
}

pub(super) fn by_key(core: &Core, ask: &Ask<'_>) -> Answer {
    let missing = |what: &str| {
        let detail = format!("`key` is {what}; ask as /partitions/key?key=user:1001");
        Refused::from(Problem::new(Code::MissingParameter, detail).with_field("key"))
    };
    let key = query::value(ask.query(), "key")?.ok_or_else(|| missing("missing"))?;
    let most = core.config.limits.key_bytes_max;
    if key.is_empty() {
        return Err(missing("empty"));
    }
    if key.len() > most {
        let detail = format!(
            "a key of {} bytes is too long; at most {most} are read",
            key.len()
        );
        return Err(Problem::new(Code::UriTooLong, detail)
            .with_field("key")
            .into());
    }
    let view = with_partitions(core)?;
    let state = view.state();
    let count = state.table().map_or(1, |table| table.partitions());
    let id = state.config().hash.partition(&key, count);
    Ok(view.route(id, |rendered| rendered.reply(&ask.head.headers)))
}

pub(super) fn one(core: &Core, ask: &Ask<'_>) -> Answer {
    let id = parse_id("id", &ask.name()?)?;
    let view = with_partitions(core)?;
    known_partition(&view, id)?;
    let body = to_json(&render::detail(view.state(), id));
    Ok(view.rendered(body).reply(&ask.head.headers))
}

/// Refuses a partition that does not exist.
pub(super) fn known_partition(view: &View, id: PartitionId) -> Result<(), Refused> {
    let count = view.partition_count();
    if u64::from(id.0) < count {
        return Ok(());
    }
    let detail = format!("there is no {id}; the last one is partition-{}", count - 1);
    let problem = Problem::new(Code::PartitionUnknown, detail).with_field("id");
    Err(problem.with_value(id.to_string()).into())
}

/// A partition in a path or a query.
pub(super) fn parse_id(field: &str, text: &str) -> Result<PartitionId, Refused> {
    text.parse().map_err(|error: ck_core::IdError| {
        let problem = Problem::new(Code::InvalidParameter, error.to_string());
        problem.with_field(field).with_value(text).into()
    })
}

/// Refuses a node that the cluster does not have.
pub(super) fn known_node<'s>(
    state: &'s ck_control::State,
    node: &str,
) -> Result<&'s ck_control::Member, Refused> {
    state.member_by_node(node).ok_or_else(|| {
        let shown: String = node.chars().take(128).collect();
        let detail = format!("node {shown:?} is not in the cluster; see GET /v1/nodes");
        Problem::new(Code::NodeUnknown, detail)
            .with_field("node")
            .with_value(node)
            .into()
    })
}
