//! Figures, the hash configuration, and the captured table row for row.

use ck_http::fake::Fake;
use serde_json::{Value, json};

use crate::support::Live;

#[tokio::test]
async fn any_language_can_compute_the_route_from_the_hash_configuration() {
    let live = Live::three().await;
    let md5 = live.get("/cluster").await.json()["hash_config"].clone();
    assert_eq!(
        (&md5["algorithm"], &md5["hash"]),
        (&json!("md5"), &json!("md5-mod"))
    );
    let live = Live::start(Fake::with_partitions(ck_control::Config::default(), 3)).await;
    let xxh3 = live.get("/cluster").await.json()["hash_config"].clone();
    assert_eq!(
        (&xxh3["algorithm"], &xxh3["seed"]),
        (&json!("xxh3"), &json!(0))
    );
    assert_eq!(xxh3["partitions"], 64);
    assert!(xxh3["formula"].as_str().unwrap().contains(">> 64"));
}

#[tokio::test]
async fn figures_are_counted() {
    let live = Live::three().await;
    for _ in 0..3 {
        live.get("/health").await;
    }
    live.get("/nothing").await;
    let metrics = live.get("/metrics").await.json();
    assert_eq!(
        (&metrics["request_count"], &metrics["error_count"]),
        (&json!(4), &json!(1))
    );
    let stats = live.get("/consensus/stats").await.json();
    for figure in [
        "term",
        "last_log_index",
        "last_log_term",
        "commit_index",
        "applied_index",
    ] {
        assert!(stats[figure].as_u64().unwrap() > 0, "{figure}");
    }
    let leader = live.get("/consensus/leader").await.json();
    assert_eq!(leader["elected_at"], "2026-11-23T04:11:57.000Z");
}

#[tokio::test]
async fn what_is_due_to_each_node_adds_up_to_what_there_is() {
    let live = Live::three().await;
    let stats = live.get("/v1/partitions/stats").await.json();
    let shares = stats["shares"].as_object().unwrap();
    assert_eq!(shares.len(), 3);
    // 64 partitions, 3 copies, on 3 nodes of one weight; thousandths are rounded down.
    for (node, share) in shares {
        let due = json!({"copies_permille": 64_000, "primaries_permille": 21_333});
        assert_eq!(share, &due, "{node}");
    }
}

#[tokio::test]
async fn metrics_are_text_for_those_who_ask() {
    let live = Live::three().await;
    let text = live
        .send("GET", "/metrics", &[("accept", "text/plain")], b"")
        .await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let body = String::from_utf8(text.body).unwrap();
    for line in [
        "clusterkit_nodes 3.0",
        "clusterkit_partitions 64.0",
        "clusterkit_partition_states{state=\"stable\"} 64",
        "clusterkit_http_requests_total{status=\"2xx\"} 0",
        "clusterkit_leader 1.0",
    ] {
        assert!(
            body.lines().any(|known| known == line),
            "{line} is not in\n{body}"
        );
    }
    assert_eq!(
        live.get("/metrics").await.header("content-type"),
        Some("application/json")
    );
    let versioned = live.get("/v1/metrics").await;
    assert!(
        versioned
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let live = Live::three().await;
    let got = live.send("HEAD", "/partitions", &[], b"").await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    let length: usize = got.header("content-length").unwrap().parse().unwrap();
    assert_eq!(length, live.get("/partitions").await.body.len());
}

#[tokio::test]
async fn the_table_is_the_captured_one_row_for_row() {
    let live = Live::three().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seed/partitions.json");
    let fixture: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let ours = live.get("/partitions").await.json();
    let theirs = fixture["body"]["partitions"].as_array().unwrap();
    assert_eq!(theirs.len(), 64);
    for row in theirs {
        let number: usize = row["id"].as_str().unwrap()["partition-".len()..]
            .parse()
            .unwrap();
        let our_row = &ours["partitions"][number];
        for field in ["id", "primary_node", "replica_nodes"] {
            assert_eq!(our_row[field], row[field], "{row}");
        }
    }
}
