//! Faults of the Go library, none of which may be found here, and other hostile input.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{BOUND, Cluster, Server, request, wait_for};

/// Most time a cluster that is said to hang may take for a change.
const PROMPT: Duration = Duration::from_secs(5);

#[track_caller]
fn assert_commits(server: &Server, key: &str) {
    let path = format!("/v1/custom/{key}");
    let reply = request(server.http, "PUT", &path, &[], b"x", PROMPT).unwrap();
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
}

/// The code of a problem, which every refusal has.
#[track_caller]
fn code(server: &Server, method: &str, path: &str, body: &str, status: u16) -> String {
    let reply = server.send(method, path, body);
    assert_eq!(
        reply.status,
        status,
        "{method} {path} {body}: {}",
        reply.text()
    );
    assert_eq!(
        reply.headers["content-type"], "application/problem+json",
        "{method} {path}"
    );
    reply.json()["code"].as_str().expect("a code").to_owned()
}

#[test]
fn creating_with_too_few_nodes_is_refused_and_hangs_nothing() {
    let mut cluster = Cluster::of(1, &[]);
    cluster.start_all();
    let server = &cluster.servers[0];
    wait_for("the node lists itself", BOUND, || {
        (server.try_get("/nodes")?.json()["total"] == 1).then_some(())
    });
    for _ in 0..3 {
        let reply = server.send("POST", "/partitions", "");
        assert_eq!(reply.status, 409, "{}", reply.text());
        assert_eq!(
            (reply.json()["have"].as_u64(), reply.json()["need"].as_u64()),
            (Some(1), Some(3))
        );
    }
    assert_commits(server, "goes-on");
    assert_eq!(server.get("/partitions").status, 200);
    assert_eq!(
        server.get("/partitions/stats").json()["total_partitions"],
        0
    );
}

