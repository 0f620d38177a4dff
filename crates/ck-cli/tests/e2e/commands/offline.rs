//! What needs no server: plans, histories, certificates, and data directories of nodes that rest.

use std::path::Path;

use serde_json::json;

use super::calls::Calls;
use crate::support::{Cluster, argument, json as run_json, said};

pub(super) const COMMANDS: &[&str] = &[
    "cert ca",
    "cert node",
    "check",
    "completions",
    "place",
    "recover",
    "restore",
    "snapshot",
    "what-if",
];

const SPEC: &str = "partitions = 12\nreplication_factor = 2\nnodes = [\
    { id = \"n1\", domain = \"a\" }, { id = \"n2\", domain = \"b\" }, { id = \"n3\", domain = \"c\" }]\n";

#[test]
fn every_command_that_needs_no_server_is_run_with_every_flag() {
    let mut calls = Calls::of(COMMANDS);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let spec = directory.path().join("spec.toml");
    std::fs::write(&spec, SPEC).expect("it can be written");
    placed(&mut calls, argument(&spec));
    compared(&mut calls, argument(&spec));
    reviewed(&mut calls, argument(&spec), directory.path());
    checked(&mut calls, directory.path());
    certified(&mut calls, directory.path());
    let script = calls.json(&["completions", "bash"]);
    assert!(
        script["script"]
            .as_str()
            .is_some_and(|text| text.contains("may-stop"))
    );
    data_directories(&mut calls);
    calls.assert_complete();
}

fn placed(calls: &mut Calls, spec: &str) {
    let plan = calls.json(&["place", "--spec", spec]);
    assert_eq!(
        (&plan["count"], &plan["plan"]["copies_moved"]),
        (&json!(12), &json!(24))
    );
    calls.text(&["place", "--spec", spec], &["12 partitions", "n3"]);
    let line = json!({"partitions": 3, "replication_factor": 1, "nodes": [{"id": "n1"}]});
    let batch = calls.call(&["place", "--batch"], format!("{line}\n{{\n").as_bytes());
    let answers = String::from_utf8(batch.stdout).expect("it is text");
    assert!(answers.starts_with("{\"partitions\":["), "{answers}");
    assert!(answers.contains("malformed-json"), "{answers}");
    let why = calls.json(&["place", "--spec", spec, "--explain", "partition-3"]);
    assert_eq!(why["copies"].as_array().map(Vec::len), Some(2), "{why}");
    let not = calls.json(&["place", "--spec", spec, "--why-not", "partition-3", "n9"]);
    assert_eq!(not["why"], "unknown", "{not}");
    let beyond = ["place", "--spec", spec, "--explain", "partition-12"];
    calls.fails(&beyond, 4, "unknown-partition", &["partition-12"]);
    calls.fails(
        &["place", "--spec", "/none.toml"],
        1,
        "failed",
        &["/none.toml"],
    );
    let wrong = SPEC.replace("= 12", "= 0");
    let output = calls.call(&["place", "--spec", "-"], wrong.as_bytes());
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("partitions"), "{}", said(&output));
}

fn compared(calls: &mut Calls, spec: &str) {
    let all = [
        "--lose",
        "n1",
        "--add",
        "n4:domain=a",
        "--add",
        "n5",
        "--weight",
        "n2=2",
        "--incoming",
        "2",
        "--outgoing",
        "2",
        "--bytes-per-partition",
        "1GiB",
    ];
    let answer = calls.json(&[&["what-if", "--spec", spec], &all[..]].concat());
    let moved = answer["copies_moved"].as_u64().expect("a number");
    assert!(
        moved > 0 && answer["bytes_moved"] == moved << 30,
        "{answer}"
    );
    let other = [
        "--lose-domain",
        "a",
        "--drain",
        "n2",
        "--replication-factor",
        "1",
        "--spread",
        "1",
        "--fail-above",
        "100",
    ];
    let answer = calls.json(&[&["what-if", "--spec", spec], &other[..]].concat());
    assert_eq!(answer["after"]["replication_factor"], 1, "{answer}");
    let strict = [
        "what-if",
        "--spec",
        spec,
        "--lose",
        "n1",
        "--fail-above",
        "1",
    ];
    let above = calls.call(&strict, b"");
    assert_eq!(above.status.code(), Some(4), "{}", said(&above));
    calls.text(&["what-if", "--spec", spec, "--drain", "n3"], &["n3"]);
    let unknown = ["what-if", "--spec", spec, "--lose", "n9"];
    calls.fails(&unknown, 4, "unknown-node", &["n9"]);
}

