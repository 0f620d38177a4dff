//! Every command against a live cluster, as text and as JSON.

use serde_json::Value;

use crate::support::{Cluster, ports, run, run_with};

/// Runs a command against the cluster; its JSON.
#[track_caller]
fn json(cluster: &Cluster, args: &[&str]) -> Value {
    let server = cluster.addresses();
    let output = run(&[args, &["--server", &server, "--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "ck {args:?}: {said}");
    assert!(output.stderr.is_empty(), "ck {args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "ck {args:?}: {error}: {}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

/// Runs a command against the cluster; its text, which fits a pager.
#[track_caller]
fn text(cluster: &Cluster, args: &[&str]) -> String {
    let server = cluster.addresses();
    let output = run(&[args, &["--server", &server]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "ck {args:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "colour in a pipe: {text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "too wide: {text}"
    );
    text
}

/// Runs a command that is refused; its exit code and error.
#[track_caller]
fn refused(cluster: &Cluster, args: &[&str]) -> (i32, Value) {
    let server = cluster.addresses();
    let output = run(&[args, &["--server", &server, "--json"]].concat());
    assert!(output.stdout.is_empty(), "ck {args:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    (output.status.code().unwrap(), error["error"].clone())
}

#[test]
fn every_command_looks_at_a_live_cluster() {
    let cluster = Cluster::ready(3, &["--service", "kv=127.0.0.1:7"]);
    let status = json(&cluster, &["status"]);
    assert_eq!(status["nodes"]["active"], 3);
    assert_eq!(status["partitions"]["stable"], 64);
    assert_eq!(status["ready"], true);
    let shown = text(&cluster, &["status"]);
    assert!(
        shown.contains("64: 64 stable") && shown.contains("leader"),
        "{shown}"
    );

    let nodes = json(&cluster, &["nodes"]);
    assert_eq!(nodes["total"], 3);
    assert!(text(&cluster, &["nodes"]).contains("kv=127.0.0.1:7"));

    let partitions = json(&cluster, &["partitions"]);
    assert_eq!(partitions["count"], 64);
    let of_one = json(
        &cluster,
        &["partitions", "--node", "node-2", "--state", "stable"],
    );
    assert_eq!(of_one["count"], 64);
    assert_eq!(
        json(&cluster, &["partitions", "--state", "unavailable"])["count"],
        0
    );
    assert!(text(&cluster, &["partitions"]).contains("64 partitions, version"));

    let one = json(&cluster, &["partition", "partition-3"]);
    assert_eq!(one["id"], "partition-3");
    assert_eq!(json(&cluster, &["partition", "3"]), one);
    assert!(text(&cluster, &["partition", "3"]).contains("IN SYNC"));

    let key = json(&cluster, &["key", "user:1001"]);
    let rows = partitions["partitions"].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == key["id"]).unwrap();
    assert_eq!(row["primary_node"], key["primary_node"]);
    assert!(text(&cluster, &["key", "user:1001"]).contains("primary"));

    let stats = json(&cluster, &["stats"]);
    assert_eq!(stats["total_partitions"], 64);
    assert!(text(&cluster, &["stats"]).contains("64 partitions: 0 in flight"));
}

#[test]
fn partitions_are_created_and_rebalanced_by_command() {
    let mut cluster = Cluster::of(
        3,
        &[
            "--no-auto-create",
            "--no-auto-rebalance",
            "--partitions",
            "32",
        ],
    );
    cluster.start_all();
    crate::support::wait_for("three nodes", crate::support::BOUND, || {
        (cluster.servers[0].try_get("/nodes")?.json()["total"] == 3).then_some(())
    });
    let (code, error) = refused(&cluster, &["key", "a"]);
    assert_eq!((code, &error["code"]), (4, &"no-partitions".into()));
    let created = json(&cluster, &["create"]);
    assert_eq!(created["count"], 32);
    assert!(text(&cluster, &["create"]).contains("existed already"));
    cluster.wait_until_ready();

    let patched = cluster.servers[0].send("PATCH", "/v1/nodes/node-1", r#"{"state":"draining"}"#);
    assert_eq!(patched.status, 200, "{}", patched.text());
    let dry = json(&cluster, &["rebalance", "--dry-run"]);
    assert_eq!(
        (&dry["dry_run"], &dry["applied"], &dry["degraded"]),
        (&true.into(), &false.into(), &true.into())
    );
    assert!(text(&cluster, &["rebalance", "--dry-run"]).starts_with("planned only"));
    let done = json(&cluster, &["rebalance"]);
    assert_eq!(done["applied"], true);
    crate::support::wait_for("node-1 leads nothing", crate::support::BOUND, || {
        let stats = json(&cluster, &["stats"]);
        (stats["partitions_per_node"]["node-1"] == 0 && stats["in_flight"] == 0).then_some(())
    });
    crate::support::wait_for("the plan's end", crate::support::BOUND, || {
        let left = json(&cluster, &["rebalance", "--dry-run"]);
        (left["moves"] == serde_json::json!([])).then_some(())
    });
    assert!(text(&cluster, &["rebalance"]).starts_with("nothing to change"));
}

#[test]
fn values_are_written_listed_and_deleted() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let server = cluster.addresses();
    let stored = json(
        &cluster,
        &["custom", "set", "app/greeting", "hello", "--expected", "0"],
    );
    let version = stored["version"].as_u64().unwrap();
    assert_eq!(stored["bytes"], 5);
    let (code, error) = refused(
        &cluster,
        &["custom", "set", "app/greeting", "again", "--expected", "0"],
    );
    assert_eq!(code, 4, "{error}");
    let value = json(&cluster, &["custom", "get", "app/greeting"]);
    assert_eq!(
        (&value["value"], value["version"].as_u64()),
        (&"hello".into(), Some(version))
    );
    let bytes = [0_u8, 255, 10, 13];
    let stored = run_with(
        &["custom", "set", "raw", "--file", "-", "--server", &server],
        &bytes,
    );
    assert_eq!(stored.status.code(), Some(0));
    let raw = run(&["custom", "get", "raw", "--server", &server]);
    assert_eq!(raw.stdout, bytes);
    assert_eq!(
        json(&cluster, &["custom", "get", "raw"])["value_base64"],
        "AP8KDQ=="
    );
    assert_eq!(json(&cluster, &["custom", "list"])["count"], 2);
    assert_eq!(
        json(&cluster, &["custom", "list", "--prefix", "app/"])["count"],
        1
    );
    assert!(text(&cluster, &["custom", "list"]).contains("app/greeting"));
    json(&cluster, &["custom", "delete", "raw"]);
    let (code, error) = refused(&cluster, &["custom", "get", "raw"]);
    assert_eq!((code, &error["code"]), (1, &"custom-unknown".into()));
}

#[test]
fn failures_have_their_exit_codes() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let (code, error) = refused(&cluster, &["partition", "partition-99"]);
    assert_eq!((code, &error["code"]), (1, &"partition-unknown".into()));
    let (code, error) = refused(&cluster, &["remove", "absent"]);
    assert!(code == 1 || code == 4, "{code} {error}");
    let absent = format!("127.0.0.1:{}", ports::block(1));
    let output = run(&["status", "--server", &absent, "--timeout", "2s"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&absent));
    // With another server beside it, the command goes on there.
    let both = format!("{absent},{}", cluster.addresses());
    assert_eq!(run(&["status", "--server", &both]).status.code(), Some(0));
    assert_eq!(
        run(&["status", "--server", "https://x"]).status.code(),
        Some(2)
    );
    assert_eq!(run(&["status", "--nonsense"]).status.code(), Some(2));
    for empty in [
        &["key", ""][..],
        &["remove", ""],
        &["custom", "set", "", "x"],
        &["custom", "get", ""],
        &["status", "--nonsense"],
        &["serve", "--partitions", "many"],
        &["nonsense"],
    ] {
        let output = run(&[empty, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{empty:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{empty:?}: {error}");
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_removal_that_leaves_too_few_nodes_says_so() {
    let mut cluster = Cluster::ready(3, &[]);
    let server = cluster.addresses();
    cluster.servers[2].kill();
    let output = run(&["remove", "node-3", "--server", &server, "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["node"], &answer["node_count"]),
        (&"node-3".into(), &2.into())
    );
    let warning = answer["warning"].as_str().unwrap();
    assert!(warning.contains("replication factor 3"), "{warning}");
    assert!(said.contains("warning") && said.contains(warning), "{said}");
}
