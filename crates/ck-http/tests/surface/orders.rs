//! Orders and acknowledgements, and what goes wrong with them.

use std::sync::Arc;
use std::time::Duration;

use ck_control::Handler;
use ck_core::PartitionId;
use ck_http::{Limits, Orders};
use serde_json::json;

use crate::application::{
    Context, Follower, ack, acknowledge, ended, prepare, served, served_with,
};

#[tokio::test]
async fn without_an_application_calls_succeed_at_once() {
    let (live, orders) = served().await;
    let context = Context::new();
    ended(prepare(&orders, &context, 3)).await.unwrap();
    assert!(!orders.has_application());
    let head = live.send("HEAD", "/v1/orders", &[], b"").await;
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert!(
        !orders.has_application(),
        "asking for the head is no subscription"
    );
}

#[tokio::test]
async fn a_call_waits_for_its_acknowledgement() {
    let (live, orders) = served().await;
    let mut follower = Follower::of(&live).await;
    let state = follower.expect("state").await;
    assert_eq!(
        (&state["node"], &state["open"]),
        (&json!("node-1"), &json!(0))
    );
    let held = state["owned"].as_array().unwrap().len();
    assert_eq!(held + state["replicas"].as_array().unwrap().len(), 64);
    let context = Context::new();
    let called = prepare(&orders, &context, 3);
    let order = follower.expect("prepare").await;
    assert_eq!(
        (&order["partition"], &order["source"], &order["transfer"]),
        (&json!("partition-3"), &json!("node-2"), &json!(9))
    );
    assert_eq!(order["services"]["kv"], "127.0.0.1:7");
    assert_eq!(order["session"], state["session"]);

    let mut report = ack(&order);
    report["progress"] = json!({"done": 3, "total": 10});
    let got = acknowledge(&live, &order, &report).await;
    assert_eq!((got.status, &got.json()["state"]), (200, &json!("open")));
    assert_eq!(orders.open(), 1);
    let got = acknowledge(&live, &order, &ack(&order)).await;
    assert_eq!((got.status, &got.json()["state"]), (200, &json!("done")));
    ended(called).await.unwrap();
    let progress = context.progress.lock().unwrap().clone();
    assert!(progress.iter().all(|one| *one == (3, 10)) && !progress.is_empty());

    // Said twice, it is as if it had been said once, whatever is said the second time.
    let mut failed = ack(&order);
    failed["error"] = json!("the disk is full");
    for again in [ack(&order), failed] {
        let got = acknowledge(&live, &order, &again).await;
        assert_eq!((got.status, &got.json()["state"]), (200, &json!("done")));
    }
}

#[tokio::test]
async fn a_failure_is_the_calls_failure() {
    let (live, orders) = served().await;
    let mut follower = Follower::of(&live).await;
    follower.expect("state").await;
    let called = prepare(&orders, &Context::new(), 3);
    let order = follower.expect("prepare").await;
    let mut failed = ack(&order);
    failed["error"] = json!("the disk is full");
    let got = acknowledge(&live, &order, &failed).await;
    assert_eq!((got.status, &got.json()["state"]), (200, &json!("failed")));
    let error = ended(called).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the application failed: the disk is full"
    );
}

#[tokio::test]
async fn acknowledgements_of_something_else_are_refused_with_where_things_stand() {
    let (live, orders) = served().await;
    let mut follower = Follower::of(&live).await;
    follower.expect("state").await;
    let context = Context::new();
    let called = prepare(&orders, &context, 3);
    let order = follower.expect("prepare").await;
    for (field, value) in [
        ("epoch", json!(99)),
        ("session", json!(99)),
        ("stage", json!("catch-up")),
    ] {
        let mut other = ack(&order);
        other[field] = value;
        let got = acknowledge(&live, &order, &other).await;
        assert_eq!((got.status, got.code().as_str()), (409, "order-superseded"));
        let newest = &got.json()["newest"];
        assert_eq!(
            (&newest["partition"], &newest["epoch"]),
            (&json!("partition-3"), &json!(1))
        );
        assert_eq!(newest["version"], live.version());
    }
    for (field, value) in [
        ("stage", json!("explode")),
        ("switch", json!(7)),
        ("colour", json!(1)),
        ("epoch", json!(-1)),
        ("progress", json!({"done": 1})),
    ] {
        let mut wrong = ack(&order);
        wrong[field] = value;
        let got = acknowledge(&live, &order, &wrong).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (400, "invalid-body"),
            "{field}"
        );
    }
    for id in ["1-1", "x", "%20", "18446744073709551616-1"] {
        let got = live
            .json(
                "POST",
                &format!("/v1/orders/{id}/ack"),
                &ack(&order).to_string(),
            )
            .await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (404, "order-unknown"),
            "{id}"
        );
    }
    assert_eq!(orders.open(), 1, "nothing of that has ended it");

    context.cancelled.send_replace(true);
    ended(called).await.unwrap_err();
    assert_eq!(follower.expect("superseded").await["id"], order["id"]);
    let late = acknowledge(&live, &order, &ack(&order)).await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (409, "order-superseded")
    );
}

