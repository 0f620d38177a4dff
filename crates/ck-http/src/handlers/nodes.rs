//! Nodes: look, change, remove.

use std::sync::Arc;

use ck_api as api;
use ck_api::{Code, Problem};
use ck_control::{Member, MemberChange};
use ck_core::{Domain, NodeId, NodeState, Row};
use ck_node::Operation;
use hyper::StatusCode;

use crate::body;
use crate::handlers::operate::no_fields;
use crate::handlers::partitions::known_node;
use crate::handlers::{execute, formed};
use crate::query;
use crate::render::{self, PartitionRow};
use crate::reply::{Refused, done, json};
use crate::route::{Answer, Ask, Order};
use crate::surface::Core;
use crate::view::View;

const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 1000;

pub(super) fn list(core: &Core, ask: &Ask<'_>) -> Answer {
    if ask.is_strict() {
        query::only(ask.query(), &["limit", "offset"])?;
    }
    let limit = query::number(ask.query(), "limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    // Any offset that a list could have; one behind the end gives an empty page.
    let offset = query::number(ask.query(), "offset", 0, u64::from(u32::MAX))?.unwrap_or(0);
    let view = formed(core)?;
    let state = view.state();
    let leader = core.backend.status().leader;
    let leader = leader.as_ref().map(NodeId::as_str);
    let total = state.members().len() as u64;
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let members = state.members().skip(skip).take(take);
    let end = offset.saturating_add(limit).min(total);
    let page = api::NodePage {
        has_more: end < total,
        limit,
        next_offset: end,
        nodes: members.map(|member| render::node(member, leader)).collect(),
        offset,
        total,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &page))
}

pub(super) fn one(core: &Core, ask: &Ask<'_>) -> Answer {
    let view = formed(core)?;
    let member = known_node(view.state(), &ask.name()?)?;
    Ok(json(
        &ask.head.headers,
        Some(view.version()),
        &answer(core, &view, member),
    ))
}

fn answer(core: &Core, view: &View, member: &Member) -> api::NodeAnswer {
    let state = view.state();
    let leader = core.backend.status().leader;
    let (mut primaries, mut copies) = (0, 0);
    for row in held(view, member.node.as_str()) {
        copies += 1;
        primaries += u64::from(row.primary() == Some(&member.node));
    }
    api::NodeAnswer {
        node: render::node(member, leader.as_ref().map(NodeId::as_str)),
        primaries,
        replicas: copies - primaries,
        incarnation: state.incarnation().0,
        version: state.version().0,
    }
}

/// The rows a node has a copy of.
fn held<'v>(view: &'v View, node: &'v str) -> impl Iterator<Item = Row<'v>> {
    let rows = view
        .state()
        .table()
        .into_iter()
        .flat_map(|table| table.rows());
    rows.filter(move |row| row.contains(node))
}

pub(super) fn partitions(core: &Core, ask: &Ask<'_>) -> Answer {
    let view = formed(core)?;
    let state = view.state();
    let member = known_node(state, &ask.name()?)?;
    let mut answer = api::NodePartitions {
        node: member.node.to_string(),
        incarnation: state.incarnation().0,
        version: state.version().0,
        ..Default::default()
    };
    for row in held(&view, member.node.as_str()) {
        let is_primary = row.primary() == Some(&member.node);
        let of_role = if is_primary {
            &mut answer.primary
        } else {
            &mut answer.replica
        };
        of_role.push(PartitionRow::new(state, row).owned());
    }
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

/// A path segment as a node of the cluster.
fn target(core: &Core, order: &Order) -> Result<NodeId, Refused> {
    let view = formed(core)?;
    known_node(view.state(), &order.name()?).map(|member| member.node.clone())
}

pub(super) async fn update(core: Arc<Core>, order: Order) -> Answer {
    let patch: api::NodePatch = body::parse(&order.body)?;
    let node = target(&core, &order)?;
    let change = MemberChange {
        display_name: patch.name,
        weight: patch.weight,
        domain: patch
            .domain
            .map(|path| path.map(|path| domain(&path)).transpose())
            .transpose()?,
        services: patch.services,
        labels: patch.labels,
        state: patch.state.map(|state| match state {
            api::NodeState::Active => NodeState::Active,
            api::NodeState::Cordoned => NodeState::Cordoned,
            api::NodeState::Draining => NodeState::Draining,
        }),
        ..MemberChange::default()
    };
    change_node(&core, node, change).await
}

async fn change_node(core: &Core, node: NodeId, change: MemberChange) -> Answer {
    let operation = Operation::Update {
        node: node.clone(),
        change,
    };
    execute(core, operation).await?;
    let view = formed(core)?;
    let member = known_node(view.state(), node.as_str())?;
    Ok(done(
        StatusCode::OK,
        Some(view.version()),
        &answer(core, &view, member),
    ))
}

/// Drain, cordon, uncordon. What is left on a node that is being drained is told by looking at it.
pub(super) async fn put_into(core: Arc<Core>, order: Order, state: NodeState) -> Answer {
    no_fields(&order)?;
    let node = target(&core, &order)?;
    let change = MemberChange {
        state: Some(state),
        ..MemberChange::default()
    };
    change_node(&core, node, change).await
}

pub(super) async fn remove(core: Arc<Core>, order: Order) -> Answer {
    let node = target(&core, &order)?;
    execute(&core, Operation::Remove { node: node.clone() }).await?;
    let view = formed(&core)?;
    let state = view.state();
    let answer = api::Removed {
        node: node.to_string(),
        node_count: state.members().len() as u64,
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

/// A failure domain from a body.
pub(super) fn domain(path: &str) -> Result<Domain, Refused> {
    path.parse().map_err(|error: ck_core::IdError| {
        Problem::new(Code::InvalidBody, error.to_string())
            .with_field("domain")
            .with_value(path)
            .into()
    })
}
