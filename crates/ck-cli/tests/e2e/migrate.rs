//! `ck migrate`: a cluster of the Go library, as its captured answers tell of it, becomes one here.

use serde_json::Value;

use crate::support::go_node::{Answers, GoNode};
use crate::support::{BOUND, Cluster, Server, json, ports, run, wait_for};

/// Keys with the partition each falls into, of 64, by the Go library's hash.
const KEYS: [(&str, usize); 8] = [
    ("user:1001", 36),
    ("order:5001", 10),
    ("product:abc123", 15),
    ("a", 57),
    ("task:12345", 39),
    ("user:5001", 29),
    ("%C3%A4%C3%B6", 54),
    ("%FF%00%FE", 39),
];

#[track_caller]
fn migrated(args: &[&str]) -> Value {
    json(&[&["migrate"], args].concat())
}

#[track_caller]
fn refused(args: &[&str]) -> (i32, String, String) {
    let output = run(&[&["migrate", "--json"], args].concat());
    assert!(output.stdout.is_empty(), "{args:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    let text = |name: &str| error["error"][name].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), text("code"), text("message"))
}

fn nodes_are(cluster: &Cluster, total: usize) {
    wait_for("all nodes have joined", BOUND, || {
        let nodes = cluster.servers[0].try_get("/nodes")?;
        (nodes.status == 200 && nodes.json()["total"] == total).then_some(())
    });
}

#[test]
fn a_running_cluster_of_the_go_library_is_taken_over_key_for_key() {
    let answers = Answers::captured();
    let go = GoNode::start(answers.clone());
    let from = go.url();
    let look = migrated(&["--from", &from, "--look"]);
    assert_eq!(
        (&look["partitions"], &look["nodes"][2]["primaries"]),
        (&64.into(), &22.into())
    );
    let flags = look["flags"].as_array().unwrap().iter();
    let flags: Vec<&str> = flags
        .flat_map(|flag| flag.as_str().unwrap().split(' '))
        .collect();
    let mut cluster = Cluster::of(3, &flags);
    cluster.start_all();
    nodes_are(&cluster, 3);
    let here = cluster.addresses();
    let args = ["--from", &from, "--server", &here];

    let dry = migrated(&[&args[..], &["--dry-run"]].concat());
    assert_eq!(
        (&dry["taken_over"], &dry["partitions"]),
        (&false.into(), &64.into())
    );
    assert_eq!(cluster.servers[0].get("/partitions").json()["count"], 0);

    let done = migrated(&args);
    assert_eq!(
        (&done["taken_over"], &done["warnings"]),
        (&true.into(), &Value::Array(vec![]))
    );
    cluster.wait_until_ready();
    let rows: Vec<Vec<String>> = answers.rows();
    for server in &cluster.servers {
        for ((id, primary, replicas), row) in server.rows().iter().zip(&rows) {
            let replicas = replicas.as_array().unwrap().iter();
            let replicas = replicas.map(|node| node.as_str().unwrap());
            let found: Vec<&str> = std::iter::once(primary.as_str()).chain(replicas).collect();
            assert_eq!(&found, row, "{id} on {}", server.id);
        }
        for (key, number) in KEYS {
            let route = server.get(&format!("/partitions/key?key={key}")).json();
            assert_eq!(route["id"], format!("partition-{number}"), "{key}");
            assert_eq!(route["primary_node"], rows[number][0].as_str(), "{key}");
        }
    }

    let again = migrated(&args);
    assert_eq!(
        (&again["taken_over"], &again["version"]),
        (&false.into(), &done["version"])
    );
    let asked = go.asked();
    assert!(
        asked.iter().all(|head| head.starts_with("get ")),
        "{asked:?}"
    );
}

#[test]
fn every_difference_is_named_and_nothing_is_changed() {
    let go = GoNode::start(Answers::captured());
    let from = go.url();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "a-token-of-this-cluster-alone\n").unwrap();
    let mut server = Server::new("node-1", ports::block(1), directory.path()).with(&[
        "--replication-factor",
        "1",
        "--partitions",
        "32",
        "--no-auto-create",
        "--token-file",
        token.to_str().unwrap(),
    ]);
    server.start();
    wait_for("it is formed", BOUND, || {
        let nodes = server.try_get("/nodes")?;
        (nodes.status == 200 && nodes.json()["total"] == 1).then_some(())
    });
    let here = format!("http://{}", server.http);
    let args = [
        "--from",
        &from,
        "--server",
        &here,
        "--token-file",
        token.to_str().unwrap(),
        "--rename",
        "node-9=node-1",
    ];
    let (status, code, message) = refused(&args);
    assert_eq!((status, code.as_str()), (4, "differs"), "{message}");
    for part in [
        "hashed by xxh3 here, by md5-mod there",
        "32 partitions here, 64 there",
        "up to 3 copies there, the replication factor here is 1",
        "node node-2 has partitions there and is no node here",
        "node node-3 has partitions there",
        "--rename node-9: there is no node",
        "--hash md5-mod --no-auto-create",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert_eq!(server.get("/partitions").json()["count"], 0);
    let asked = go.asked();
    assert!(
        !asked.iter().any(|head| head.contains("authorization")),
        "a token of ours went to the other cluster: {asked:?}"
    );
}

#[test]
fn what_is_no_table_of_the_go_library_is_not_taken() {
    let mut moving = Answers::captured();
    moving.partitions["partitions"][5]["primary_node"] = "node-9".into();
    let go = GoNode::start(moving);
    let (status, code, message) = refused(&["--from", &go.url(), "--look"]);
    assert_eq!((status, code.as_str()), (4, "changing"), "{message}");

    let mut other = Answers::captured();
    other.cluster["hash_config"]["algorithm"] = "fnv".into();
    let (status, code, message) = refused(&["--from", &GoNode::start(other).url(), "--look"]);
    assert_eq!((status, code.as_str()), (4, "hash-unknown"), "{message}");
    assert!(message.contains("fnv"), "{message}");

    let nobody = format!("http://127.0.0.1:{}", ports::block(1));
    assert_eq!(refused(&["--from", &nobody, "--look"]).0, 3);
}
