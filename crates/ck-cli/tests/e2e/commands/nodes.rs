//! `ck serve` and `ck dev`: what each setting does to a node.

use std::path::Path;

use serde_json::{Value, json};

use super::calls::Calls;
use crate::support::{BOUND, Process, argument, ck, json as run_json, ports, run, wait_for};

pub(super) const COMMANDS: &[&str] = &["dev", "serve"];

/// A process, written down with its flags.
fn start(calls: &mut Calls, args: &[&str]) -> Process {
    calls.ran(args);
    let mut command = ck();
    command.args(args);
    Process::start(command)
}

#[test]
fn every_flag_of_a_node_does_what_it_says() {
    let mut calls = Calls::of(COMMANDS);
    let directory = tempfile::tempdir().expect("a temporary directory");
    settings(&mut calls, directory.path());
    development(&mut calls, directory.path());
    calls.assert_complete();
}

/// Settings of which the node and the cluster tell; more is in the files that stand beside them.
const SETTINGS: &str = "--cluster orders --name First --partitions 6 --replication-factor 1 --spread 1 \
    --hash md5-mod --profile fast --rejoin-grace 5m --domain eu/rack-1 --weight 3 --advertise localhost \
    --allow-host orders.internal --service kv=127.0.0.1:7 --label disk=ssd --no-auto-create \
    --no-auto-rebalance --application volatile --insecure --log-format json";

/// Limits of HTTP callers, wide enough to be in nobody's way; `limits` shows what each refuses.
const LIMITS: &str = "--http-connections-max 64 --http-requests-max 32 --http-watchers-max 16 \
    --http-header-bytes-max 16384 --http-header-count-max 32 --http-body-bytes-max 524288 \
    --http-header-timeout 20s --http-body-timeout 20s --http-idle-timeout 20s --http-write-timeout 20s \
    --http-write-bytes-per-second-min 1024";

/// A node with all settings at once tells of each.
fn settings(calls: &mut Calls, directory: &Path) {
    let file = |name: &str| argument(&directory.join(name)).to_owned();
    let certs = file("certs");
    assert!(run(&["cert", "ca", "--out", &certs]).status.success());
    let host = "cert node --id one --host 127.0.0.1,localhost --out";
    let host: Vec<&str> = host.split(' ').chain([certs.as_str()]).collect();
    assert!(run(&host).status.success());
    let written = "admin s3cret-a\nread s3cret-r\n";
    std::fs::write(file("tokens"), written).expect("it can be written");
    let written = "rejoin_grace = \"7m\"\nweight = 9\n";
    std::fs::write(file("node.toml"), written).expect("it can be written");
    let port = ports::block(2);
    let http = format!("127.0.0.1:{port}");
    let beside = [
        ("--http", http.clone()),
        ("--peer", format!("127.0.0.1:{}", port + 1)),
        ("--join", http.clone()),
        ("--data", file("data")),
        ("--token-file", file("tokens")),
        ("--tls-cert", file("certs/one.pem")),
        ("--tls-key", file("certs/one-key.pem")),
        ("--peer-cert", file("certs/one.pem")),
        ("--peer-key", file("certs/one-key.pem")),
        ("--peer-ca", file("certs/ca.pem")),
        ("--ca", file("certs/ca.pem")),
        ("--config", file("node.toml")),
    ];
    let mut args = vec!["serve", "--json", "--id", "one"];
    args.extend(
        [SETTINGS, LIMITS]
            .iter()
            .flat_map(|text| text.split_whitespace()),
    );
    args.extend(
        beside
            .iter()
            .flat_map(|(flag, value)| [*flag, value.as_str()]),
    );
    let mut node = start(calls, &args);
    let (server, ca, tokens) = (
        format!("https://{http}"),
        file("certs/ca.pem"),
        file("tokens"),
    );
    let reach = ["--server", &server, "--ca", &ca, "--token-file", &tokens];
    wait_for("it is a member", BOUND, || {
        assert!(node.is_running(), "{}", node.printed());
        let nodes = run(&[&["nodes", "--json"], &reach[..]].concat());
        let nodes: Value = serde_json::from_slice(&nodes.stdout).ok()?;
        nodes["nodes"][0].is_object().then_some(())
    });
    assert_told(&reach, port);
    assert!(directory.join("data").join("node.redb").is_file());
    let bare = run(&["status", "--server", &server, "--ca", &ca]);
    assert_eq!(bare.status.code(), Some(4), "no token was asked for");
    assert_prints_json(&node.printed());
    node.signal("TERM");
    assert!(node.wait_for_end(BOUND).success(), "{}", node.printed());
    let printed = node.printed();
    assert!(printed.contains("\"event\":\"stopped\""), "{printed}");
}

