//! Looking: partitions, nodes, tags.

use ck_control::{Command, MemberChange};
use ck_http::fake::Fake;
use serde_json::json;

use crate::support::{Live, captured};

/// Paths that clients of the Go library ask for, each with a body that depends on the state alone.
const TABLE_PATHS: [&str; 6] = [
    "/partitions",
    "/partitions/stats",
    "/partitions/key?key=user:1001",
    "/partitions/partition-3",
    "/cluster",
    "/nodes?limit=2",
];

#[tokio::test]
async fn partitions_are_listed_in_order_of_number() {
    let live = Live::three().await;
    let answer = live.get("/partitions").await.json();
    let ids: Vec<_> = answer["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["id"])
        .collect();
    let expected: Vec<_> = (0..64)
        .map(|number| format!("partition-{number}"))
        .collect();
    assert_eq!(ids, expected.iter().collect::<Vec<_>>());
    assert_eq!(
        (&answer["count"], &answer["incarnation"]),
        (&json!(64), &json!(1))
    );
    assert_eq!(answer["partitions"][0]["state"], "stable");
    assert_eq!(answer["partitions"][0]["epoch"], 1);
}

#[tokio::test]
async fn old_paths_are_answered_with_and_without_the_prefix() {
    let live = Live::three().await;
    for path in TABLE_PATHS {
        let (bare, prefixed) = (live.get(path).await, live.get(&format!("/v1{path}")).await);
        assert_eq!((bare.status, prefixed.status), (200, 200), "{path}");
        assert_eq!(bare.body, prefixed.body, "{path}");
    }
    assert_eq!(live.get("/nodes/node-1").await.code(), "not-found");
    assert_eq!(live.get("/v1/nodes/node-1").await.status, 200);
}

#[tokio::test]
async fn not_modified_means_the_same_bytes() {
    let live = Live::three().await;
    let mut known = Vec::new();
    for path in TABLE_PATHS {
        let got = live.get(path).await;
        let tag = got.header("etag").expect("a tag").to_owned();
        assert_eq!(got.header("cache-control"), Some("no-cache"));
        assert_eq!(
            got.header("ck-version"),
            Some(&*format!("1.{}", live.version())),
            "{path}"
        );
        let again = live
            .send("GET", path, &[("if-none-match", &tag)], b"")
            .await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), Some(&*tag));
        known.push((path, tag, got.body));
    }
    // The number of nodes and partitions stays: the Go library went on answering 304.
    let change = MemberChange {
        http_address: Some("127.0.0.1:1".to_owned()),
        ..MemberChange::default()
    };
    let node = "node-2".parse().unwrap();
    live.fake.apply(Command::Update { node, change }).unwrap();
    for (path, tag, body) in known {
        let got = live
            .send("GET", path, &[("if-none-match", &tag)], b"")
            .await;
        assert_eq!(got.status, 200, "{path}");
        assert_ne!(got.body, body, "{path}");
    }
}

#[tokio::test]
async fn the_tag_of_a_table_body_begins_with_incarnation_and_version() {
    let live = Live::three().await;
    for path in &TABLE_PATHS[..4] {
        let tag = live.get(path).await.header("etag").unwrap().to_owned();
        assert!(
            tag.starts_with(&format!("\"1.{}.", live.version())),
            "{path} {tag}"
        );
    }
}

