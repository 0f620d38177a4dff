//! What operators ask: may it stop, why is it here, why is it not there, who changed what.

use ck_control::Command;
use ck_http::fake::Fake;
use serde_json::json;

use crate::support::{Live, captured};

fn stop(live: &Live, node: &str) {
    let state = ck_http::Backend::state(&*live.fake);
    let member = state.member_by_node(node).unwrap();
    let (member, session) = (member.number, member.session.unwrap());
    live.fake.apply(Command::Stop { member, session }).unwrap();
}

#[tokio::test]
async fn a_node_may_stop_while_enough_copies_stay() {
    let live = Live::three().await;
    let answer = live.get("/v1/nodes/node-2/may-stop").await.json();
    assert_eq!(
        (
            &answer["allowed"],
            &answer["reasons"],
            &answer["blocking_partitions"]
        ),
        (&json!(true), &json!([]), &json!([]))
    );
    stop(&live, "node-3");
    let answer = live.get("/v1/nodes/node-2/may-stop").await.json();
    assert_eq!(answer["allowed"], false);
    assert_eq!(answer["blocking_partitions"].as_array().unwrap().len(), 64);
    let reasons = answer["reasons"].as_array().unwrap();
    let reason = reasons[0].as_str().unwrap();
    assert!(
        reasons.len() == 1 && reason.starts_with("partition-0 and 63 more: 1 copies in sync"),
        "{reasons:?}"
    );
    let down = live.get("/v1/nodes/node-3/may-stop").await.json();
    assert_eq!(down["allowed"], true, "it is down already");
    assert_eq!(
        live.get("/v1/nodes/ghost/may-stop").await.code(),
        "node-unknown"
    );
}

#[tokio::test]
async fn a_partition_explains_itself() {
    let live = Live::three().await;
    let told = live.get("/v1/explain/partition-3").await.json();
    assert_eq!(
        (&told["state"], &told["reasons"], &told["min_in_sync"]),
        (&json!("stable"), &json!([]), &json!(2))
    );
    assert_eq!(told["copies"].as_array().unwrap().len(), 3);
    assert_eq!(live.get("/v1/explain/3").await.json(), told);
    stop(&live, "node-3");
    let told = live.get("/v1/explain/3").await.json();
    assert_eq!(told["reasons"], json!(["node-3 is stopped"]));
    for (path, code) in [
        ("/v1/explain/64", "partition-unknown"),
        ("/v1/explain/x", "invalid-parameter"),
        ("/v1/explain/3?why=1", "invalid-parameter"),
        ("/v1/explain/3/why-not/ghost", "node-unknown"),
        ("/v1/explain/64/why-not/node-1", "partition-unknown"),
    ] {
        assert_eq!(live.get(path).await.code(), code, "{path}");
    }
    let bare = Live::start(Fake::formed(captured(), 3)).await;
    assert_eq!(bare.get("/v1/explain/0").await.code(), "no-partitions");
}

#[tokio::test]
async fn what_may_be_old_is_said_to_be_so() {
    let live = Live::three().await;
    live.fake.is_cut_off();
    for path in ["/v1/explain/3", "/v1/explain/3/why-not/node-2"] {
        let told = live.get(path).await.json();
        let first = told["reasons"][0].as_str().unwrap();
        assert!(first.starts_with("this is what node-1 knew last"), "{told}");
    }
}

