//! What is said of the routes that look.

use ck_api as api;
use serde_json::json;

use super::words::{
    Answered, Described, EVENTS, JSON, get, number, of, partition, table_forms, text, version,
};

pub(super) fn all() -> Vec<Described> {
    [
        partitions(),
        cluster(),
        own(),
        questions(),
        table(),
        health(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn partitions() -> Vec<Described> {
    let states = json!({"enum": ["stable", "moving", "degraded", "unavailable"]});
    vec![
        get(
            "/partitions",
            "The partitions, in order of number. Without parameters all of them.",
        )
        .takes("node", text(), "Those that this node has a copy of.")
        .takes("state", states, "Those in this state.")
        .takes("limit", number(1, 100_000), "Most partitions of a page.")
        .takes("after", partition(), "The page begins behind this one.")
        .gives::<api::PartitionList>(200, "The partitions that match.")
        .tagged()
        .refuses(&[404]),
        get("/partitions/stats", "How evenly the partitions are spread.")
            .gives::<api::PartitionStats>(200, "Copies by node and failure domain.")
            .tagged(),
        get("/partitions/key", "Where a key is.")
            .needs(
                "key",
                text(),
                "The key: bytes, after `+` and percent-decoding.",
            )
            .gives::<api::PartitionAnswer>(200, "Its partition, and who has it.")
            .tagged()
            .refuses(&[409]),
        get(
            "/partitions/{id}",
            "One partition: its copies and its move.",
        )
        .gives::<api::PartitionAnswer>(200, "The partition.")
        .tagged()
        .refuses(&[404, 409]),
    ]
}

fn cluster() -> Vec<Described> {
    vec![
        get(
            "/cluster",
            "The cluster: nodes, partitions, configuration, how keys are hashed.",
        )
        .gives::<api::ClusterAnswer>(200, "The cluster.")
        .tagged(),
        get(
            "/config",
            "The configuration of the cluster, every limit in it.",
        )
        .gives::<api::ConfigAnswer>(200, "The configuration.")
        .tagged(),
        get(
            "/nodes",
            "The nodes, a page at a time, in the order they joined.",
        )
        .takes(
            "limit",
            number(1, 1000),
            "Most nodes of a page; 50 unless said.",
        )
        .takes(
            "offset",
            number(0, u64::from(u32::MAX)),
            "Nodes left out before it.",
        )
        .gives::<api::NodePage>(200, "A page.")
        .tagged(),
        get(
            "/nodes/{id}",
            "One node, with how many copies it holds, which is how far a drain is.",
        )
        .gives::<api::NodeAnswer>(200, "The node.")
        .tagged()
        .refuses(&[404]),
        get("/nodes/{id}/partitions", "What a node holds, by role.")
            .gives::<api::NodePartitions>(200, "Its partitions.")
            .tagged()
            .refuses(&[404]),
        get(
            "/peer",
            "Whom a joining node talks to. Answered before a cluster is formed, too.",
        )
        .gives::<api::Peer>(200, "This node, to its peers.")
        .tagged()
        .without_version(),
    ]
}

/// What this node keeps and what it may do.
fn own() -> Vec<Described> {
    vec![
        get(
            "/custom",
            "The keys of small replicated values, in order, a page at a time.",
        )
        .takes("prefix", text(), "Those that begin so.")
        .takes("after", text(), "The page begins behind this key.")
        .takes(
            "limit",
            number(1, 1000),
            "Most keys of a page; 1,000 unless said.",
        )
        .gives::<api::CustomList>(200, "The keys.")
        .tagged(),
        get(
            "/custom/{key}",
            "A small replicated value. Its version is in `ck-value-version`.",
        )
        .gives_as(
            200,
            "The value.",
            vec![("application/octet-stream", Answered::Bytes)],
        )
        .tagged()
        .refuses(&[404]),
        get(
            "/owned",
            "What this node may act on at this instant, its lease checked.",
        )
        .gives::<api::Owned>(200, "The partitions it owns; none without a lease.")
        .refuses(&[408, 504]),
    ]
}

fn questions() -> Vec<Described> {
    vec![
        get(
            "/nodes/{id}/may-stop",
            "Whether a node may be stopped without harm.",
        )
        .gives::<api::MayStop>(200, "Yes, or the reasons why not.")
        .tagged()
        .refuses(&[404]),
        get(
            "/explain/{id}",
            "Why a partition is where it is and as it is.",
        )
        .gives::<api::Explanation>(200, "The reasons.")
        .tagged()
        .refuses(&[404, 409]),
        get(
            "/explain/{id}/why-not/{node}",
            "Why a node is not the primary of a partition.",
        )
        .gives::<api::WhyNot>(200, "The reasons.")
        .tagged()
        .refuses(&[404, 409]),
        get(
            "/history",
            "Who changed what, when and why. Without `from` the newest entries.",
        )
        .takes("from", version(), "The first version of interest.")
        .takes("to", version(), "The last one.")
        .takes("limit", number(1, 1000), "Most entries.")
        .gives::<api::History>(200, "The entries, oldest first.")
        .tagged(),
        get(
            "/transfers",
            "The moves under way, and whom each waits for.",
        )
        .gives::<api::TransferList>(200, "The moves.")
        .tagged(),
        get("/plans/{id}", "A plan as it stands.")
            .gives::<api::Plan>(200, "The plan.")
            .tagged()
            .refuses(&[404]),
    ]
}

fn table() -> Vec<Described> {
    let forms = || table_forms(of::<api::TableAnswer>);
    let events = || vec![(EVENTS, Answered::Text)];
    let resumed = "The id of the last event that was read; stands before `from`.";
    vec![
        get(
            "/table",
            "The whole table, compact. Rows name members by number.",
        )
        .takes("min_version", version(), "Nothing older than this.")
        .takes("wait", number(0, 60), "Seconds to wait for `min_version`.")
        .takes("at", version(), "The table as it was at this version.")
        .heeds(
            "Accept",
            json!({"type": "string"}),
            "JSON or `application/x-bincode`.",
        )
        .gives_as(200, "The table.", forms())
        .tagged()
        .refuses(&[404, 406, 410]),
        get(
            "/watch",
            "What changes of the table, as events, for as long as the caller listens.",
        )
        .takes("from", version(), "The version the caller has.")
        .heeds("Last-Event-ID", version(), resumed)
        .gives_as(
            200,
            "Events `table`, `delta`, `lifecycle`, `heartbeat`, `dropped`.",
            events(),
        )
        .refuses(&[410]),
        get(
            "/orders",
            "What this node's application is to do, as events. Whoever asks becomes it.",
        )
        .gives_as(200, "Events `state`, then an order each.", events())
        .without_version()
        .refuses(&[409]),
    ]
}

fn health() -> Vec<Described> {
    let figures = || {
        vec![
            (JSON, Answered::Json(of::<api::Metrics>)),
            ("text/plain", Answered::Text),
            ("application/openmetrics-text", Answered::Text),
        ]
    };
    vec![
        get("/health", "Whether the process lives.")
            .gives::<api::Health>(200, "It does.")
            .tagged()
            .without_version(),
        get("/health/detailed", "How the node is, at length.")
            .gives::<api::HealthDetailed>(200, "How it is."),
        get("/ready", "Whether the node serves.")
            .gives::<api::Ready>(200, "It does.")
            .gives::<api::NotReady>(503, "Not yet, or not any more; `reasons` say why."),
        get("/metrics", "Figures: Prometheus text, or JSON by `Accept`.")
            .heeds("Accept", json!({"type": "string"}), "The form.")
            .gives_as(200, "The figures.", figures())
            .without_version(),
        get(
            "/consensus/leader",
            "The leader of the consensus, as this node sees it.",
        )
        .gives::<api::ConsensusLeader>(200, "The leader; empty while there is none."),
        get(
            "/consensus/stats",
            "Figures of the consensus, as this node sees it.",
        )
        .gives::<api::ConsensusStats>(200, "The figures.")
        .without_version(),
        get("/openapi.json", "This description.")
            .gives_as(200, "The description.", vec![(JSON, Answered::Bytes)])
            .tagged()
            .without_version(),
    ]
}
