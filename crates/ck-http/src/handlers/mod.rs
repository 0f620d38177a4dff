//! The table of routes, and what each of them does.

mod backup;
mod cluster;
mod config;
mod consensus;
mod custom;
mod described;
mod health;
mod join;
mod metrics;
mod nodes;
mod operate;
mod ownership;
mod partitions;
mod plans;
mod questions;
mod table;

use std::sync::Arc;

use ck_api::{Code, Problem, Role};
use ck_core::NodeState;
use ck_node::{Operation, Outcome};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::backend::BoxFuture;
use crate::body;
use crate::refusal;
use crate::reply::{Refused, done};
use crate::route::{Answer, Handler, Order, Route};
use crate::surface::Core;
use crate::view::View;

const fn look(
    path: &'static str,
    bare: bool,
    look: fn(&Core, &crate::route::Ask<'_>) -> crate::route::Answer,
) -> Route {
    Route {
        method: Method::GET,
        path,
        role: Role::Read,
        bare,
        handler: Handler::Look(look),
    }
}

/// As [`look`], answered now or later.
const fn wait(
    path: &'static str,
    wait: fn(&Arc<Core>, &crate::route::Ask<'_>) -> Result<crate::route::Later, Refused>,
) -> Route {
    Route {
        method: Method::GET,
        path,
        role: Role::Read,
        bare: false,
        handler: Handler::Wait(wait),
    }
}

const fn act(
    method: Method,
    path: &'static str,
    role: Role,
    act: fn(Arc<Core>, Order) -> BoxFuture<'static, Answer>,
) -> Route {
    Route {
        method,
        path,
        role,
        bare: false,
        handler: Handler::Act(act),
    }
}

/// As [`act`], served without the prefix as well.
const fn bare(
    path: &'static str,
    role: Role,
    act: fn(Arc<Core>, Order) -> BoxFuture<'static, Answer>,
) -> Route {
    Route {
        method: Method::POST,
        path,
        role,
        bare: true,
        handler: Handler::Act(act),
    }
}

/// Every route there is. `true` marks those also served without the prefix.
pub(crate) static ROUTES: &[Route] = &[
    look("/partitions", true, partitions::list),
    look("/partitions/stats", true, partitions::stats),
    look("/partitions/key", true, partitions::by_key),
    look("/partitions/{id}", true, partitions::one),
    look("/cluster", true, cluster::cluster),
    look("/nodes", true, nodes::list),
    look("/nodes/{id}", false, nodes::one),
    look("/nodes/{id}/partitions", false, nodes::partitions),
    look("/custom", false, custom::list),
    look("/custom/{key}", false, custom::read),
    look("/health", true, health::health),
    look("/health/detailed", true, health::detailed),
    look("/ready", true, health::ready),
    look("/metrics", true, metrics::metrics),
    look("/consensus/leader", true, consensus::leader),
    look("/consensus/stats", true, consensus::stats),
    look("/peer", false, cluster::peer),
    look("/config", false, config::look),
    look("/history", false, questions::history),
    look("/transfers", false, questions::transfers),
    look("/nodes/{id}/may-stop", false, questions::may_stop),
    wait("/table", table::table),
    wait("/watch", table::watch),
    look("/openapi.json", true, described::document),
    look("/explain/{id}", false, questions::explain),
    look("/explain/{id}/why-not/{node}", false, questions::why_not),
    act(Method::GET, "/owned", Role::Read, |core, order| {
        Box::pin(ownership::owned(core, order))
    }),
    // Whoever subscribes becomes the node's application: that is more than a look.
    act(Method::GET, "/orders", Role::Operate, |core, order| {
        Box::pin(ownership::orders(core, order))
    }),
    act(
        Method::POST,
        "/orders/{id}/ack",
        Role::Operate,
        |core, order| Box::pin(ownership::acknowledge(core, order)),
    ),
    bare("/partitions", Role::Operate, |core, order| {
        Box::pin(operate::create(core, order))
    }),
    act(
        Method::POST,
        "/partitions/{id}/promote",
        Role::Admin,
        |core, order| Box::pin(ownership::promote(core, order)),
    ),
    bare("/rebalance", Role::Operate, |core, order| {
        Box::pin(operate::rebalance(core, order))
    }),
    act(Method::POST, "/plans", Role::Operate, |core, order| {
        Box::pin(plans::preview(core, order))
    }),
    act(Method::GET, "/plans/{id}", Role::Read, |core, order| {
        Box::pin(plans::look(core, order))
    }),
    act(
        Method::POST,
        "/plans/{id}/apply",
        Role::Operate,
        |core, order| Box::pin(plans::apply(core, order)),
    ),
    act(
        Method::POST,
        "/plans/{id}/pause",
        Role::Operate,
        |core, order| Box::pin(plans::pause(core, order)),
    ),
    act(
        Method::POST,
        "/plans/{id}/resume",
        Role::Operate,
        |core, order| Box::pin(plans::resume(core, order)),
    ),
    act(
        Method::POST,
        "/plans/{id}/abort",
        Role::Operate,
        |core, order| Box::pin(plans::abort(core, order)),
    ),
    act(
        Method::POST,
        "/brake/release",
        Role::Operate,
        |core, order| Box::pin(ownership::release_brake(core, order)),
    ),
    act(Method::POST, "/backup", Role::Admin, |core, order| {
        Box::pin(backup::take(core, order))
    }),
    bare("/join", Role::Admin, |core, order| {
        Box::pin(join::join(core, order))
    }),
    act(
        Method::POST,
        "/nodes/{id}/drain",
        Role::Operate,
        |core, order| Box::pin(nodes::put_into(core, order, NodeState::Draining)),
    ),
    act(
        Method::POST,
        "/nodes/{id}/cordon",
        Role::Operate,
        |core, order| Box::pin(nodes::put_into(core, order, NodeState::Cordoned)),
    ),
    act(
        Method::POST,
        "/nodes/{id}/uncordon",
        Role::Operate,
        |core, order| Box::pin(nodes::put_into(core, order, NodeState::Active)),
    ),
    act(Method::PATCH, "/nodes/{id}", Role::Admin, |core, order| {
        Box::pin(nodes::update(core, order))
    }),
    act(Method::DELETE, "/nodes/{id}", Role::Admin, |core, order| {
        Box::pin(nodes::remove(core, order))
    }),
    act(Method::PATCH, "/config", Role::Admin, |core, order| {
        Box::pin(config::change(core, order))
    }),
    Route {
        method: Method::PUT,
        path: "/custom/{key}",
        role: Role::Operate,
        bare: false,
        handler: Handler::ActRaw(|core, order| Box::pin(custom::write(core, order))),
    },
    act(
        Method::DELETE,
        "/custom/{key}",
        Role::Operate,
        |core, order| Box::pin(custom::delete(core, order)),
    ),
];

/// Who is written down as having asked: operations over HTTP come from operators.
const ACTOR: &str = "operator";

/// Carries an operation out. A refusal that an old picture of the state may have led to says where
/// things stand.
async fn execute(core: &Core, operation: Operation) -> Result<Outcome, Refused> {
    let done = core.backend.execute(operation, ACTOR.to_owned()).await;
    done.map_err(|error| refusal::with_newest(&error, &core.backend.state()))
}

/// As [`execute`], answered with where the state stands afterwards.
async fn changed(core: &Core, operation: Operation) -> Answer {
    execute(core, operation).await?;
    let view = formed(core)?;
    let answer = ck_api::Changed {
        incarnation: view.state().incarnation().0,
        version: view.state().version().0,
    };
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

/// The present state of a node that is part of a cluster.
fn formed(core: &Core) -> Result<Arc<View>, Refused> {
    let view = core.view();
    if view.state().formed().is_some() {
        return Ok(view);
    }
    let reasons = core.backend.unready();
    let waits = if reasons.is_empty() {
        "it is starting".to_owned()
    } else {
        reasons.join("; ")
    };
    let detail = format!("this node is not part of a cluster yet: {waits}");
    Err(Problem::new(Code::NotFormed, detail)
        .with_retry_after_ms(1000)
        .into())
}

/// The present state once the partitions exist.
fn with_partitions(core: &Core) -> Result<Arc<View>, Refused> {
    let view = formed(core)?;
    if view.state().table().is_some() {
        return Ok(view);
    }
    let detail = "the partitions have not been created yet; create them with POST /v1/partitions";
    Err(Refused::new(Code::NoPartitions, detail))
}

/// A body that may be absent, which then means all defaults.
fn optional<T: DeserializeOwned + Default>(order: &Order) -> Result<T, Refused> {
    if order.body.is_empty() {
        Ok(T::default())
    } else {
        body::parse(&order.body)
    }
}