#[tokio::test]
async fn refusals_name_nodes_and_not_numbers() {
    let live = Live::three().await;
    let path = "/v1/partitions/3/promote";
    let refused = live.json("POST", path, r#"{"node":"node-2"}"#).await.json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("the live primary node-"), "{detail}");
    assert!(!detail.contains("member"), "{detail}");
}

#[tokio::test]
async fn a_node_without_a_partition_hears_why() {
    let live = Live::three().await;
    live.fake.answers_at("127.0.0.1:20084", "node-4");
    let body = r#"{"node":{"id":"node-4","ip":"127.0.0.1:18084","name":"Server"},"peer_addr":"127.0.0.1:20084"}"#;
    assert_eq!(live.json("POST", "/join", body).await.status, 200);
    let told = live.get("/v1/explain/3/why-not/node-4").await.json();
    assert_eq!(
        (&told["is_primary"], &told["has_copy"]),
        (&json!(false), &json!(false))
    );
    assert!(!told["reasons"].as_array().unwrap().is_empty(), "{told}");
    let row = live.get("/v1/partitions/3").await.json();
    let primary = row["primary_node"].as_str().unwrap();
    let told = live
        .get(&format!("/v1/explain/3/why-not/{primary}"))
        .await
        .json();
    assert_eq!(told["reasons"], json!(["it is the primary"]));
    let replica = row["replica_nodes"][0].as_str().unwrap();
    let told = live
        .get(&format!("/v1/explain/3/why-not/{replica}"))
        .await
        .json();
    assert_eq!(told["has_copy"], true);
    assert_eq!(
        told["reasons"],
        json!([format!("it has a copy; {primary} is the primary")])
    );
}

#[tokio::test]
async fn history_tells_who_changed_what_within_a_range() {
    let live = Live::three().await;
    live.send("POST", "/v1/nodes/node-2/cordon", &[], b"").await;
    let all = live.get("/v1/history").await.json();
    let entries = all["entries"].as_array().unwrap();
    assert_eq!(all["count"].as_u64(), Some(entries.len() as u64));
    let last = entries.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["actor"], &last["summary"]),
        (
            &json!("update"),
            &json!("operator"),
            &json!("node-2 changed")
        )
    );
    assert_eq!(
        (&last["at_ms"], &last["at"]),
        (
            &json!(1_795_407_117_000_u64),
            &json!("2026-11-23T04:11:57.000Z")
        )
    );
    let version = live.version();
    let newest = live
        .get(&format!("/v1/history?from={version}"))
        .await
        .json();
    assert_eq!(newest["entries"], json!([last]));
    let same = live
        .get(&format!("/v1/history?from=1.{version}&to=1.{version}"))
        .await
        .json();
    assert_eq!(same["entries"], newest["entries"]);
    let latest = live.get("/v1/history?limit=1").await.json();
    assert_eq!(
        (&latest["entries"], &latest["has_more"]),
        (&json!([last]), &json!(true)),
        "what happened last is what is asked for"
    );
    let first = live.get("/v1/history?from=0&limit=1").await.json();
    assert_eq!(
        (&first["entries"], &first["has_more"]),
        (&json!([entries[0]]), &json!(true))
    );
    for wrong in [
        "from=x",
        "from=1.2.3",
        "from=-1",
        "limit=0",
        "from=9&to=1",
        "from=2.1",
        "since=1",
    ] {
        let got = live.get(&format!("/v1/history?{wrong}")).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (400, "invalid-parameter"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn what_the_application_fails_at_is_told() {
    let live = Live::three().await;
    let call = |partition: &str, failures| ck_api::HandlerCall {
        partition: partition.to_owned(),
        call: "prepare".to_owned(),
        failures,
        error: "the disk is full".to_owned(),
        ..ck_api::HandlerCall::default()
    };
    let calls = vec![call("partition-3", 2), call("partition-4", 7)];
    live.fake.application_does(calls);
    let told = live.get("/v1/explain/3").await.json();
    assert_eq!(told["handler"]["failures"], 2);
    assert_eq!(
        told["reasons"],
        json!(["the application of node-1 failed 2 times in a row at prepare: the disk is full"])
    );
    let health = live.get("/v1/health/detailed").await.json();
    assert_eq!(health["handler"][0]["partition"], "partition-4");
    assert_eq!(
        live.get("/v1/health").await.status,
        200,
        "the process lives"
    );
}
