//! Plans as data: previewed, applied against their version, steered.

use ck_control::{Command, MoveRejection};
use ck_http::fake::Fake;
use serde_json::{Value, json};

use crate::support::{Got, Live, captured};

async fn with_a_fourth_node() -> Live {
    let live = Live::three().await;
    live.fake.answers_at("127.0.0.1:20084", "node-4");
    let body = r#"{"node":{"id":"node-4","ip":"127.0.0.1:18084","name":"Server"},"peer_addr":"127.0.0.1:20084"}"#;
    assert_eq!(live.json("POST", "/join", body).await.status, 200);
    live
}

async fn preview(live: &Live) -> Value {
    let got = live.send("POST", "/v1/plans", &[], b"").await;
    assert_eq!(got.status, 201, "{got:?}");
    let plan = got.json();
    let path = format!("/v1/plans/{}", plan["id"].as_str().unwrap());
    assert_eq!(got.header("location"), Some(&*path));
    plan
}

async fn apply(live: &Live, plan: &Value, condition: &str) -> Got {
    let path = format!("/v1/plans/{}/apply", plan["id"].as_str().unwrap());
    live.send("POST", &path, &[("if-match", condition)], b"")
        .await
}

fn condition(plan: &Value) -> String {
    format!("\"{}.{}\"", plan["incarnation"], plan["base"])
}

#[tokio::test]
async fn a_preview_tells_moves_cost_rounds_and_reasons_and_changes_nothing() {
    let live = with_a_fourth_node().await;
    let before = live.version();
    let plan = preview(&live).await;
    assert_eq!(live.version(), before);
    assert_eq!(
        (&plan["status"], &plan["node"], &plan["trigger"]),
        (&json!("preview"), &json!("node-1"), &json!("manual"))
    );
    let moves = plan["moves"].as_array().unwrap();
    let copies: usize = moves
        .iter()
        .map(|one| one["copy_to"].as_array().unwrap().len())
        .sum();
    assert_eq!(plan["copies_moved"], copies);
    assert_eq!(plan["partitions_changed"], moves.len());
    // The newcomer receives everything, two copies at a time.
    assert_eq!(plan["rounds"].as_u64(), Some(copies.div_ceil(2) as u64));
    let bound = plan["rounds_bound"].as_str().unwrap();
    assert_eq!(bound, format!("node-4 receives {copies} copies"));
    let last = moves.iter().map(|one| one["round"].as_u64().unwrap()).max();
    assert_eq!(last, plan["rounds"].as_u64());
    let why = moves[0]["why"].as_array().unwrap();
    assert!(
        why.iter()
            .any(|why| why.as_str().unwrap().starts_with("node-4: new")),
        "{why:?}"
    );
    let path = format!("/v1/plans/{}", plan["id"].as_str().unwrap());
    assert_eq!(live.get(&path).await.json(), plan);
}

#[tokio::test]
async fn a_plan_is_applied_on_the_version_it_was_made_for_alone() {
    let live = with_a_fourth_node().await;
    let plan = preview(&live).await;
    for wrong in ["", "\"1.999\"", "*", "1.2", "W/\"1.6\""] {
        let got = apply(&live, &plan, wrong).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (412, "precondition-failed"),
            "{wrong}"
        );
        assert_eq!(got.json()["newest"]["version"], live.version());
    }
    let got = apply(&live, &plan, &condition(&plan)).await;
    assert_eq!(got.status, 202, "{got:?}");
    let begun = got.json();
    assert_eq!(begun["status"], "under-way");
    assert_eq!(
        (&begun["progress"]["done"], &begun["progress"]["total"]),
        (&json!(0), &plan["partitions_changed"])
    );
    assert_eq!(begun["progress"]["actor"], "operator");
    // Asked again, it goes on.
    assert_eq!(apply(&live, &plan, &condition(&plan)).await.status, 202);
    let other = preview(&live).await;
    let got = apply(&live, &other, &condition(&other)).await;
    let again = got.status == 202 || got.code() == "rebalance-under-way";
    assert!(again, "{got:?}");
}

