//! Every route there is, called on a cluster of real processes. A route that no call here reaches
//! fails the test, so one that is added has to be called here too.

mod calls;
mod dashboard;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::support::application::{Application, Does};
use crate::support::{BOUND, Cluster, send, wait_for};
use calls::{Calls, JSON};

#[test]
fn every_route_is_called() {
    let flags = ["--partitions", "8", "--replication-factor", "2"];
    let by_hand = ["--no-auto-create", "--no-auto-rebalance"];
    let mut cluster = Cluster::of(3, &[&flags[..], &by_hand].concat());
    cluster.start_all();
    wait_for("three nodes are up", BOUND, || {
        let nodes = cluster.servers[0].try_get("/v1/nodes")?.json();
        let up = nodes["nodes"]
            .as_array()?
            .iter()
            .filter(|node| node["status"] == "active");
        (up.count() == 3).then_some(())
    });
    let called = BTreeSet::new();
    let mut calls = Calls {
        cluster: &cluster,
        called,
    };
    assert_eq!(calls.look("/ready").status, 503);
    assert_eq!(
        calls.look("/partitions/key?key=a").json()["code"],
        "no-partitions"
    );
    // From here on what is copied to node-1 waits for this.
    let application = Application::of(&cluster.servers[0]);
    assert_eq!(calls.ask(0, "HEAD", "/v1/orders", &[], "").status, 200);
    created(&mut calls);
    looked_at(&mut calls);
    table(&mut calls);
    values(&mut calls);
    watched(&mut calls);
    planned(&mut calls, &application);
    nodes(&mut calls);
    cluster.servers.iter().for_each(dashboard::handed_out);
    let missing: Vec<String> = ck_http::routes()
        .map(|route| (route.method.to_string(), route.path))
        .filter(|route| !calls.called.contains(route))
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    assert!(missing.is_empty(), "no call above reaches {missing:#?}");
}

/// Partitions are created once, by whichever node is asked.
fn created(calls: &mut Calls<'_>) {
    let follower = calls.follower();
    let first = calls.ask(follower, "POST", "/v1/partitions", &[], "");
    assert_eq!((first.status, &first.json()["count"]), (201, &json!(8)));
    let again = calls.ask(follower, "POST", "/partitions", &[], "");
    assert_eq!((again.status, &again.json()["count"]), (200, &json!(8)));
    wait_for("all are stable", BOUND, || {
        let stats = calls.look("/partitions/stats").json();
        let ready = calls.look("/ready").status == 200;
        (ready && stats["unavailable"] == 0 && stats["in_flight"] == 0).then_some(())
    });
}

fn looked_at(calls: &mut Calls<'_>) {
    for (path, place, value) in [
        ("/partitions", "/partitions/7/id", json!("partition-7")),
        (
            "/partitions?limit=3&after=1",
            "/next_after",
            json!("partition-4"),
        ),
        ("/partitions?state=unavailable", "/count", json!(0)),
        ("/partitions/stats", "/total_partitions", json!(8)),
        ("/partitions/key?key=user:1001", "/state", json!("stable")),
        ("/partitions/key?key=%FF%00", "/state", json!("stable")),
        ("/partitions/3", "/id", json!("partition-3")),
        ("/cluster", "/hash_config/partitions", json!(8)),
        ("/config", "/config/replication_factor", json!(2)),
        ("/nodes?limit=2", "/has_more", json!(true)),
        ("/nodes/node-2", "/node/id", json!("node-2")),
        ("/nodes/node-2/partitions", "/node", json!("node-2")),
        ("/nodes/node-2/may-stop", "/node", json!("node-2")),
        ("/explain/3", "/state", json!("stable")),
        ("/explain/3/why-not/node-2", "/node", json!("node-2")),
        ("/history?limit=1", "/count", json!(1)),
        ("/transfers", "/count", json!(0)),
        ("/owned", "/node", json!("node-1")),
        ("/peer", "/formed", json!(true)),
        ("/health/detailed", "/node_count", json!(3)),
        ("/ready", "/ready", json!(true)),
        ("/consensus/stats", "/num_peers", json!(2)),
        ("/custom", "/count", json!(0)),
        ("/health", "/success", json!(true)),
        ("/openapi.json", "/openapi", json!("3.1.0")),
    ] {
        let reply = calls.look(path);
        let answer = reply.json();
        assert_eq!(
            answer.pointer(place),
            Some(&value),
            "{path}: {}",
            reply.text()
        );
    }
    assert!(calls.look("/metrics").text().contains("# TYPE"));
    for (path, code) in [
        ("/partitions/99", "partition-unknown"),
        ("/nodes/ghost", "node-unknown"),
        ("/plans/current", "plan-unknown"),
        ("/custom/none", "custom-unknown"),
        ("/partitions?colour=red", "invalid-parameter"),
    ] {
        let reply = calls.ask(0, "GET", &format!("/v1{path}"), &[], "");
        assert_eq!(reply.json()["code"], code, "{path}");
    }
}