#[tokio::test]
async fn keys_are_bytes_and_lead_to_the_same_partition_however_they_are_written() {
    let live = Live::three().await;
    let id = |query: &'static str| {
        let live = &live;
        async move {
            let got = live.get(&format!("/partitions/key?{query}")).await;
            assert_eq!(got.status, 200, "{query}: {got:?}");
            got.json()["id"].clone()
        }
    };
    assert_eq!(id("key=user:1001").await, id("key=%75ser%3A1001").await);
    assert_eq!(id("key=a+b").await, id("key=a%20b").await);
    let bytes = ck_core::KeyHash::Md5Mod.partition(b"\xff\x00\xfe", 64);
    assert_eq!(id("key=%FF%00%fe").await, bytes.to_string());
    let answer = live.get("/partitions/key?key=user:1001").await.json();
    assert_eq!(answer["replica_nodes"].as_array().unwrap().len(), 2);
    let port = answer["primary_node"]
        .as_str()
        .unwrap()
        .replace("node-", "127.0.0.1:1808");
    assert_eq!(answer["primary_address"], port);
    assert_eq!(
        answer["primary_services"]["kv"],
        port.replace(":1808", ":1908")
    );
    assert_eq!(answer["version"], live.version());
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let live = Live::three().await;
    let page = live
        .get("/v1/partitions?limit=10&after=partition-9")
        .await
        .json();
    assert_eq!(page["partitions"][0]["id"], "partition-10");
    assert_eq!(
        (&page["count"], &page["has_more"]),
        (&json!(10), &json!(true))
    );
    let next = page["next_after"].as_str().unwrap();
    assert_eq!(next, "partition-19");
    let last = live.get("/v1/partitions?limit=60&after=9").await.json();
    assert_eq!(
        (&last["count"], &last["has_more"]),
        (&json!(54), &json!(false))
    );
    assert_eq!(last.get("next_after"), None);
    let mine = live
        .get("/v1/partitions?node=node-1&state=stable")
        .await
        .json();
    assert_eq!(mine["count"], 64);
    assert_eq!(
        live.get("/v1/partitions?state=moving").await.json()["count"],
        0
    );
    assert_eq!(
        live.get("/v1/partitions?node=ghost").await.code(),
        "node-unknown"
    );
    for bad in [
        "state=fine",
        "limit=0",
        "limit=x",
        "after=p3",
        "nod=node-1",
        "limit=1&limit=2",
    ] {
        assert_eq!(
            live.get(&format!("/v1/partitions?{bad}")).await.status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn one_partition_is_found_by_either_form_of_its_id() {
    let live = Live::three().await;
    let answer = live.get("/partitions/partition-3").await.json();
    assert_eq!(answer, live.get("/partitions/3").await.json());
    let replicas = answer["replicas"].as_array().unwrap();
    assert_eq!(replicas.len(), 3);
    assert_eq!(
        (&replicas[0]["role"], &replicas[1]["role"]),
        (&json!("primary"), &json!("replica"))
    );
    assert_eq!(replicas[0]["in_sync"], true);
    assert_eq!(live.get("/partitions/64").await.code(), "partition-unknown");
    for bad in ["p3", "03", "-1", "3x", "99999999999", "%ff"] {
        assert_eq!(
            live.get(&format!("/partitions/{bad}")).await.status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn before_the_partitions_exist_there_is_nothing_to_route_to() {
    let live = Live::start(Fake::formed(captured(), 2)).await;
    assert_eq!(live.get("/partitions").await.json()["count"], 0);
    assert_eq!(
        live.get("/partitions/key?key=a").await.code(),
        "no-partitions"
    );
    assert_eq!(live.get("/partitions/0").await.code(), "no-partitions");
    let stats = live.get("/partitions/stats").await.json();
    assert_eq!(
        stats["partitions_per_node"],
        json!({"node-1": 0, "node-2": 0})
    );
}

#[tokio::test]
async fn an_unformed_node_says_so_and_who_it_is() {
    let live = Live::start(Fake::unformed()).await;
    for path in TABLE_PATHS {
        let got = live.get(path).await;
        assert_eq!(
            (got.status, got.header("retry-after")),
            (503, Some("1")),
            "{path}"
        );
        assert_eq!(got.code(), "not-formed");
        assert!(
            String::from_utf8_lossy(&got.body).contains("waiting for 1 of 3"),
            "{path}"
        );
    }
    let peer = live.get("/v1/peer").await.json();
    assert_eq!(
        (&peer["formed"], &peer["node"]),
        (&json!(false), &json!("node-1"))
    );
    assert_eq!(peer["peer_address"], "127.0.0.1:20081");
    assert_eq!(live.get("/health").await.status, 200);
    let ready = live.get("/ready").await;
    assert_eq!(
        (ready.status, &ready.json()["reasons"]),
        (503, &json!(["waiting for 1 of 3 nodes"]))
    );
    for path in [
        "/health/detailed",
        "/metrics",
        "/consensus/leader",
        "/consensus/stats",
    ] {
        assert_eq!(live.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn nodes_are_paged_and_nonsense_is_refused_without_harm() {
    let live = Live::three().await;
    let page = live.get("/nodes?limit=2").await.json();
    assert_eq!(
        (&page["has_more"], &page["next_offset"]),
        (&json!(true), &json!(2))
    );
    let page = live.get("/nodes?limit=2&offset=2").await.json();
    assert_eq!(
        (&page["has_more"], &page["next_offset"]),
        (&json!(false), &json!(3))
    );
    assert_eq!(page["nodes"][0]["id"], "node-3");
    let page = live.get("/nodes?offset=4000000000").await.json();
    assert_eq!(
        (&page["nodes"], &page["total"], &page["limit"]),
        (&json!([]), &json!(3), &json!(50))
    );
    // In the Go library the first of these panicked under a lock, and the next write hung.
    for bad in [
        "offset=-1",
        "limit=-1",
        "limit=0",
        "limit=1001",
        "offset=1e3",
        "offset=",
        "limit=a",
    ] {
        let got = live.get(&format!("/nodes?{bad}")).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (400, "invalid-parameter"),
            "{bad}"
        );
    }
    assert_eq!(live.json("PUT", "/v1/custom/a", "1").await.status, 200);
    assert_eq!(live.get("/nodes?_=17").await.status, 200);
    assert_eq!(live.get("/v1/nodes?_=17").await.status, 400);
}

#[tokio::test]
async fn a_node_is_shown_with_what_it_holds() {
    let live = Live::three().await;
    let answer = live.get("/v1/nodes/node-2").await.json();
    assert_eq!(
        (&answer["primaries"], &answer["replicas"]),
        (&json!(25), &json!(39))
    );
    assert_eq!(
        (&answer["node"]["member"], &answer["node"]["leader"]),
        (&json!(2), &json!(false))
    );
    let held = live.get("/v1/nodes/node-2/partitions").await.json();
    assert_eq!(held["primary"].as_array().unwrap().len(), 25);
    assert_eq!(held["replica"].as_array().unwrap().len(), 39);
    for path in [
        "/v1/nodes/ghost",
        "/v1/nodes/ghost/partitions",
        "/v1/nodes/a%2Fb",
    ] {
        assert_eq!(live.get(path).await.code(), "node-unknown", "{path}");
    }
}

#[tokio::test]
async fn a_stopped_node_is_told_from_one_that_is_up() {
    let live = Live::three().await;
    let stop = |node: &str| {
        let state = ck_http::Backend::state(&*live.fake);
        let member = state.member_by_node(node).unwrap();
        let (member, session) = (member.number, member.session.unwrap());
        live.fake.apply(Command::Stop { member, session }).unwrap();
    };
    stop("node-3");
    let words: Vec<_> = live.get("/nodes").await.json()["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(words, ["active", "active", "stopped"]);
    // The others took its partitions over, with a copy less.
    let stats = live.get("/partitions/stats").await.json();
    assert_eq!(stats["unavailable"], 0, "{stats}");
    assert_eq!(
        live.get("/v1/partitions?state=degraded").await.json()["count"],
        64
    );
    stop("node-2");
    stop("node-1");
    assert_eq!(live.get("/ready").await.json()["valid_partitions"], 0);
    assert_eq!(
        live.get("/v1/partitions?state=unavailable").await.json()["count"],
        64
    );
}
