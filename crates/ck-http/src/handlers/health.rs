//! Liveness and readiness.

use ck_api as api;
use ck_node::Role;
use hyper::StatusCode;

use crate::reply::{done, json};
use crate::route::{Answer, Ask};
use crate::surface::Core;
use crate::time;

/// Most calls of the application that are listed.
const CALLS_MAX: usize = 100;

/// Alive as long as it can say so; whether it is any use is readiness, and nobody is removed from
/// a cluster for either.
pub(super) fn health(_: &Core, ask: &Ask<'_>) -> Answer {
    let answer = api::Health {
        success: true,
        message: "healthy".to_owned(),
    };
    Ok(json(&ask.head.headers, None, &answer))
}

pub(super) fn ready(core: &Core, _: &Ask<'_>) -> Answer {
    let view = core.view();
    let reasons = core.backend.unready();
    let nodes = view.state().members().len() as u64;
    let partitions = view.partition_count();
    let valid_partitions = view.valid_partitions();
    if reasons.is_empty() {
        let answer = api::Ready {
            nodes,
            partitions,
            ready: true,
            valid_partitions,
        };
        return Ok(done(StatusCode::OK, Some(view.version()), &answer));
    }
    let answer = api::NotReady {
        message: "cluster not ready".to_owned(),
        nodes,
        partitions,
        ready: false,
        valid_partitions,
        reasons,
    };
    Ok(done(
        StatusCode::SERVICE_UNAVAILABLE,
        Some(view.version()),
        &answer,
    ))
}

pub(super) fn detailed(core: &Core, _: &Ask<'_>) -> Answer {
    let view = core.view();
    let status = core.backend.status();
    let reasons = core.backend.unready();
    let answer = api::HealthDetailed {
        healthy: reasons.is_empty(),
        node_id: status.node.to_string(),
        node_name: if status.display_name.is_empty() {
            status.node.to_string()
        } else {
            status.display_name
        },
        is_leader: status.role == Role::Leader,
        node_count: view.state().members().len() as u64,
        partition_count: view.partition_count(),
        raft_state: status.role.name().to_owned(),
        last_sync: time::rfc3339(status.applied_at_ms),
        uptime: time::seconds(status.uptime),
        reasons,
        software: concat!("clusterkit ", env!("CARGO_PKG_VERSION")).to_owned(),
        handler: calls(core),
    };
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

/// What the application does, the most failures first.
fn calls(core: &Core) -> Vec<api::HandlerCall> {
    let mut calls = core.backend.handler_calls();
    calls.sort_by_key(|call| std::cmp::Reverse((call.failures, call.for_ms)));
    calls.truncate(CALLS_MAX);
    calls
}
