//! Figures, the hash configuration, and the captured table row for row.

use std::collections::BTreeSet;

use std::sync::Arc;
use std::time::Duration;

use ck_control::MemberChange;
use ck_http::fake::Fake;
use ck_http::{Request, Surface, SurfaceConfig};
use ck_node::{FailoverFigures, Operation};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::support::{Live, PATIENCE, captured};

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
        "clusterkit_partition_states{state=\"stable\"} 64.0",
        "clusterkit_transfers{stage=\"prepare\"} 0.0",
        "clusterkit_node_copies{node=\"node-1\"} 64.0",
        "clusterkit_node_primaries_quota{node=\"node-1\"} 21.333",
        "clusterkit_lease_remaining_seconds 1.4",
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

/// The figures as text.
async fn figures(live: &Live) -> String {
    let text = live.get("/v1/metrics").await;
    String::from_utf8(text.body).unwrap()
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_route_and_no_caller_makes_up_routes() {
    let live = Live::three().await;
    for path in ["/v1/nodes/node-1", "/v1/nodes/node-2", "/nodes/absent"] {
        live.get(path).await;
    }
    for number in 0..50 {
        live.get(&format!("/made-up-{number}")).await;
    }
    let body = figures(&live).await;
    for line in [
        "clusterkit_http_requests_total{method=\"GET\",route=\"/nodes/{id}\",status=\"2xx\"} 2.0",
        "clusterkit_http_requests_total{method=\"-\",route=\"none\",status=\"4xx\"} 51.0",
        "clusterkit_http_request_duration_seconds_count{method=\"GET\",route=\"/nodes/{id}\"} 2",
        "clusterkit_http_request_duration_seconds_bucket{le=\"+Inf\",method=\"GET\",route=\"/nodes/{id}\"} 2",
    ] {
        assert!(
            body.lines().any(|known| known == line),
            "{line} is not in\n{body}"
        );
    }
    assert!(!body.contains("made-up"), "{body}");
}

#[tokio::test]
async fn failovers_are_told_by_how_long_they_took() {
    let live = Live::three().await;
    let mut known = FailoverFigures::default();
    for ms in [2_150, 2_400, 3_700] {
        known.granted.add(Duration::from_millis(ms));
    }
    known.begun.add(Duration::from_micros(300));
    live.fake.knows_failovers(known);
    let body = figures(&live).await;
    for line in [
        "clusterkit_failover_duration_seconds_bucket{le=\"2.0\"} 0",
        "clusterkit_failover_duration_seconds_bucket{le=\"2.5\"} 2",
        "clusterkit_failover_duration_seconds_bucket{le=\"+Inf\"} 3",
        "clusterkit_failover_duration_seconds_sum 8.25",
        "clusterkit_failover_begin_duration_seconds_bucket{le=\"0.001\"} 1",
        "clusterkit_failover_begin_duration_seconds_count 1",
    ] {
        assert!(
            body.lines().any(|known| known == line),
            "{line} is not in\n{body}"
        );
    }
}

/// Waits until a figure of the surface is as it should be.
async fn until(surface: &Surface, name: &str, right: impl Fn(f64) -> bool) {
    let looking = async {
        loop {
            let ask = Request::get("/v1/metrics").header("host", "localhost");
            let ask = ask.body(Empty::<Bytes>::new()).unwrap();
            let body = surface.handle(ask).await.into_body().collect().await;
            let body = String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap();
            let line = body.lines().find_map(|line| line.strip_prefix(name));
            if right(line.expect("it is served").trim().parse().unwrap()) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, looking).await;
    waited.unwrap_or_else(|_| panic!("{name} is not as it should be"));
}

#[tokio::test]
async fn a_watcher_is_behind_for_as_long_as_it_takes_nothing() {
    let fake = Arc::new(Fake::with_partitions(captured(), 3));
    let surface = Surface::new(SurfaceConfig::default(), Arc::clone(&fake) as _).unwrap();
    let ask = Request::get("/v1/watch").header("host", "localhost");
    let ask = ask.body(Empty::<Bytes>::new()).unwrap();
    let mut watch = surface.handle(ask).await.into_body();
    for _ in 0..2 {
        watch.frame().await.unwrap().unwrap();
    }
    let versions = "clusterkit_http_watch_lag_versions ";
    until(&surface, versions, |behind| behind == 0.0).await;
    for weight in 2..5 {
        let operation = Operation::Update {
            node: "node-2".parse().unwrap(),
            change: MemberChange {
                weight: Some(weight),
                ..MemberChange::default()
            },
        };
        fake.operate(operation).unwrap();
    }
    until(&surface, versions, |behind| behind == 3.0).await;
    until(&surface, "clusterkit_http_watch_lag_seconds ", |time| {
        time > 0.001
    })
    .await;
    until(
        &surface,
        "clusterkit_http_watch_delay_seconds_count ",
        |count| count == 0.0,
    )
    .await;
    let reading = tokio::spawn(async move { while watch.frame().await.is_some() {} });
    until(&surface, versions, |behind| behind == 0.0).await;
    until(&surface, "clusterkit_http_watch_lag_seconds ", |time| {
        time == 0.0
    })
    .await;
    until(
        &surface,
        "clusterkit_http_watch_delay_seconds_sum ",
        |time| time > 0.001,
    )
    .await;
    reading.abort();
}

#[tokio::test]
async fn every_figure_is_documented_and_every_documented_one_is_there() {
    let live = Live::three().await;
    let body = figures(&live).await;
    let served: BTreeSet<(String, String)> = body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("a name and a type");
            let total = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{total}"), kind.to_owned())
        })
        .collect();
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let documented: BTreeSet<(String, String)> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `clusterkit_"))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let name = cells.next().expect("a name").trim_end_matches('`');
            let kind = cells.next().expect("a type");
            (format!("clusterkit_{name}"), kind.to_owned())
        })
        // What to be told of begins with a name as well, and goes on.
        .filter(|(name, _)| !name.contains(' '))
        .collect();
    assert_eq!(served, documented);
    // What the guide advises to be told of is among them.
    for word in guide.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let known = |(name, kind): &(String, String)| {
            let bucket = kind == "histogram" && word.strip_suffix("_bucket") == Some(name);
            name == word || bucket
        };
        let is_name = word.starts_with("clusterkit_") && word.len() > "clusterkit_".len();
        assert!(!is_name || served.iter().any(known), "{word}");
    }
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
