//! What asks a cluster, on one that is closed: TLS, tokens, three processes.

use std::path::Path;

use serde_json::{Value, json};

use super::calls::Calls;
use super::operations;
use crate::support::go_node::{Answers, GoNode};
use crate::support::{BOUND, Cluster, Server, Terminal, argument, run, wait_for};

pub(super) const COMMANDS: &[&str] = &[
    "abort",
    "apply",
    "backup",
    "config",
    "cordon",
    "create",
    "custom delete",
    "custom get",
    "custom list",
    "custom set",
    "drain",
    "explain",
    "history",
    "key",
    "may-stop",
    "migrate",
    "nodes",
    "owned",
    "partition",
    "partitions",
    "pause",
    "plan",
    "promote",
    "rebalance",
    "remove",
    "resume",
    "set",
    "stats",
    "status",
    "top",
    "uncordon",
    "watch",
    "why-not",
];

/// Two of three nodes run, with a closed HTTP surface; the third is there to be started.
fn closed() -> Cluster {
    let flags = [
        "--replication-factor",
        "2",
        "--partitions",
        "8",
        "--profile",
        "fast",
    ];
    let by_hand = [
        "--no-auto-create",
        "--no-auto-rebalance",
        "--rejoin-grace",
        "1h",
    ];
    let mut cluster = Cluster::of(3, &[&flags[..], &by_hand].concat());
    let certs = cluster.directory.path().join("certs");
    let certs = argument(&certs);
    let tokens = cluster.directory.path().join("tokens");
    std::fs::write(&tokens, "admin s3cret-a\nread s3cret-r\n").expect("it can be written");
    assert!(run(&["cert", "ca", "--out", certs]).status.success());
    let join = format!("{},{}", cluster.servers[0].http, cluster.servers[1].http);
    for server in &mut cluster.servers {
        let id = server.id.clone();
        let host = [
            "cert",
            "node",
            "--id",
            &id,
            "--host",
            "127.0.0.1",
            "--out",
            certs,
        ];
        assert!(run(&host).status.success());
        let own = [
            ("--join", join.clone()),
            ("--tls-cert", format!("{certs}/{id}.pem")),
            ("--tls-key", format!("{certs}/{id}-key.pem")),
            ("--ca", format!("{certs}/ca.pem")),
            ("--token-file", argument(&tokens).to_owned()),
        ];
        server.flags.drain(..2);
        let own = own
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        server.flags.extend(own);
    }
    cluster.servers[..2].iter_mut().for_each(Server::start);
    cluster
}