#[tokio::test]
async fn a_dropped_call_withdraws_its_order() {
    let (live, orders) = served().await;
    let mut follower = Follower::of(&live).await;
    follower.expect("state").await;
    let called = prepare(&orders, &Context::new(), 3);
    let order = follower.expect("prepare").await;
    called.abort();
    assert_eq!(follower.expect("superseded").await["id"], order["id"]);
    assert_eq!(orders.open(), 0);
}

#[tokio::test]
async fn whoever_returns_gets_the_open_orders_again() {
    let (live, orders) = served().await;
    let mut first = Follower::of(&live).await;
    first.expect("state").await;
    drop(first);
    // Nobody is connected now, but the application was there: calls wait for it.
    let called = prepare(&orders, &Context::new(), 3);
    let mut second = Follower::of(&live).await;
    let state = second.expect("state").await;
    let order = second.expect("prepare").await;
    assert!(state["open"] == 1 || state["open"] == 0, "{state}");
    let mut third = Follower::of(&live).await;
    assert_eq!(third.expect("state").await["open"], 1);
    assert_eq!(third.expect("prepare").await, order);
    acknowledge(&live, &order, &ack(&order)).await;
    ended(called).await.unwrap();
}

#[tokio::test]
async fn orders_and_subscribers_are_bounded() {
    let orders = Orders::new(2).expecting_application();
    let (live, orders) = served_with(orders, Limits::default()).await;
    let context = Context::new();
    let waiting = [prepare(&orders, &context, 1), prepare(&orders, &context, 2)];
    let mut follower = Follower::of(&live).await;
    follower.expect("state").await;
    follower.expect("prepare").await;
    follower.expect("prepare").await;
    let error = ended(prepare(&orders, &context, 3)).await.unwrap_err();
    assert!(error.to_string().starts_with("2 orders wait"), "{error}");
    let mut others = Vec::new();
    for _ in 1..8 {
        let mut other = Follower::of(&live).await;
        other.expect("state").await;
        others.push(other);
    }
    let got = live.get("/v1/orders").await;
    assert_eq!((got.status, got.code().as_str()), (503, "overloaded"));
    context.cancelled.send_replace(true);
    for called in waiting {
        ended(called).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_release_names_its_switch_and_its_deadline() {
    let (live, orders) = served().await;
    let mut follower = Follower::of(&live).await;
    follower.expect("state").await;
    let context = Context::new();
    let called = {
        let (orders, context) = (orders.clone(), Arc::clone(&context));
        tokio::spawn(async move {
            let deadline = Duration::from_secs(5);
            orders.release(&*context, PartitionId(3), deadline).await
        })
    };
    let order = follower.expect("release").await;
    assert_eq!(order["deadline_ms"], 4000, "{order}");
    // No switch is open in this state, so a release without one is malformed.
    let got = acknowledge(&live, &order, &ack(&order)).await;
    assert_eq!(got.code(), "invalid-body");
    orders.lease_lost(&*context).await;
    assert_eq!(follower.expect("lease-lost").await["incarnation"], 1);
    let token = "1.4.7".parse().unwrap();
    let primary = {
        let (orders, context) = (orders.clone(), Arc::clone(&context));
        tokio::spawn(async move { orders.become_primary(&*context, token).await })
    };
    let order = follower.expect("become-primary").await;
    assert_eq!(
        (&order["partition"], &order["epoch"]),
        (&json!("partition-4"), &json!(7))
    );
    acknowledge(&live, &order, &ack(&order)).await;
    ended(primary).await.unwrap();
    called.abort();
}

#[tokio::test]
async fn a_stream_outlives_the_idle_time_and_ends_with_the_server() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(400),
        ..Limits::default()
    };
    let (live, _orders) = served_with(Orders::default(), limits).await;
    let mut follower = Follower::of(&live).await;
    follower.expect("state").await;
    // So many heartbeats take longer than a connection may rest.
    let beats = |text: &str| (text.matches(": \n\n").count() >= 6).then_some(());
    follower.until(beats).await.expect("the stream goes on");
    let stopping = tokio::spawn(live.stop());
    assert!(
        follower.next().await.is_none(),
        "the stream ends in good order"
    );
    assert!(follower.text.ends_with("0\r\n\r\n"), "{:?}", follower.text);
    stopping.await.unwrap();
}
