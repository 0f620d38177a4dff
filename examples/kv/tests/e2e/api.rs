//! The routes, as a caller meets them.

use crate::support::{BOUND, Cluster, Node};

fn etag(reply: &crate::support::Reply) -> String {
    reply.headers.get("etag").cloned().expect("an ETag")
}

#[track_caller]
fn refused(reply: &crate::support::Reply, status: u16, code: &str) {
    assert_eq!(
        (reply.status, reply.json()["code"].as_str()),
        (status, Some(code)),
        "{}",
        reply.text()
    );
}

#[test]
fn any_node_takes_any_request_and_all_copies_are_equal() {
    let cluster = Cluster::ready(3, &["--partitions", "8"]);
    let [one, two, three] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    values_come_back_as_they_were_put(one, two);
    conditions_hold_or_nothing_is_done(two, three);
    reads_are_as_fresh_as_asked(&cluster);
    what_is_wrong_is_said(one);
    a_body_between_nodes_has_an_end(one);
    assert_eq!(cluster.wait_until_equal(), 24);
}

fn values_come_back_as_they_were_put(one: &Node, two: &Node) {
    let large: Vec<u8> = (0..8 << 20).map(|at: u32| (at ^ (at >> 7)) as u8).collect();
    for (path, value) in [
        ("/kv/a", &b"1"[..]),
        ("/kv/empty", b""),
        ("/kv/%00%ff%2F%20+/x", b"odd"),
        ("/kv/large", &large),
    ] {
        let put = one.put(path, value);
        assert_eq!(put.status, 204, "{path}: {}", put.text());
        let found = two.get(path);
        assert_eq!((found.status, found.body == value), (200, true), "{path}");
        assert_eq!(etag(&found), etag(&put));
    }
    let longest = format!("/kv/{}", "%61".repeat(1_024));
    assert_eq!(one.put(&longest, b"long").status, 204);
    assert_eq!(two.get(&longest).body, b"long");
    let deleted = two.ask("DELETE", "/kv/a", b"").unwrap();
    assert_eq!(deleted.status, 204);
    refused(&one.get("/kv/a"), 404, "key-absent");
    assert_eq!(
        one.ask("DELETE", "/kv/a", b"").unwrap().status,
        204,
        "idempotent"
    );
}