#[tokio::test]
async fn a_rebalance_that_is_carried_out_comes_to_what_it_said() {
    let live = with_a_fourth_node().await;
    let answer = live.send("POST", "/rebalance", &[], b"").await.json();
    let moves = answer["moves"].as_array().unwrap();
    assert!(moves.len() >= 32 && answer["moves_left_out"] == 0);
    let current = live.get("/v1/plans/current").await.json();
    let mut told = current["moves"].as_array().unwrap().clone();
    for change in &mut told {
        let change = change.as_object_mut().unwrap();
        change.retain(|key, _| key != "round" && key != "why");
    }
    assert_eq!(&told, moves);
    let short = live.get("/v1/transfers").await.json()["plan"].clone();
    let progress = &current["progress"];
    for figure in ["total", "done", "paused", "actor", "started_at_ms"] {
        assert_eq!(short[figure], progress[figure], "{figure}");
    }
    assert_eq!(short["trigger"], "manual");
    live.fake.carry_plan_out().unwrap();
    assert!(live.get("/v1/transfers").await.json().get("plan").is_none());
    assert_eq!(live.get("/v1/plans/current").await.code(), "plan-unknown");
    for change in moves {
        let id = change["partition"].as_str().unwrap();
        let row = live.get(&format!("/partitions/{id}")).await.json();
        assert_eq!(row["primary_node"], change["new_primary"], "{change}");
        assert_eq!(row["state"], "stable", "{change}");
        let granted = if change["new_primary"] == change["old_primary"] {
            1
        } else {
            2
        };
        assert_eq!(row["epoch"], granted, "{change}");
        let replicas = row["replica_nodes"].as_array().unwrap();
        assert_eq!(replicas.len(), 2, "{change}");
        let has = |node: &Value| row["primary_node"] == *node || replicas.contains(node);
        assert!(change["copy_to"].as_array().unwrap().iter().all(has));
        assert!(!change["drop_from"].as_array().unwrap().iter().any(has));
    }
    // Asked again there is nothing to move, and no plan is under way.
    let version = live.version();
    let again = live.send("POST", "/rebalance", &[], b"").await.json();
    assert_eq!(
        (&again["copies_moved"], &again["primaries_changed"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(live.version(), version);
    assert_eq!(live.get("/v1/plans/current").await.code(), "plan-unknown");
}

#[tokio::test]
async fn a_plan_is_not_carried_out_on_a_node_that_has_stopped() {
    let live = with_a_fourth_node().await;
    live.send("POST", "/rebalance", &[], b"").await;
    let state = ck_http::Backend::state(&*live.fake);
    let member = state.member_by_node("node-4").unwrap();
    let (member, session) = (member.number, member.session.unwrap());
    live.fake.apply(Command::Stop { member, session }).unwrap();
    let refused = live.fake.carry_plan_out().unwrap_err();
    assert_eq!(
        refused,
        MoveRejection::PartySession { member, session }.into()
    );
    let current = live.get("/v1/plans/current").await.json();
    assert_eq!(current["status"], "under-way");
}

#[tokio::test]
async fn a_plan_for_a_state_that_is_past_is_refused() {
    let live = with_a_fourth_node().await;
    let plan = preview(&live).await;
    live.send("POST", "/v1/nodes/node-2/cordon", &[], b"").await;
    let path = format!("/v1/plans/{}", plan["id"].as_str().unwrap());
    assert_eq!(live.get(&path).await.json()["status"], "stale");
    let got = apply(&live, &plan, &condition(&plan)).await;
    assert_eq!((got.status, got.code().as_str()), (412, "plan-stale"));
    assert_eq!(got.json()["newest"]["version"], live.version());
}

#[tokio::test]
async fn a_plan_under_way_is_paused_resumed_and_aborted() {
    let live = with_a_fourth_node().await;
    let plan = preview(&live).await;
    let path = |what: &str| format!("/v1/plans/{}/{what}", plan["id"].as_str().unwrap());
    for what in ["pause", "resume", "abort"] {
        let got = live.send("POST", &path(what), &[], b"").await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (409, "plan-not-under-way"),
            "{what}"
        );
        let current = live
            .send("POST", &format!("/v1/plans/current/{what}"), &[], b"")
            .await;
        assert_eq!(current.code(), "plan-not-under-way", "{what}");
    }
    apply(&live, &plan, &condition(&plan)).await;
    let paused = live.send("POST", &path("pause"), &[], b"").await.json();
    assert_eq!(
        (&paused["status"], &paused["progress"]["paused"]),
        (&json!("paused"), &json!(true))
    );
    let told = live.get("/v1/plans/current").await.json();
    assert_eq!(
        (&told["id"], &told["status"]),
        (&plan["id"], &json!("paused"))
    );
    let resumed = live
        .send("POST", "/v1/plans/current/resume", &[], b"")
        .await
        .json();
    assert_eq!(resumed["status"], "under-way");
    let aborted = live.send("POST", &path("abort"), &[], b"").await.json();
    assert_eq!(
        (&aborted["status"], &aborted["progress"]),
        (&json!("ended"), &json!(null))
    );
    assert_eq!(live.get("/v1/plans/current").await.code(), "plan-unknown");
}

#[tokio::test]
async fn plans_are_few_and_bad_ones_are_refused() {
    let live = Live::three().await;
    let first = preview(&live).await;
    assert_eq!(first["status"], "empty");
    let got = apply(&live, &first, &condition(&first)).await;
    assert_eq!((got.status, &got.json()["status"]), (202, &json!("empty")));
    for _ in 0..16 {
        preview(&live).await;
    }
    let path = format!("/v1/plans/{}", first["id"].as_str().unwrap());
    assert_eq!(
        live.get(&path).await.code(),
        "plan-unknown",
        "others took its place"
    );
    assert_eq!(
        live.json("POST", "/v1/plans", r#"{"partitions":3}"#)
            .await
            .code(),
        "invalid-body"
    );
    assert_eq!(live.get("/v1/plans").await.status, 405);
    let bare = Live::start(Fake::formed(captured(), 3)).await;
    assert_eq!(
        bare.send("POST", "/v1/plans", &[], b"").await.code(),
        "no-partitions"
    );
}