/// How the cluster is reached, by every command.
fn reach(cluster: &Cluster) -> Vec<String> {
    let servers = cluster.servers[..2].iter();
    let servers: Vec<String> = servers.map(|one| format!("https://{}", one.http)).collect();
    let directory = cluster.directory.path();
    let file = |name: &str| argument(&directory.join(name)).to_owned();
    [
        ("--server", servers.join(",")),
        ("--ca", file("certs/ca.pem")),
        ("--token-file", file("tokens")),
        ("--timeout", "20s".to_owned()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

/// Waits for nodes that take their share.
fn active(calls: &mut Calls, count: usize) {
    wait_for("the nodes have joined", BOUND, || {
        let line = calls
            .line(&["nodes", "--json"])
            .into_iter()
            .map(str::to_owned);
        let line: Vec<String> = line.collect();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let nodes: Value = serde_json::from_slice(&run(&line).stdout).ok()?;
        let nodes = nodes["nodes"].as_array()?.iter();
        let active = nodes.filter(|node| node["status"] == "active").count();
        (active == count).then_some(())
    });
}

#[test]
fn every_command_that_asks_a_cluster_is_run_with_every_flag() {
    let mut cluster = closed();
    let mut calls = Calls::of(COMMANDS);
    calls.common = reach(&cluster);
    active(&mut calls, 2);
    begun(&mut calls);
    looked_at(&mut calls);
    followed(&mut calls);
    values(&mut calls, cluster.directory.path());
    cluster.servers[2].start();
    active(&mut calls, 3);
    operations::steered(&mut calls);
    operations::planned(&mut calls);
    cluster.servers[2].kill();
    operations::left(&mut calls);
    calls.assert_complete();
}

/// From nothing to partitions.
fn begun(calls: &mut Calls) {
    calls.text(
        &["status"],
        &["not created yet", "`ck create`", "ready       no"],
    );
    calls.fails(&["key", "a"], 4, "no-partitions", &["`ck create`"]);
    let go = GoNode::start(Answers::captured());
    let from = ["migrate", "--from", &go.url()];
    let look = calls.json(&[&from[..], &["--look"]].concat());
    assert_eq!(look["partitions"], 64, "{look}");
    let renamed = [&from[..], &["--rename", "node-9=node-1", "--dry-run"]].concat();
    calls.fails(&renamed, 4, "differs", &["8 partitions here, 64 there"]);
    let created = calls.json(&["create"]);
    assert_eq!(created["count"], 8, "{created}");
    calls.text(&["create"], &["8 partitions existed already"]);
    wait_for("it is ready", BOUND, || {
        (calls.json(&["status"])["ready"] == true).then_some(())
    });
}

/// A command, a place in its JSON and what stands there, and parts of its text.
type Look = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static [&'static str],
);

const LOOKS: &[Look] = &[
    (
        &["status"],
        "/partitions/stable",
        "8",
        &["8: 8 stable", "leader"],
    ),
    (&["nodes"], "/total", "2", &["node-2", "WEIGHT"]),
    (
        &["partitions", "--node", "node-2"],
        "/count",
        "8",
        &["8 partitions, version"],
    ),
    (
        &["partitions", "--state", "moving"],
        "/count",
        "0",
        &["0 partitions"],
    ),
    (
        &["partition", "3"],
        "/id",
        r#""partition-3""#,
        &["IN SYNC", "partition-3"],
    ),
    (
        &["key", "user:1001"],
        "/state",
        r#""stable""#,
        &["primary", "epoch 1"],
    ),
    (
        &["stats"],
        "/total_partitions",
        "8",
        &["4 to 4 a node", "1.000 of its share"],
    ),
    (
        &["explain", "3"],
        "/id",
        r#""partition-3""#,
        &["partition-3 is stable"],
    ),
    (
        &["why-not", "3", "node-2"],
        "/node",
        r#""node-2""#,
        &["of partition-3"],
    ),
    (
        &["history"],
        "/entries/0/kind",
        r#""genesis""#,
        &["AGO", " s ", "create-partitions"],
    ),
    (
        &["history", "--from", "1", "--to", "2", "--limit", "1"],
        "/count",
        "1",
        &["more follow"],
    ),
    (
        &["config"],
        "/config/replication_factor",
        "2",
        &["rejoin_grace_ms", "3600000"],
    ),
    (&["plan"], "/status", r#""empty""#, &["0 copies to move"]),
];

/// A command that is refused: its exit code, its code, and what to do.
type Refused = (&'static [&'static str], i32, &'static str, &'static str);

const REFUSED: &[Refused] = &[
    (&["partition", "99"], 1, "partition-unknown", "partition-7"),
    (&["explain", "x"], 2, "invalid-parameter", "partition-3"),
    (&["why-not", "3", "node-9"], 1, "node-unknown", "`ck nodes`"),
    (
        &["partitions", "--node", "node-9"],
        1,
        "node-unknown",
        "`ck nodes`",
    ),
    (
        &["history", "--from", "x"],
        2,
        "invalid-parameter",
        "12 or 1.12",
    ),
    (&["plan", "current"], 1, "plan-unknown", "`ck plan`"),
    (&["apply", "none"], 1, "plan-unknown", "none"),
    (&["pause"], 4, "plan-not-under-way", "`ck history`"),
    (
        &["custom", "get", "none"],
        1,
        "custom-unknown",
        "`ck custom list`",
    ),
    (&["drain", "node-9"], 1, "node-unknown", "`ck nodes`"),
    (
        &["set", "spread=9"],
        2,
        "config-invalid",
        "replication_factor 2",
    ),
    (
        &["promote", "3", "node-2", "--accept-data-loss"],
        4,
        "partition-held",
        "partition-3",
    ),
];

fn looked_at(calls: &mut Calls) {
    for (args, place, value, parts) in LOOKS {
        let answer = calls.json(args);
        let value: Value = serde_json::from_str(value).expect("JSON");
        assert_eq!(answer.pointer(place), Some(&value), "ck {args:?}: {answer}");
        calls.text(args, parts);
    }
    let empty = calls.json(&["plan"])["id"].clone();
    let apply = ["apply", empty.as_str().expect("an id")];
    calls.text(&apply, &["nothing to change"]);
    let begun = calls.json(&["rebalance"]);
    assert_eq!(begun["applied"], false, "{begun}");
    let spec = "partitions = 4\nreplication_factor = 1\n[[nodes]]\nid = \"n1\"\n";
    let offline = calls.json_of(&["key", "a", "--spec", "-"], spec.as_bytes());
    assert_eq!(offline["primary_node"], "n1", "{offline}");
    // The one that answers owns half of them.
    let owned = calls.json(&["owned"]);
    assert_eq!(owned["owned"].as_array().map(Vec::len), Some(4), "{owned}");
    calls.text(&["owned"], &["may act on 4 partitions", "EPOCH"]);
    // Nothing may stop where each of two holds every copy.
    let no = calls.call(&["may-stop", "node-2", "--json"], b"");
    assert_eq!(no.status.code(), Some(4));
    let no: Value = serde_json::from_slice(&no.stdout).expect("the answer is printed all the same");
    assert_eq!(
        (&no["allowed"], no["reasons"].as_array().is_some()),
        (&json!(false), true)
    );
    for (args, exit, code, part) in REFUSED {
        calls.fails(args, *exit, code, &[part]);
    }
}

/// What tells of changes as they come.
fn followed(calls: &mut Calls) {
    let version = calls.json(&["status"]);
    let from = format!("{}.1", version["incarnation"]);
    let told = calls.call(&["watch", "--from", &from, "--for", "300ms", "--json"], b"");
    assert_eq!(told.status.code(), Some(0));
    let told = String::from_utf8(told.stdout).expect("it is text");
    let events = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert!(
        events.into_iter().any(|event| event["event"] == "delta"),
        "{told}"
    );
    calls.text(&["watch", "--for", "100ms"], &["8 partitions, 2 nodes"]);
    let top = Terminal::start(&calls.line(&["top"]));
    top.wait_for_text("node-2");
    top.types("q");
    top.wait_for_clean_end();
    // It has nothing for programs, and says what has.
    let refused = calls.call(&["top", "--json"], b"");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("ck watch --json"));
    calls.ran(&[
        "top",
        "--json",
        "--server",
        "--ca",
        "--token-file",
        "--timeout",
    ]);
}

fn values(calls: &mut Calls, directory: &Path) {
    let stored = calls.json(&["custom", "set", "app/a", "hello", "--expected", "0"]);
    assert_eq!(stored["bytes"], 5, "{stored}");
    let again = ["custom", "set", "app/a", "again", "--expected", "0"];
    calls.fails(&again, 4, "custom-version", &["app/a"]);
    let file = directory.join("value");
    let bytes = [0_u8, 255, 10, 13];
    std::fs::write(&file, bytes).expect("it can be written");
    calls.json(&["custom", "set", "raw", "--file", argument(&file)]);
    assert_eq!(calls.call(&["custom", "get", "raw"], b"").stdout, bytes);
    assert_eq!(
        calls.json(&["custom", "get", "raw"])["value_base64"],
        "AP8KDQ=="
    );
    let listed = calls.json(&["custom", "list", "--prefix", "app/"]);
    assert_eq!(listed["count"], 1, "{listed}");
    calls.text(&["custom", "list"], &["app/a", "2 values"]);
    let version = stored["version"].to_string();
    calls.json(&["custom", "delete", "app/a", "--expected", &version]);
    let backup = directory.join("kept");
    let kept = calls.json(&["backup", argument(&backup)]);
    assert_eq!(
        (&kept["members"], &kept["partitions"]),
        (&json!(2), &json!(8))
    );
    calls.fails(&["backup", argument(&backup)], 4, "refused", &["--force"]);
    calls.json(&["backup", argument(&backup), "--force"]);
}