fn conditions_hold_or_nothing_is_done(one: &Node, two: &Node) {
    let put = |node: &Node, header: (&str, &str), value: &[u8]| {
        node.ask_with("PUT", "/kv/cas", &[header], value).unwrap()
    };
    refused(
        &put(one, ("If-Match", "*"), b"0"),
        412,
        "precondition-failed",
    );
    let first = put(one, ("If-None-Match", "*"), b"1");
    assert_eq!(first.status, 204, "{}", first.text());
    refused(
        &put(two, ("If-None-Match", "*"), b"2"),
        412,
        "precondition-failed",
    );
    // The same record's tag in another incarnation is of nothing that is here.
    let table = one.get("/v1/partitions").json();
    let incarnation = table["incarnation"].as_u64().expect("a number");
    let tag = etag(&first);
    let rest = tag.strip_prefix(&format!("\"{incarnation}.")).expect(&tag);
    let other = format!("\"{}.{rest}", incarnation - 1);
    refused(
        &put(two, ("If-Match", &other), b"2"),
        412,
        "precondition-failed",
    );
    let second = put(two, ("If-Match", &etag(&first)), b"2");
    assert_eq!(second.status, 204);
    refused(
        &put(one, ("If-Match", &etag(&first)), b"3"),
        412,
        "precondition-failed",
    );
    assert_eq!(two.get("/kv/cas").body, b"2");
    let delete = |tag: &str| {
        two.ask_with("DELETE", "/kv/cas", &[("If-Match", tag)], b"")
            .unwrap()
    };
    refused(&delete(&etag(&first)), 412, "precondition-failed");
    assert_eq!(delete(&etag(&second)).status, 204);
    // Of many who raise a counter by its tag, none is lost and none counts twice.
    assert_eq!(one.put("/kv/counter", b"0").status, 204);
    let raised: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = [one, two, one, two]
            .into_iter()
            .map(|node| scope.spawn(move || raise_often(node)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(raised > 0);
    assert_eq!(two.get("/kv/counter").text(), raised.to_string());
}

/// Raises the counter some times; returns how often that was acknowledged.
fn raise_often(node: &Node) -> usize {
    let mut raised = 0;
    for _ in 0..10 {
        let now = node.get("/kv/counter");
        let next: usize = now.text().parse::<usize>().expect("a number") + 1;
        let tag = etag(&now);
        let (headers, next) = ([("If-Match", tag.as_str())], next.to_string());
        let reply = node
            .ask_with("PUT", "/kv/counter", &headers, next.as_bytes())
            .unwrap();
        assert!([204, 412].contains(&reply.status), "{}", reply.text());
        raised += usize::from(reply.status == 204);
    }
    raised
}

/// Refused by what its head says, before a byte of it is read.
fn a_body_between_nodes_has_an_end(node: &Node) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(node.http).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let (http, length) = (node.http, (32 << 20) + 1);
    let head = format!(
        "POST /kv-peer/append HTTP/1.1\r\nHost: {http}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

fn reads_are_as_fresh_as_asked(cluster: &Cluster) {
    assert_eq!(cluster.nodes[0].put("/kv/fresh", b"1").status, 204);
    for node in &cluster.nodes {
        for how in ["lease", "barrier", "stale"] {
            let reply = node.get(&format!("/kv/fresh?consistency={how}"));
            // With three copies on three nodes, each node's own has it as well.
            assert_eq!((reply.status, &*reply.body), (200, &b"1"[..]), "{how}");
        }
    }
}

fn what_is_wrong_is_said(node: &Node) {
    refused(&node.get("/kv/"), 400, "invalid-parameter");
    refused(&node.get("/kv/a%4"), 400, "invalid-parameter");
    refused(&node.get("/kv/a?consistency=old"), 400, "invalid-parameter");
    refused(
        &node.ask("POST", "/kv/a", b"").unwrap(),
        405,
        "method-not-allowed",
    );
    refused(&node.get("/digest/partition-8"), 404, "partition-unknown");
    refused(
        &node.ask("POST", "/kv-peer/append", b"nonsense").unwrap(),
        400,
        "bad-request",
    );
    refused(
        &node.ask("POST", "/kv-peer/other", b"").unwrap(),
        404,
        "not-found",
    );
    let large = vec![0; (8 << 20) + 1];
    // The answer may come before the body was taken, and the connection be closed.
    if let Some(reply) = node.ask("PUT", "/kv/large", &large) {
        refused(&reply, 413, "body-too-large");
    }
}

#[test]
fn a_caller_with_a_token_is_told_where_it_is_wrong() {
    let cluster = Cluster::ready(3, &["--partitions", "8"]);
    let (partition, at) = cluster.primary_of("a");
    let (primary, other) = (&cluster.nodes[at], &cluster.nodes[(at + 1) % 3]);
    let token = primary.owned()[&partition].clone();
    let put = |node: &Node, token: &str| {
        node.ask_with("PUT", "/kv/a", &[("CK-Fence", token)], b"1")
            .unwrap()
    };
    assert_eq!(put(primary, &token).status, 204);
    let elsewhere = put(other, &token);
    refused(&elsewhere, 421, "not-owner");
    let newest = &elsewhere.json()["newest"];
    assert_eq!(newest["primary_address"], primary.http.to_string());
    let old = token.rsplit_once('.').map(|(head, _)| format!("{head}.0"));
    let old = old.expect("a token has dots");
    refused(&put(primary, &old), 409, "epoch-old");
}

#[test]
fn on_a_disk_that_is_nearly_full_writes_are_refused_unapplied() {
    let full = u64::MAX.to_string();
    let flags = ["--replication-factor", "1", "--partitions", "2"];
    let mut cluster = Cluster::of(1, 0, &flags);
    cluster.start_all();
    cluster.wait_until_serving();
    assert_eq!(cluster.nodes[0].put("/kv/a", b"1").status, 204);
    cluster.nodes[0].kill();
    let reserve = ("CK_KV_RESERVE".to_owned(), full);
    cluster.nodes[0].environment.push(reserve);
    cluster.start_all();
    cluster.wait_until_serving();
    let node = &cluster.nodes[0];
    refused(&node.put("/kv/a", b"2"), 507, "disk-full");
    refused(&node.ask("DELETE", "/kv/a", b"").unwrap(), 507, "disk-full");
    assert_eq!(node.get("/kv/a").body, b"1");
}

#[test]
fn in_mode_async_the_replicas_follow() {
    let flags = ["--partitions", "4", "--replication", "async"];
    let cluster = Cluster::ready(3, &flags);
    for turn in 0..50 {
        let node = &cluster.nodes[turn % 3];
        let put = node.put(
            &format!("/kv/key-{}", turn % 8),
            turn.to_string().as_bytes(),
        );
        assert_eq!(put.status, 204, "{}", put.text());
    }
    assert_eq!(cluster.wait_until_equal(), 12);
    let found = cluster.nodes[0].get("/kv/key-1?consistency=barrier");
    assert_eq!(found.body, b"49");
}
