//! What is said of the routes that carry something out.

use ck_api as api;
use hyper::Method;
use serde_json::json;

use super::words::{Answered, Described, number, route};

/// A body without fields.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Nothing {}

fn post(path: &'static str, says: &'static str) -> Described {
    route(Method::POST, path, says)
}

pub(super) fn all() -> Vec<Described> {
    [partitions(), plans(), nodes(), values()]
        .into_iter()
        .flatten()
        .collect()
}

fn partitions() -> Vec<Described> {
    vec![
        post("/partitions", "Creates the partitions, once.")
            .may_read::<Nothing>()
            .gives::<api::PartitionList>(201, "They were created.")
            .gives::<api::PartitionList>(200, "They were there.")
            .refuses(&[409]),
        post(
            "/partitions/{id}/promote",
            "A primary for a partition that nobody serves.",
        )
        .reads::<api::PromoteRequest>()
        .gives::<api::Changed>(200, "It has one.")
        .refuses(&[404, 409]),
        post(
            "/rebalance",
            "Plans, and begins the plan unless `dry_run` is set.",
        )
        .may_read::<api::RebalanceRequest>()
        .gives::<api::RebalanceAnswer>(200, "The plan.")
        .refuses(&[409]),
        post(
            "/orders/{id}/ack",
            "The application has done what it was told, or reports how far it is.",
        )
        .reads::<api::OrderAck>()
        .gives::<api::OrderAcked>(200, "It is noted.")
        .refuses(&[404, 409]),
        post(
            "/brake/release",
            "Moves go on, after many nodes were lost at once.",
        )
        .may_read::<Nothing>()
        .gives::<api::Changed>(200, "They do.")
        .refuses(&[409]),
    ]
}

fn plans() -> Vec<Described> {
    let condition = "Incarnation and version the plan was made for: `\"1.12\"`.";
    let steer = |path, says| {
        post(path, says)
            .may_read::<Nothing>()
            .gives::<api::Plan>(200, "The plan as it stands.")
            .refuses(&[404, 409])
    };
    vec![
        post(
            "/plans",
            "A plan as data: moves, cost, rounds, reasons. Changes nothing.",
        )
        .may_read::<Nothing>()
        .gives::<api::Plan>(201, "The plan; its path is in `Location`.")
        .refuses(&[409]),
        post(
            "/plans/{id}/apply",
            "Begins a plan, if what it was made for still holds.",
        )
        .heeds("If-Match", json!({"type": "string"}), condition)
        .may_read::<Nothing>()
        .gives::<api::Plan>(202, "It has begun.")
        .refuses(&[404, 409, 412]),
        steer(
            "/plans/{id}/pause",
            "Begins no further moves of the plan under way.",
        ),
        steer("/plans/{id}/resume", "Goes on with the plan under way."),
        steer(
            "/plans/{id}/abort",
            "Gives up the plan under way. Moves that have begun go on.",
        ),
    ]
}

fn nodes() -> Vec<Described> {
    let put = |path, says| {
        post(path, says)
            .may_read::<Nothing>()
            .gives::<api::NodeAnswer>(200, "The node as it stands.")
            .refuses(&[404, 409])
    };
    vec![
        post("/join", "A node, or an operator for it, registers.")
            .reads::<api::JoinRequest>()
            .gives::<api::JoinAnswer>(200, "It is a member.")
            .refuses(&[409, 422]),
        put("/nodes/{id}/drain", "Empties a node."),
        put("/nodes/{id}/cordon", "Gives a node nothing new."),
        put("/nodes/{id}/uncordon", "Takes a drain or a cordon back."),
        route(
            Method::PATCH,
            "/nodes/{id}",
            "Changes what is known of a node.",
        )
        .reads::<api::NodePatch>()
        .gives::<api::NodeAnswer>(200, "The node as it stands.")
        .refuses(&[404, 409]),
        route(
            Method::DELETE,
            "/nodes/{id}",
            "Removes a node. Refused while it has to be emptied: ask again.",
        )
        .gives::<api::Removed>(200, "It is gone.")
        .refuses(&[404, 409]),
        route(
            Method::PATCH,
            "/config",
            "Changes the configuration. The mode, the lease and the rest in a request each.",
        )
        .reads::<api::ConfigPatch>()
        .gives::<api::ConfigAnswer>(200, "The configuration as it stands.")
        .refuses(&[409]),
    ]
}

fn values() -> Vec<Described> {
    let bytes = || vec![("application/octet-stream", Answered::Bytes)];
    let expected = "The version the value has to have; 0 is that there is none.";
    vec![
        post(
            "/backup",
            "Everything the cluster has agreed on. A file that `ck restore` reads.",
        )
        .may_read::<Nothing>()
        .gives_as(200, "The backup.", bytes()),
        route(
            Method::PUT,
            "/custom/{key}",
            "Stores a small replicated value.",
        )
        .takes("expected", number(0, u64::MAX), expected)
        .reads_bytes()
        .gives::<api::CustomStored>(200, "It is stored.")
        .refuses(&[404, 409, 412]),
        route(
            Method::DELETE,
            "/custom/{key}",
            "Deletes a small replicated value.",
        )
        .takes("expected", number(0, u64::MAX), expected)
        .gives::<api::CustomDeleted>(200, "It is gone.")
        .refuses(&[404, 409, 412]),
    ]
}
