//! What this node may act on, and what its application is to do. Answered by the node that is
//! asked, never passed on.

use std::sync::Arc;

use ck_api as api;
use ck_api::{Code, Problem, Role};
use ck_core::PartitionId;
use ck_node::{Operation, Owned};
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};

use crate::body;
use crate::handlers::partitions::{known_partition, parse_id};
use crate::handlers::{changed, formed, with_partitions};
use crate::orders::Orders;
use crate::query;
use crate::reply::{Refused, done, plain_with};
use crate::route::{Answer, Order};
use crate::stream::{Events, ReplyBody};
use crate::surface::Core;

pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

pub(super) async fn owned(core: Arc<Core>, order: Order) -> Answer {
    query::only(order.query(), &[])?;
    let view = formed(&core)?;
    let answer = answer(&core, core.backend.owned().await?);
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

/// Without a lease nothing is owned, whatever the gates said a moment before.
fn answer(core: &Core, owned: Owned) -> api::Owned {
    let lease = owned.lease_remaining;
    let tokens = owned.tokens.into_iter().filter(|_| !lease.is_zero());
    api::Owned {
        owned: tokens
            .map(|token| api::OwnedPartition {
                id: token.partition.to_string(),
                epoch: token.epoch.0,
            })
            .collect(),
        incarnation: owned.incarnation.0,
        lease_remaining_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
        version: owned.version.0,
        node: core.backend.status().node.to_string(),
        session: owned.session.map(|session| session.0),
    }
}

pub(super) async fn orders(core: Arc<Core>, order: Order) -> Answer {
    query::only(order.query(), &[])?;
    formed(&core)?;
    let book = taken(&core)?;
    // Asked for the head alone, which must not make the caller the application.
    if order.head.method == Method::HEAD {
        return Ok(plain_with(StatusCode::OK, EVENTS, ReplyBody::default()));
    }
    let admitted = core
        .config
        .tokens
        .admit_for_long(&order.head.headers, Role::Operate);
    let tokens = match admitted {
        Ok(tokens) => tokens,
        Err(denied) => return Ok(denied.reply()),
    };
    // Whoever follows the orders was told what the node owns: that is written down first.
    let owned = answer(&core, core.backend.owned().await?);
    let view = formed(&core)?;
    let table = view.state().table();
    let rows = table.into_iter().flat_map(|table| table.rows());
    let copies = rows.filter(|row| row.replicas().any(|node| node.as_str() == owned.node));
    let state = api::OrdersState {
        replicas: copies.map(|row| row.partition().to_string()).collect(),
        owned,
        open: 0,
    };
    let queue = book.subscribe(state)?;
    let idle = core.config.limits.idle_timeout;
    let events = Events::new(queue, idle, core.closing.subscribe(), tokens);
    Ok(plain_with(StatusCode::OK, EVENTS, events.into()))
}

/// The orders, on a node that gives any.
fn taken(core: &Core) -> Result<&Orders, Refused> {
    core.orders.as_ref().ok_or_else(|| {
        let detail = "this node's handler is within its process, so there are no orders to follow";
        Refused::new(Code::NoOrders, detail)
    })
}

pub(super) async fn acknowledge(core: Arc<Core>, order: Order) -> Answer {
    let ack: api::OrderAck = body::parse(&order.body)?;
    let acked = taken(&core)?.acknowledge(&order.name()?, &ack)?;
    Ok(done(StatusCode::OK, Some(core.view().version()), &acked))
}

pub(super) async fn promote(core: Arc<Core>, order: Order) -> Answer {
    let request: api::PromoteRequest = body::parse(&order.body)?;
    let view = with_partitions(&core)?;
    let partition: PartitionId = parse_id("id", &order.name()?)?;
    known_partition(&view, partition)?;
    let node = request.node.parse().map_err(|error: ck_core::IdError| {
        let problem = Problem::new(Code::InvalidBody, error.to_string());
        Refused::from(problem.with_field("node").with_value(&*request.node))
    })?;
    let operation = Operation::Promote {
        partition,
        node,
        accept_loss: request.accept_data_loss,
    };
    changed(&core, operation).await
}

pub(super) async fn release_brake(core: Arc<Core>, order: Order) -> Answer {
    super::operate::no_fields(&order)?;
    formed(&core)?;
    changed(&core, Operation::ReleaseBrake).await
}