/// The table whole: every node gives the same, in every form.
fn table(calls: &mut Calls<'_>) {
    let whole = calls.look("/table");
    let (answer, version) = (whole.json(), whole.json()["version"].to_string());
    assert_eq!(answer["rows"].as_array().unwrap().len(), 8);
    for at in [1, 2] {
        let newer = format!("/v1/table?min_version={version}&wait=10");
        assert_eq!(
            calls.ask(at, "GET", &newer, &[], "").json()["rows"],
            answer["rows"]
        );
    }
    let known = ("If-None-Match", whole.headers["etag"].as_str());
    assert_eq!(calls.ask(0, "GET", "/v1/table", &[known], "").status, 304);
    let packed = calls.ask(0, "GET", "/v1/table", &[("Accept-Encoding", "gzip")], "");
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < whole.body.len());
    let binary = calls.ask(
        0,
        "GET",
        "/v1/table",
        &[("Accept", "application/x-bincode")],
        "",
    );
    assert_eq!(
        (binary.headers["content-type"].as_str(), binary.body[0]),
        ("application/x-bincode", 1)
    );
    let past = calls.ask(0, "GET", &format!("/v1/table?at={version}"), &[], "");
    assert_eq!(past.json(), answer);
}

/// Small replicated values, written on condition.
fn values(calls: &mut Calls<'_>) {
    let stored = calls.ask(1, "PUT", "/v1/custom/app%2Fa?expected=0", &[], "first");
    assert_eq!(stored.status, 200, "{}", stored.text());
    let version = stored.json()["version"].to_string();
    let read = wait_for("the value is here too", BOUND, || {
        Some(calls.ask(0, "GET", "/v1/custom/app%2Fa", &[], "")).filter(|read| read.status == 200)
    });
    assert_eq!(
        (read.text().as_str(), &read.headers["ck-value-version"]),
        ("first", &version)
    );
    let stale = calls.ask(0, "PUT", "/v1/custom/app%2Fa?expected=0", &[], "second");
    assert_eq!(stale.status, 412);
    let gone = calls.ask(
        0,
        "DELETE",
        &format!("/v1/custom/app%2Fa?expected={version}"),
        &[],
        "",
    );
    assert_eq!(gone.status, 200, "{}", gone.text());
}

/// Whoever follows one node hears of what was changed by way of another.
fn watched(calls: &mut Calls<'_>) {
    let http = calls.cluster.servers[1].http;
    let stream = send(http, "GET", "/v1/watch", &[], b"", BOUND).expect("the node listens");
    let mut lines = BufReader::new(stream).lines();
    let mut next = |event: &str| -> Value {
        let name = format!("event: {event}");
        loop {
            let line = lines
                .next()
                .expect("the stream goes on")
                .expect("it is read");
            if line == name {
                break;
            }
        }
        let data = lines
            .next()
            .expect("an event has data")
            .expect("it is read");
        serde_json::from_str(data.trim_start_matches("data: ")).expect("data is JSON")
    };
    let first = next("table");
    assert_eq!(first["rows"].as_array().map(Vec::len), Some(8));
    let patched = calls
        .change("PATCH", "/v1/nodes/node-1", &json!({"weight": 4}), 200)
        .json();
    loop {
        let delta = next("delta");
        let changed = delta["members"].as_array().expect("a list").iter();
        if changed
            .into_iter()
            .any(|member| member["id"] == "node-1" && member["weight"] == 4)
        {
            assert!(
                delta["version"].as_u64() >= patched["version"].as_u64(),
                "{delta}"
            );
            break;
        }
    }
    calls.ask(1, "HEAD", "/v1/watch", &[], "");
}

