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

/// A node with all settings at once tells of each.
fn settings(calls: &mut Calls, directory: &Path) {
    let certs = directory.join("certs");
    let certs = argument(&certs);
    assert!(run(&["cert", "ca", "--out", certs]).status.success());
    let made = run(&[
        "cert",
        "node",
        "--id",
        "one",
        "--host",
        "127.0.0.1,localhost",
        "--out",
        certs,
    ]);
    assert!(made.status.success());
    let tokens = directory.join("tokens");
    std::fs::write(&tokens, "admin s3cret-a\nread s3cret-r\n").expect("it can be written");
    let file = directory.join("node.toml");
    std::fs::write(&file, "rejoin_grace = \"7m\"\nweight = 9\n").expect("it can be written");
    let (port, data) = (ports::block(2), directory.join("data"));
    let (http, peer) = (
        format!("127.0.0.1:{port}"),
        format!("127.0.0.1:{}", port + 1),
    );
    let (own, key, ca) = (
        format!("{certs}/one.pem"),
        format!("{certs}/one-key.pem"),
        format!("{certs}/ca.pem"),
    );
    let args = [
        "serve",
        "--json",
        "--id",
        "one",
        "--http",
        &http,
        "--peer",
        &peer,
        "--join",
        &http,
        "--data",
        argument(&data),
        "--cluster",
        "orders",
        "--name",
        "The first",
        "--partitions",
        "6",
        "--replication-factor",
        "1",
        "--spread",
        "1",
        "--hash",
        "md5-mod",
        "--profile",
        "fast",
        "--rejoin-grace",
        "5m",
        "--domain",
        "eu/rack-1",
        "--weight",
        "3",
        "--advertise",
        "localhost",
        "--token-file",
        argument(&tokens),
        "--tls-cert",
        &own,
        "--tls-key",
        &key,
        "--peer-cert",
        &own,
        "--peer-key",
        &key,
        "--peer-ca",
        &ca,
        "--ca",
        &ca,
        "--allow-host",
        "orders.internal",
        "--service",
        "kv=127.0.0.1:7",
        "--label",
        "disk=ssd",
        "--no-auto-create",
        "--no-auto-rebalance",
        "--application",
        "volatile",
        "--insecure",
        "--log-format",
        "json",
        "--config",
        argument(&file),
    ];
    let mut node = start(calls, &args);
    let server = format!("https://{http}");
    let reach = [
        "--server",
        &server,
        "--ca",
        &ca,
        "--token-file",
        argument(&tokens),
    ];
    wait_for("it has formed a cluster", BOUND, || {
        assert!(node.is_running(), "{}", node.printed());
        let asked = run(&[&["status"], &reach[..]].concat());
        (asked.status.code() == Some(0)).then_some(())
    });
    let ask = |words: &[&str]| run_json(&[words, &reach[..]].concat());
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
    let known = wait_for("it is a member", BOUND, || {
        let known = ask(&["nodes"])["nodes"][0].clone();
        known.is_object().then_some(known)
    });
    for (name, value) in [
        ("id", json!("one")),
        ("name", json!("The first")),
        ("ip", json!(format!("localhost:{port}"))),
        ("peer_address", json!(format!("localhost:{}", port + 1))),
        ("domain", json!("eu/rack-1")),
        ("weight", json!(3)),
        ("services", json!({"kv": "127.0.0.1:7"})),
        ("labels", json!({"disk": "ssd"})),
    ] {
        assert_eq!(known[name], value, "{name} of {known}");
    }
    assert!(data.join("node.redb").is_file());
    // An application that never comes keeps the partitions from being served.
    ask(&["create"]);
    assert_eq!(ask(&["owned"])["owned"], json!([]));
    let bare = run(&["status", "--server", &server, "--ca", &ca]);
    assert_eq!(bare.status.code(), Some(4), "no token was asked for");
    let printed = node.printed();
    let lines = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON alone"));
    let logged = lines.into_iter().find(|line| line.get("level").is_some());
    assert!(
        logged.is_some_and(|line| line["fields"]["message"].is_string()),
        "{printed}"
    );
    node.signal("TERM");
    assert!(node.wait_for_end(BOUND).success(), "{}", node.printed());
    assert!(
        node.printed().contains("\"event\":\"stopped\""),
        "{}",
        node.printed()
    );
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