#[test]
fn nonsense_in_a_query_is_refused_and_hangs_nothing() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let server = &cluster.servers[0];
    for query in [
        "offset=-1",
        "limit=-1",
        "limit=0",
        "limit=1001",
        "offset=x",
        "limit=99999999999999999999",
        "limit=1&limit=2",
        "offset=%zz",
    ] {
        let reply = server.get(&format!("/nodes?{query}"));
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
    for (path, status) in [
        ("/partitions/key", 400),
        ("/partitions/key?key=", 400),
        ("/partitions/key?key=a&key=b", 400),
        ("/partitions/partition-64", 404),
        ("/partitions/partition-007", 400),
        ("/nodes/absent", 404),
        ("/no/such/path", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    let long = "k".repeat(20_000);
    assert_eq!(
        server.get(&format!("/partitions/key?key={long}")).status,
        414
    );
    assert_commits(server, "goes-on");
}

/// A body of `POST /join`, with more fields beside the node.
fn join(id: &str, ip: &str, more: &Value) -> String {
    let mut body = json!({ "node": { "id": id, "ip": ip, "port": 0, "name": id } });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string()
}

/// An address nobody listens at.
const DEAD: &str = "127.0.0.1:1";

/// The ids of all members, as every node lists them; each goes on committing.
#[track_caller]
fn assert_untouched(cluster: &Cluster) {
    for server in &cluster.servers {
        let page = server.get("/nodes").json();
        let mut ids: Vec<&str> = page["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|node| node["id"].as_str())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, ["node-1", "node-2", "node-3"]);
        assert_commits(server, "goes-on");
    }
}

#[test]
fn nodes_that_are_not_there_do_not_join() {
    let cluster = Cluster::ready(3, &[]);
    let server = &cluster.servers[0];
    for bogus in ["a", "b", "c"] {
        let body = join(bogus, DEAD, &json!({ "raft_addr": DEAD }));
        let reply = server.send("POST", "/join", &body);
        assert!((400..500).contains(&reply.status), "{}", reply.text());
        assert_eq!(reply.json()["code"], "node-unreachable", "{}", reply.text());
    }
    let theirs = join(
        "x",
        DEAD,
        &json!({ "raft_addr": DEAD, "cluster": "theirs" }),
    );
    assert_eq!(code(server, "POST", "/join", &theirs, 409), "other-cluster");
    // Another node's address, under a new id and under a known one.
    let ours = server.http.to_string();
    let peer = cluster.servers[1].get("/v1/peer").json()["peer_address"].clone();
    for id in ["x", "node-3"] {
        let body = join(id, &ours, &json!({ "raft_addr": peer }));
        let reply = server.send("POST", "/join", &body);
        assert!(
            (400..500).contains(&reply.status),
            "{id}: {} {}",
            reply.status,
            reply.text()
        );
    }
    assert_untouched(&cluster);
}

#[test]
fn a_join_that_is_no_join_is_refused_before_it_is_believed() {
    let cluster = Cluster::ready(3, &[]);
    let server = &cluster.servers[0];
    for body in ["", "{", "[]", "null", "\"x\"", "{}", r#"{"node":7}"#] {
        let reply = server.send("POST", "/join", body);
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
    }
    let unknown = join("x", DEAD, &json!({ "raft_addr": DEAD, "voter": true }));
    let reply = server.send("POST", "/join", &unknown);
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("voter"), "{}", reply.text());
    let post = |kind: &str, body: &[u8]| {
        let headers = [("Content-Type", kind)];
        request(
            server.http,
            "POST",
            "/join",
            &headers,
            body,
            Duration::from_secs(10),
        )
    };
    let huge = post(
        "application/json",
        join(&"n".repeat(10_000_000), DEAD, &json!({})).as_bytes(),
    );
    // Refused by its declared length, before it is read: the connection may break while we write.
    assert!(
        huge.as_ref().map_or(true, |reply| reply.status == 413),
        "{huge:?}"
    );
    assert_eq!(post("text/plain", b"{}").unwrap().status, 415);
    assert_untouched(&cluster);
}

#[test]
fn every_change_needs_the_token_where_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let path = file.to_str().unwrap();
    let cluster = Cluster::ready(1, &["--replication-factor", "1", "--token-file", path]);
    let server = &cluster.servers[0];
    for (method, path) in [
        ("POST", "/partitions"),
        ("POST", "/rebalance"),
        ("POST", "/join"),
        ("DELETE", "/v1/nodes/node-1"),
        ("PATCH", "/v1/nodes/node-1"),
        ("PATCH", "/v1/config"),
        ("PUT", "/v1/custom/a"),
        ("DELETE", "/v1/custom/a"),
    ] {
        assert_eq!(
            code(server, method, path, "{}", 401),
            "unauthorized",
            "{method} {path}"
        );
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Basic s3cret"] {
            let headers = [
                ("Authorization", wrong),
                ("Content-Type", "application/json"),
            ];
            let reply = request(server.http, method, path, &headers, b"{}", PROMPT).unwrap();
            assert!(matches!(reply.status, 401 | 403), "{method} {path} {wrong}");
        }
    }
    let right = [("Authorization", "Bearer s3cret")];
    let reply = request(server.http, "PUT", "/v1/custom/a", &right, b"x", PROMPT).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(server.get("/partitions").status, 200);
    let address = format!("http://{}", server.http);
    let refused = crate::support::run(&["custom", "set", "b", "x", "--server", &address]);
    assert_eq!(refused.status.code(), Some(4));
    let done = crate::support::run(&[
        "custom",
        "set",
        "b",
        "x",
        "--server",
        &address,
        "--token-file",
        path,
    ]);
    assert_eq!(
        done.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn an_etag_stands_for_the_bytes() {
    let cluster = Cluster::ready(3, &["--partitions", "16"]);
    let server = &cluster.servers[0];
    let first = server.get("/partitions");
    let tag = first.headers["etag"].clone();
    let again = |tag: &str| {
        request(
            server.http,
            "GET",
            "/partitions",
            &[("If-None-Match", tag)],
            b"",
            PROMPT,
        )
        .unwrap()
    };
    assert_eq!(again(&tag).status, 304);
    let patch = server.send("PATCH", "/v1/nodes/node-1", r#"{"state":"draining"}"#);
    assert_eq!(patch.status, 200, "{}", patch.text());
    // The node is emptied by itself; the table changes move by move.
    let after = wait_for("another table", BOUND, || {
        let after = again(&tag);
        (after.status == 200 && after.json()["partitions"] != first.json()["partitions"])
            .then_some(after)
    });
    assert_ne!(after.headers["etag"], tag);
    assert_ne!(after.json()["partitions"], first.json()["partitions"]);
}

#[test]
fn figures_are_those_of_the_cluster() {
    let cluster = Cluster::ready(3, &[]);
    let server = &cluster.servers[0];
    server.get("/no/such/path");
    let stats = server.get("/consensus/stats").json();
    for figure in [
        "term",
        "last_log_index",
        "last_log_term",
        "commit_index",
        "applied_index",
    ] {
        assert!(
            stats[figure].as_u64().is_some_and(|value| value > 0),
            "{figure}: {stats}"
        );
    }
    assert_eq!(stats["num_peers"], 2);
    let leader = server.get("/consensus/leader").json();
    assert_eq!(leader["leader_id"], stats["leader"]);
    assert_eq!(leader["term"], stats["term"]);
    assert!(
        leader["elected_at"]
            .as_str()
            .is_some_and(|at| at.starts_with("20")),
        "{leader}"
    );
    let metrics = request(
        server.http,
        "GET",
        "/metrics",
        &[("Accept", "application/json")],
        b"",
        PROMPT,
    );
    let metrics = metrics.unwrap().json();
    for figure in ["request_count", "error_count"] {
        assert!(
            metrics[figure].as_u64().is_some_and(|value| value > 0),
            "{figure}: {metrics}"
        );
    }
    let text = request(
        server.http,
        "GET",
        "/metrics",
        &[("Accept", "text/plain")],
        b"",
        PROMPT,
    );
    assert!(text.unwrap().text().contains("# TYPE"));
}

#[test]
fn partitions_are_in_order_and_paths_take_their_own_methods_only() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1", "--partitions", "40"]);
    let server = &cluster.servers[0];
    let ids: Vec<String> = server.rows().into_iter().map(|row| row.0).collect();
    let expected: Vec<String> = (0..40).map(|at| format!("partition-{at}")).collect();
    assert_eq!(ids, expected);
    for (method, path) in [
        ("DELETE", "/partitions"),
        ("POST", "/nodes"),
        ("PUT", "/cluster"),
        ("GET", "/join"),
        ("GET", "/rebalance"),
        ("POST", "/health"),
        ("PATCH", "/partitions/stats"),
    ] {
        let reply = server.send(method, path, "");
        assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text());
        assert!(!reply.headers["allow"].is_empty(), "{method} {path}");
    }
}
