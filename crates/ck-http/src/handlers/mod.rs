//! The table of routes, and what each of them does.

mod cluster;
mod consensus;
mod custom;
mod health;
mod join;
mod metrics;
mod nodes;
mod operate;
mod partitions;

use ck_api::{Code, Problem, Role};
use hyper::Method;
use serde::de::DeserializeOwned;

use crate::body;
use crate::reply::Refused;
use crate::route::{Handler, Order, Route};
use crate::surface::Core;
use crate::view::View;
use std::sync::Arc;

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

/// Every route there is. `true` marks those also served without the prefix.
pub(crate) const ROUTES: &[Route] = &[
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
    Route {
        method: Method::POST,
        path: "/partitions",
        role: Role::Operate,
        bare: true,
        handler: Handler::Act(|core, order| Box::pin(operate::create(core, order))),
    },
    Route {
        method: Method::POST,
        path: "/rebalance",
        role: Role::Operate,
        bare: true,
        handler: Handler::Act(|core, order| Box::pin(operate::rebalance(core, order))),
    },
    Route {
        method: Method::POST,
        path: "/join",
        role: Role::Admin,
        bare: true,
        handler: Handler::Act(|core, order| Box::pin(join::join(core, order))),
    },
    Route {
        method: Method::PATCH,
        path: "/nodes/{id}",
        role: Role::Admin,
        bare: false,
        handler: Handler::Act(|core, order| Box::pin(nodes::update(core, order))),
    },
    Route {
        method: Method::DELETE,
        path: "/nodes/{id}",
        role: Role::Admin,
        bare: false,
        handler: Handler::Act(|core, order| Box::pin(nodes::remove(core, order))),
    },
    Route {
        method: Method::PATCH,
        path: "/config",
        role: Role::Admin,
        bare: false,
        handler: Handler::Act(|core, order| Box::pin(operate::configure(core, order))),
    },
    Route {
        method: Method::PUT,
        path: "/custom/{key}",
        role: Role::Operate,
        bare: false,
        handler: Handler::ActRaw(|core, order| Box::pin(custom::write(core, order))),
    },
    Route {
        method: Method::DELETE,
        path: "/custom/{key}",
        role: Role::Operate,
        bare: false,
        handler: Handler::Act(|core, order| Box::pin(custom::delete(core, order))),
    },
];

/// Who is written down as having asked: operations over HTTP come from operators.
const ACTOR: &str = "operator";

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