/// What the flags said is what the cluster knows.
#[track_caller]
fn assert_told(reach: &[&str], port: u16) {
    let ask = |words: &[&str]| run_json(&[words, reach].concat());
    let config = ask(&["config"])["config"].clone();
    for (name, value) in [
        ("cluster_name", json!("orders")),
        ("partition_count", json!(6)),
        ("replication_factor", json!(1)),
        ("spread", json!(1)),
        ("hash", json!("md5-mod")),
        ("profile", json!("fast")),
        // A flag stands before the file.
        ("rejoin_grace_ms", json!(300_000)),
        ("auto_create", json!(false)),
        ("auto_rebalance", json!(false)),
    ] {
        assert_eq!(config[name], value, "{name} of {config}");
    }
    let known = ask(&["nodes"])["nodes"][0].clone();
    for (name, value) in [
        ("id", json!("one")),
        ("name", json!("First")),
        ("ip", json!(format!("localhost:{port}"))),
        ("peer_address", json!(format!("localhost:{}", port + 1))),
        ("domain", json!("eu/rack-1")),
        ("weight", json!(3)),
        ("services", json!({"kv": "127.0.0.1:7"})),
        ("labels", json!({"disk": "ssd"})),
    ] {
        assert_eq!(known[name], value, "{name} of {known}");
    }
    // An application that never comes keeps the partitions from being served.
    ask(&["create"]);
    assert_eq!(ask(&["owned"])["owned"], json!([]));
}

/// Events and the log alike, an object a line.
#[track_caller]
fn assert_prints_json(printed: &str) {
    let lines = printed.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON alone"))
        .collect();
    let logged = lines.iter().find(|line| line.get("level").is_some());
    let message = logged.map(|line| line["fields"]["message"].is_string());
    assert_eq!(message, Some(true), "{printed}");
}

/// The cluster of one command: in another place, of another size, closed.
fn development(calls: &mut Calls, directory: &Path) {
    let (base, tokens, keep) = (
        ports::block(2).to_string(),
        directory.join("tokens"),
        directory.join("dev"),
    );
    let args = [
        "dev",
        "--json",
        "--nodes",
        "2",
        "--partitions",
        "8",
        "--http-base",
        &base,
        "--keep",
        argument(&keep),
        "--token-file",
        argument(&tokens),
    ];
    let mut dev = start(calls, &args);
    dev.wait_for_text("\"ready_ms\"", BOUND);
    let told: Value = serde_json::from_str(dev.printed().trim()).expect("one document");
    assert_eq!(
        (
            &told["partitions"],
            &told["replication_factor"],
            told["nodes"].as_array().map(Vec::len)
        ),
        (&json!(8), &json!(2), Some(2))
    );
    let server = format!("127.0.0.1:{base}");
    let open = run(&["status", "--server", &server]);
    assert_eq!(open.status.code(), Some(4), "no token was asked for");
    let shown = [
        "status",
        "--server",
        &server,
        "--token-file",
        argument(&tokens),
    ];
    assert_eq!(run_json(&shown)["nodes"]["active"], 2);
    dev.signal("TERM");
    assert!(dev.wait_for_end(BOUND).success(), "{}", dev.printed());
    assert!(keep.join("node-2").join("node.redb").is_file());
}
