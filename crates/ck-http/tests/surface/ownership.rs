//! What a node may act on, and operations on nodes and partitions.

use std::time::Duration;

use ck_control::Command;
use ck_http::fake::Fake;
use serde_json::json;

use crate::support::{Live, captured};

#[tokio::test]
async fn a_node_owns_what_it_is_the_primary_of_while_its_lease_lasts() {
    let live = Live::three().await;
    let got = live.get("/v1/owned").await;
    let owned = got.json();
    assert_eq!(
        (&owned["incarnation"], &owned["lease_remaining_ms"]),
        (&json!(1), &json!(1400))
    );
    assert_eq!(owned["version"], live.version());
    let node = live.get("/v1/nodes/node-1").await.json();
    let first = &owned["owned"][0];
    assert_eq!(
        owned["owned"].as_array().unwrap().len() as u64,
        node["primaries"]
    );
    assert!(first["id"].as_str().unwrap().starts_with("partition-") && first["epoch"] == 1);
    assert_eq!(
        got.header("ck-version"),
        Some(&*format!("1.{}", live.version()))
    );

    live.fake.has_lease(Duration::ZERO);
    let owned = live.get("/v1/owned").await.json();
    assert_eq!(
        (&owned["owned"], &owned["lease_remaining_ms"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(
        live.get("/v1/owned?node=node-2").await.code(),
        "invalid-parameter"
    );
    assert_eq!(live.get("/owned").await.status, 404);
    assert_eq!(live.get("/v1/orders").await.code(), "no-orders");
    let unformed = Live::start(Fake::unformed()).await;
    for path in ["/v1/owned", "/v1/orders"] {
        assert_eq!(unformed.get(path).await.code(), "not-formed", "{path}");
    }
}

#[tokio::test]
async fn nodes_are_drained_cordoned_and_taken_back() {
    let live = Live::three().await;
    for (operation, status) in [
        ("drain", "draining"),
        ("cordon", "cordoned"),
        ("uncordon", "active"),
    ] {
        let got = live
            .send("POST", &format!("/v1/nodes/node-2/{operation}"), &[], b"")
            .await;
        assert_eq!(got.status, 200, "{operation}");
        let answer = got.json();
        assert_eq!(answer["node"]["status"], status);
        assert!(answer["primaries"].as_u64() > Some(0));
    }
    for (path, body, status, code) in [
        ("/v1/nodes/ghost/drain", "", 404, "node-unknown"),
        (
            "/v1/nodes/node-2/drain",
            r#"{"now":true}"#,
            400,
            "invalid-body",
        ),
        ("/v1/nodes/node-2/drain", "[", 400, "malformed-json"),
    ] {
        let got = live.json("POST", path, body).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (status, code),
            "{path} {body}"
        );
    }
    assert_eq!(live.get("/v1/nodes/node-2/drain").await.status, 405);
}

#[tokio::test]
async fn a_promotion_needs_a_partition_that_nobody_serves() {
    let live = Live::three().await;
    let path = "/v1/partitions/partition-3/promote";
    let held = live.json("POST", path, r#"{"node":"node-2"}"#).await;
    assert_eq!((held.status, held.code().as_str()), (409, "partition-held"));
    let newest = held.json()["newest"].clone();
    assert_eq!(
        (&newest["partition"], &newest["epoch"]),
        (&json!("partition-3"), &json!(1))
    );
    assert!(!newest["primary_node"].as_str().unwrap().is_empty());

    let state = ck_http::Backend::state(&*live.fake);
    let sessions = state.sessions().map(|session| session.id).collect();
    let office = state.office().unwrap().id;
    live.fake
        .apply(Command::Expire { office, sessions })
        .unwrap();
    let away = live.json("POST", path, r#"{"node":"node-2"}"#).await;
    assert_eq!((away.status, away.code().as_str()), (409, "party-session"));
    for (path, body, status, code) in [
        (path, "", 400, "malformed-json"),
        (path, "{}", 400, "invalid-body"),
        (path, r#"{"node":""}"#, 400, "invalid-body"),
        (
            path,
            r#"{"node":"node-2","force":true}"#,
            400,
            "invalid-body",
        ),
        (path, r#"{"node":"ghost"}"#, 404, "node-unknown"),
        (
            "/v1/partitions/64/promote",
            r#"{"node":"node-2"}"#,
            404,
            "partition-unknown",
        ),
        (
            "/v1/partitions/x/promote",
            r#"{"node":"node-2"}"#,
            400,
            "invalid-parameter",
        ),
    ] {
        let got = live.json("POST", path, body).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (status, code),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn the_brake_is_released_by_an_operator() {
    let live = Live::three().await;
    let office = ck_http::Backend::state(&*live.fake)
        .office()
        .map(|office| office.id);
    live.fake.apply(Command::Brake { office, lost: 3 }).unwrap();
    assert_eq!(live.get("/v1/transfers").await.json()["braked"], true);
    let told = live.get("/v1/explain/0").await.json();
    assert_eq!(told["brake_lost"], 3);
    let got = live.send("POST", "/v1/brake/release", &[], b"").await;
    assert_eq!(
        (got.status, &got.json()["version"]),
        (200, &json!(live.version()))
    );
    assert_eq!(live.get("/v1/transfers").await.json()["braked"], false);
}

#[tokio::test]
async fn mode_and_lease_are_changed_one_at_a_time() {
    let live = Live::start(Fake::with_partitions(captured(), 3)).await;
    let before = live.get("/v1/config").await.json()["config"].clone();
    assert_eq!(
        (&before["mode"], &before["lease_ms"], &before["settle_ms"]),
        (&json!("fenced"), &json!(2000), &json!(5000))
    );
    let changed = live
        .json("PATCH", "/v1/config", r#"{"mode":"advisory"}"#)
        .await;
    assert_eq!(changed.json()["config"]["mode"], "advisory", "{changed:?}");
    let raised = live
        .json("PATCH", "/v1/config", r#"{"mode":"leased"}"#)
        .await;
    let config = raised.json()["config"].clone();
    assert_eq!(
        (&config["mode"], &config["mode_to_come"]),
        (&json!("advisory"), &json!("leased"))
    );
    let shorter = live
        .json("PATCH", "/v1/config", r#"{"profile":"fast"}"#)
        .await;
    let config = shorter.json()["config"].clone();
    assert_eq!(
        (&config["profile"], &config["lease_ms"], &config["rho_ppm"]),
        (&json!("fast"), &json!(500), &json!(50_000))
    );
    let named = live
        .json("PATCH", "/v1/config", r#"{"lease_ms":700}"#)
        .await;
    assert_eq!(named.json()["config"]["lease_ms"], 700);
    for body in [
        r#"{"mode":"strict"}"#,
        r#"{"profile":"slow"}"#,
        r#"{"lease_ms":1}"#,
        r#"{"mode":"leased","lease_ms":700}"#,
        r#"{"mode":"leased","spread":2}"#,
        "{}",
    ] {
        let got = live.json("PATCH", "/v1/config", body).await;
        assert_eq!(got.status, 400, "{body}: {got:?}");
        assert!(!got.code().is_empty());
    }
}
