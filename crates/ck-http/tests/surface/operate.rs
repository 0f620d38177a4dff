//! Changing: partitions, rebalance, join, nodes, configuration, values.

use ck_http::fake::Fake;
use serde_json::json;

use crate::support::{Live, captured};

#[tokio::test]
async fn partitions_are_created_once() {
    let live = Live::start(Fake::formed(captured(), 3)).await;
    let first = live.send("POST", "/partitions", &[], b"").await;
    let second = live.json("POST", "/v1/partitions", "{}").await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.body, second.body);
    assert_eq!(first.body, live.get("/partitions").await.body);
    assert_eq!(
        live.json("POST", "/partitions", r#"{"count":7}"#)
            .await
            .code(),
        "invalid-body"
    );
}

#[tokio::test]
async fn too_few_nodes_are_refused_and_nothing_hangs() {
    let live = Live::start(Fake::formed(captured(), 2)).await;
    for _ in 0..3 {
        let got = live.send("POST", "/partitions", &[], b"").await;
        let body = got.json();
        assert_eq!(got.code(), "too-few-nodes");
        assert_eq!(
            (got.status, &body["have"], &body["need"]),
            (409, &json!(2), &json!(3))
        );
    }
    assert_eq!(live.json("PUT", "/v1/custom/a", "1").await.status, 200);
    assert_eq!(live.get("/nodes").await.status, 200);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_the_real_one_is_begun() {
    let live = Live::three().await;
    live.fake.answers_at("127.0.0.1:20084", "node-4");
    let joined = live
        .json("POST", "/join", &join("node-4", "127.0.0.1:20084", ""))
        .await;
    assert_eq!(joined.status, 200, "{joined:?}");
    let before = live.get("/partitions").await;
    let dry = live
        .json("POST", "/rebalance", r#"{"dry_run":true}"#)
        .await
        .json();
    assert_eq!(
        (&dry["dry_run"], &dry["applied"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(live.get("/partitions").await.body, before.body);
    assert_eq!(live.get("/v1/plans/current").await.code(), "plan-unknown");
    let wet = live.send("POST", "/rebalance", &[], b"").await.json();
    assert_eq!(
        (&wet["applied"], &wet["copies_moved"]),
        (&json!(true), &dry["copies_moved"])
    );
    assert_eq!(wet["moves"], dry["moves"]);
    let moves = wet["moves"].as_array().unwrap();
    let copies: usize = moves
        .iter()
        .map(|one| one["copy_to"].as_array().unwrap().len())
        .sum();
    assert_eq!(wet["copies_moved"], copies);
    // It is under way, and nothing has moved yet.
    let current = live.get("/v1/plans/current").await.json();
    assert_eq!(
        (&current["status"], &current["progress"]["total"]),
        (&json!("under-way"), &json!(moves.len()))
    );
    let begun = live.get("/partitions").await.json();
    assert_eq!(begun["partitions"], before.json()["partitions"]);
    assert_eq!(begun["version"], wet["version"]);
    let none = Live::start(Fake::formed(captured(), 3)).await;
    assert_eq!(
        none.send("POST", "/rebalance", &[], b"").await.code(),
        "no-partitions"
    );
}

fn join(id: &str, peer: &str, more: &str) -> String {
    format!(
        r#"{{"node":{{"id":"{id}","ip":"127.0.0.1:18099","name":"Server"}},"peer_addr":"{peer}"{more}}}"#
    )
}

#[tokio::test]
async fn a_bogus_join_is_refused_and_changes_nothing() {
    let live = Live::three().await;
    live.fake.answers_at("127.0.0.1:20099", "node-9");
    live.fake.answers_at("127.0.0.1:20098", "node-1");
    let nodes = live.get("/nodes").await.body;
    let peer = "127.0.0.1:20099";
    for (body, status, code) in [
        (
            join("node-9", peer, r#","voter":true"#),
            400,
            "invalid-body",
        ),
        (join("node-9", peer, r#","weight":0"#), 400, "invalid-body"),
        (
            join("node-9", peer, r#","domain":"a//b""#),
            400,
            "invalid-body",
        ),
        (join("node-9", "nowhere", ""), 400, "invalid-body"),
        (join("node-9", "127.0.0.1:0", ""), 400, "invalid-body"),
        (join("", peer, ""), 400, "invalid-body"),
        (
            join("node-9", peer, r#","cluster":"other""#),
            409,
            "other-cluster",
        ),
        (
            join("node-1", peer, r#","generation":0"#),
            409,
            "generation-old",
        ),
        // An address of another node, an id that is taken, an address where nobody is.
        (join("node-1", peer, ""), 409, "node-in-use"),
        (join("node-8", peer, ""), 409, "wrong-node"),
        (join("node-1", "127.0.0.1:20098", ""), 409, "node-in-use"),
        (
            join("node-9", "127.0.0.1:20097", ""),
            422,
            "node-unreachable",
        ),
    ] {
        let got = live.json("POST", "/join", &body).await;
        assert_eq!((got.status, got.code().as_str()), (status, code), "{body}");
    }
    let long = join(&"n".repeat(10 << 20), peer, "");
    assert_eq!(live.json("POST", "/join", &long).await.status, 413);
    let name = join("node-9", peer, "").replace("Server", &"x".repeat(200));
    assert_eq!(
        live.json("POST", "/join", &name).await.code(),
        "invalid-body"
    );
    assert_eq!(live.get("/nodes").await.body, nodes);
}

#[tokio::test]
async fn a_good_join_is_taken_with_all_it_says() {
    let live = Live::three().await;
    live.fake.answers_at("127.0.0.1:20099", "node-9");
    let more = r#","cluster":"clusterkit-cluster","weight":2,"domain":"eu-1a/rack-3""#;
    let got = live
        .json("POST", "/v1/join", &join("node-9", "127.0.0.1:20099", more))
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    let node = live.get("/v1/nodes/node-9").await.json()["node"].clone();
    assert_eq!(
        (&node["weight"], &node["domain"]),
        (&json!(2), &json!("eu-1a/rack-3"))
    );
    assert_eq!(node["peer_address"], "127.0.0.1:20099");
}

#[tokio::test]
async fn a_redirect_is_given_only_when_asked_for_and_only_by_a_follower() {
    let live = Live::three().await;
    let prefer = [
        ("content-type", "application/json"),
        ("prefer", "respond-async, redirect"),
    ];
    let body = join("node-9", "127.0.0.1:20099", "");
    assert_eq!(
        live.send("POST", "/join", &prefer, body.as_bytes())
            .await
            .status,
        422
    );
    live.fake.is_asked_at("node-3");
    let got = live.send("POST", "/join", &prefer, body.as_bytes()).await;
    assert_eq!(
        (got.status, got.header("location")),
        (307, Some("http://127.0.0.1:18081/join"))
    );
    assert_eq!(live.json("POST", "/join", &body).await.status, 422);
}

#[tokio::test]
async fn a_node_is_changed_and_removed() {
    let live = Live::start(Fake::formed(captured(), 4)).await;
    let patch = r#"{"weight":3,"domain":"b","labels":{"disk":"nvme"},"state":"cordoned"}"#;
    let node = live.json("PATCH", "/v1/nodes/node-2", patch).await.json()["node"].clone();
    assert_eq!(
        (&node["weight"], &node["status"]),
        (&json!(3), &json!("cordoned"))
    );
    assert_eq!(
        (&node["domain"], &node["labels"]["disk"]),
        (&json!("b"), &json!("nvme"))
    );
    let node = live
        .json("PATCH", "/v1/nodes/node-2", r#"{"domain":null}"#)
        .await
        .json();
    assert_eq!(node["node"]["domain"], json!(null));
    for (body, code) in [
        ("{}", "no-field"),
        (r#"{"weight":0}"#, "range"),
        (r#"{"state":"down"}"#, "invalid-body"),
        (r#"{"ip":"x"}"#, "invalid-body"),
        (r#"{"domain":""}"#, "invalid-body"),
    ] {
        let got = live.json("PATCH", "/v1/nodes/node-2", body).await;
        assert_eq!((got.status, got.code().as_str()), (400, code), "{body}");
    }
    assert_eq!(
        live.json("PATCH", "/v1/nodes/ghost", "{}").await.code(),
        "node-unknown"
    );
    let removed = live
        .send("DELETE", "/v1/nodes/node-4", &[], b"")
        .await
        .json();
    assert_eq!(
        (&removed["node"], &removed["node_count"]),
        (&json!("node-4"), &json!(3))
    );
    assert_eq!(
        live.send("DELETE", "/v1/nodes/node-4", &[], b"")
            .await
            .code(),
        "node-unknown"
    );
}

#[tokio::test]
async fn the_configuration_is_changed_as_a_whole() {
    let live = Live::three().await;
    let patch = r#"{"replication_factor":2,"spread":2,"rejoin_grace_ms":5000}"#;
    let answer = live.json("PATCH", "/v1/config", patch).await.json();
    assert_eq!(answer["config"]["replication_factor"], 2);
    let got = live.json("PATCH", "/v1/config", r#"{"spread":9}"#).await;
    assert_eq!((got.status, got.code().as_str()), (400, "config-invalid"));
    assert_eq!(got.json()["field"], "spread");
    assert_eq!(
        live.json("PATCH", "/v1/config", r#"{"hash":"md5"}"#)
            .await
            .code(),
        "invalid-body"
    );
    let cluster = live.get("/cluster").await.json();
    assert_eq!(cluster["cluster"]["config"]["replication_factor"], 2);
}

#[tokio::test]
async fn values_are_bytes_with_compare_and_set() {
    let live = Live::three().await;
    let key = "/v1/custom/a%2Fb%20%C3%A9";
    let stored = live
        .send("PUT", &format!("{key}?expected=0"), &[], b"\0\xff")
        .await
        .json();
    assert_eq!(
        (&stored["key"], &stored["bytes"]),
        (&json!("a/b é"), &json!(2))
    );
    let got = live.get(key).await;
    assert_eq!(
        (got.body.as_slice(), got.header("x-content-type-options")),
        (&b"\0\xff"[..], Some("nosniff"))
    );
    let version = got.header("ck-value-version").unwrap().to_owned();
    assert_eq!(stored["version"].to_string(), version);
    let late = live
        .send("PUT", &format!("{key}?expected=0"), &[], b"x")
        .await;
    assert_eq!((late.status, late.code().as_str()), (412, "custom-version"));
    let fresh = live
        .send("PUT", &format!("{key}?expected={version}"), &[], b"")
        .await;
    assert_eq!(fresh.status, 200);
    assert_eq!(live.get(key).await.body, b"");
    let deleted = live
        .send("DELETE", &format!("{key}?expected={version}"), &[], b"")
        .await;
    assert_eq!(deleted.code(), "custom-version");
    assert_eq!(live.send("DELETE", key, &[], b"").await.status, 200);
    for method in ["GET", "DELETE"] {
        assert_eq!(
            live.send(method, key, &[], b"").await.code(),
            "custom-unknown"
        );
    }
}

#[tokio::test]
async fn keys_of_values_are_listed_page_by_page() {
    let live = Live::three().await;
    for key in ["b1", "a1", "b3", "b2"] {
        live.send("PUT", &format!("/v1/custom/{key}"), &[], b"v")
            .await;
    }
    let page = live.get("/v1/custom?prefix=b&limit=2").await.json();
    assert_eq!(
        (&page["entries"][1]["key"], &page["has_more"]),
        (&json!("b2"), &json!(true))
    );
    let page = live
        .get("/v1/custom?prefix=b&limit=2&after=b2")
        .await
        .json();
    assert_eq!(
        (&page["entries"][0]["key"], &page["has_more"]),
        (&json!("b3"), &json!(false))
    );
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused() {
    let live = Live::three().await;
    let most = vec![7; 1 << 20];
    assert_eq!(
        live.send("PUT", "/v1/custom/big", &[], &most).await.status,
        200
    );
    for over in [(1 << 20) + 1, 2 << 20] {
        let got = live
            .send("PUT", "/v1/custom/big", &[], &vec![7; over])
            .await;
        assert_eq!(got.status, 413, "{over}");
    }
    assert_eq!(live.get("/v1/custom/big").await.body, most);
    let long = format!("/v1/custom/{}", "k".repeat(600));
    assert_eq!(live.send("PUT", &long, &[], b"v").await.code(), "length");
}