/// A plan as data, and the moves it comes to; node-1's application takes its time.
fn planned(calls: &mut Calls<'_>, application: &Application) {
    for path in ["/v1/rebalance", "/rebalance"] {
        let dry = calls
            .change("POST", path, &json!({"dry_run": true}), 200)
            .json();
        assert_eq!(
            (&dry["applied"], &dry["dry_run"]),
            (&json!(false), &json!(true))
        );
    }
    application.does(|order| match order["event"].as_str() {
        Some("prepare") => Does::Hang,
        _ => Does::Ack,
    });
    let made = calls.change("POST", "/v1/plans", &Value::Null, 201);
    let (plan, place) = (made.json(), made.headers["location"].clone());
    assert!(plan["copies_moved"].as_u64() > Some(0), "{plan}");
    let apply = format!("{place}/apply");
    assert_eq!(
        calls.change("POST", &apply, &Value::Null, 412).json()["field"],
        "if-match"
    );
    let version = format!("\"{}.{}\"", plan["incarnation"], plan["base"]);
    let begun = calls.ask(0, "POST", &apply, &[("If-Match", &version)], "");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let moving = wait_for("a copy is asked for", BOUND, || {
        let told = application.told().into_iter();
        told.into_iter().find(|order| order["event"] == "prepare")
    });
    let partition = moving["partition"].as_str().expect("a partition");
    assert!(calls.look(&format!("/partitions/{partition}")).json()["transfer"].is_object());
    assert!(calls.look("/transfers").json()["count"].as_u64() > Some(0));
    for (what, paused) in [("pause", true), ("resume", false)] {
        let path = format!("/v1/plans/current/{what}");
        let told = calls.change("POST", &path, &Value::Null, 200).json();
        assert_eq!(told["progress"]["paused"], paused, "{told}");
    }
    assert_eq!(calls.look("/plans/current").json()["base"], plan["base"]);
    calls.change("POST", "/v1/plans/current/abort", &Value::Null, 200);
    wait_for("what has begun ends", BOUND, || {
        for order in application.told() {
            if order["event"] == "prepare" {
                let path = format!("/v1/orders/{}/ack", order["id"].as_str()?);
                let done = json!({
                    "stage": "prepare", "session": order["session"], "epoch": order["epoch"],
                });
                calls.ask(0, "POST", &path, &[JSON], &done.to_string());
            }
        }
        (calls.look("/transfers").json()["count"] == 0).then_some(())
    });
    application.does(|_| Does::Ack);
}

/// Operations on nodes, from announcing one to removing one.
fn nodes(calls: &mut Calls<'_>) {
    calls.change(
        "PATCH",
        "/v1/config",
        &json!({"max_transfers_per_node": 4}),
        200,
    );
    calls.change("POST", "/v1/brake/release", &Value::Null, 200);
    let held = calls.change(
        "POST",
        "/v1/partitions/3/promote",
        &json!({"node": "node-2"}),
        409,
    );
    assert_eq!(
        held.json()["newest"]["partition"],
        "partition-3",
        "{}",
        held.text()
    );
    let backup = calls.change("POST", "/v1/backup", &Value::Null, 200);
    assert!(backup.body.len() > 100, "{}", backup.body.len());
    let peer = calls.ask(1, "GET", "/v1/peer", &[], "").json();
    let http = calls.cluster.servers[1].http.to_string();
    let known = json!({"node": {"id": "node-2", "ip": http}, "peer_addr": peer["peer_address"]});
    for path in ["/v1/join", "/join"] {
        let joined = calls.change("POST", path, &known, 200).json();
        assert_eq!(joined["data"]["node_count"], 3);
    }
    let follower = calls.follower();
    let headers = [JSON, ("Prefer", "redirect")];
    let sent = calls.ask(follower, "POST", "/v1/join", &headers, &known.to_string());
    assert!(
        sent.status == 307 && sent.headers["location"].ends_with("/v1/join"),
        "{sent:?}"
    );
    for (what, status) in [
        ("cordon", "cordoned"),
        ("uncordon", "active"),
        ("drain", "draining"),
    ] {
        let path = format!("/v1/nodes/node-3/{what}");
        let node = calls.change("POST", &path, &Value::Null, 200).json();
        assert_eq!(node["node"]["status"], status);
    }
    // How a node is emptied and goes is told elsewhere; that takes its time.
    let reply = calls.change("DELETE", "/v1/nodes/node-3", &Value::Null, 409);
    assert_eq!(reply.json()["code"], "draining", "{}", reply.text());
}