fn reviewed(calls: &mut Calls, spec: &str, directory: &Path) {
    let golden = directory.join("golden.txt");
    let text = calls.text(&["snapshot", "--spec", spec], &["11: n3 n1"]);
    std::fs::write(&golden, text).expect("it can be written");
    let check = ["snapshot", "--spec", spec, "--check", argument(&golden)];
    assert_eq!(calls.json(&check)["matches"], true);
    std::fs::write(&golden, "something else\n").expect("it can be written");
    let differs = calls.call(&check, b"");
    assert_eq!(differs.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&differs.stdout).contains("-something else"));
}

fn checked(calls: &mut Calls, directory: &Path) {
    let history = directory.join("history.jsonl");
    let owns = |at: u64, node: &str, epoch: u64| {
        let line = json!({"at": at, "node": node, "seen": "owns", "partition": 0, "epoch": epoch,
            "incarnation": 1});
        format!("{line}\n")
    };
    std::fs::write(&history, owns(10, "n1", 1)).expect("it can be written");
    let clean = calls.json(&[
        "check",
        argument(&history),
        "--states",
        "100",
        "--problems",
        "1",
    ]);
    assert_eq!(
        (&clean["ownerships"], &clean["found"]),
        (&json!(1), &json!(0)),
        "{clean}"
    );
    std::fs::write(&history, owns(10, "n1", 1) + &owns(11, "n2", 2)).expect("it can be written");
    let two = calls.call(&["check", argument(&history)], b"");
    assert_eq!(two.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&two.stdout).contains("n1"),
        "{two:?}"
    );
}

fn certified(calls: &mut Calls, directory: &Path) {
    let certs = directory.join("certs");
    let certs = argument(&certs);
    let made = calls.json(&["cert", "ca", "--out", certs, "--days", "30"]);
    assert!(
        made["key"]
            .as_str()
            .is_some_and(|key| key.ends_with("ca-key.pem")),
        "{made}"
    );
    calls.fails(
        &["cert", "ca", "--out", certs],
        4,
        "refused",
        &["ca-key.pem"],
    );
    let node = [
        "cert",
        "node",
        "--id",
        "node-1",
        "--host",
        "127.0.0.1",
        "--out",
        certs,
    ];
    calls.json(&[&node[..], &["--days", "7"]].concat());
    calls.fails(&node, 4, "refused", &["node-1-key.pem", "--renew"]);
    let renew = [&node[..], &["--renew"]].concat();
    calls.json(&renew);
}

/// A node that rests begins anew from its backup, and from its log.
fn data_directories(calls: &mut Calls) {
    let mut cluster = Cluster::ready(1, &["--replication-factor", "1", "--partitions", "4"]);
    let folder = cluster.directory.path().to_owned();
    let [file, first, second, copy] =
        ["kept", "first", "second", "copy"].map(|name| folder.join(name));
    run_json(&["backup", argument(&file), "--server", &cluster.addresses()]);
    cluster.servers[0].kill();
    let data = cluster.servers[0].data.clone();
    std::fs::create_dir(&copy).expect("it can be made");
    for entry in std::fs::read_dir(&data).expect("it can be read") {
        let entry = entry.expect("it can be read");
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("it can be copied");
    }

    let restore = ["restore", argument(&file), "--id", "node-1", "--data"];
    let anew = [
        argument(&first),
        "--trust-copies",
        "--incarnation",
        "40000000000001",
    ];
    let restored = calls.json(&[&restore[..], &anew[..]].concat());
    assert_eq!(
        (&restored["incarnation"], &restored["trusts_copies"]),
        (&json!(40_000_000_000_001_u64), &json!(true))
    );
    let uuid = restored["uuid"].as_str().expect("a UUID");
    let into = calls.json(&[&restore[..], &[argument(&second), "--into", uuid]].concat());
    assert_eq!(
        (&into["uuid"], into.get("incarnation")),
        (&json!(uuid), None)
    );
    let there = [&restore[..], &[argument(&first)]].concat();
    calls.fails(&there, 4, "refused", &["is there already"]);

    let recover = ["recover", "--data", argument(&data)];
    let look = [
        &recover[..],
        &["--dry-run", "--incarnation", "40000000000001"],
    ]
    .concat();
    let told = calls.json(&look);
    assert_eq!(
        (&told["done"], &told["stay"]),
        (&json!(false), &json!(["node-1"])),
        "{told}"
    );
    calls.text(&look, &["nothing was changed", "stay: node-1"]);
    let keep = [&recover[..], &["--keep", "node-9", "--dry-run"]].concat();
    calls.fails(&keep, 4, "refused", &["the members are node-1"]);
    let done = calls.json(&[&recover[..], &["--yes-i-accept-data-loss"]].concat());
    assert_eq!(done["done"], true, "{done}");
    let uuid = done["uuid"].as_str().expect("a UUID");
    let follow = [
        "recover",
        "--data",
        argument(&copy),
        "--into",
        uuid,
        "--keep",
        "node-1",
        "--yes-i-accept-data-loss",
    ];
    assert_eq!(calls.json(&follow)["uuid"], json!(uuid));
}
