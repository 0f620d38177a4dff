//! A primary that is stopped for longer than its lease, with requests that wait for it.

use std::time::Duration;

use crate::support::{BOUND, Cluster, answer, send, wait_for};

#[test]
fn a_primary_paused_beyond_its_lease_writes_nothing_when_it_goes_on() {
    let cluster = Cluster::ready(3, &["--partitions", "4"]);
    assert_eq!(cluster.nodes[0].put("/kv/a", b"before").status, 204);
    let (partition, at) = cluster.primary_of("a");
    let (old, others) = (&cluster.nodes[at], [(at + 1) % 3, (at + 2) % 3]);
    let token = old.owned()[&partition].clone();
    old.signal("STOP");
    // The kernel takes these; the process sees them when it goes on.
    let bound = Duration::from_secs(20);
    let headers = [("CK-Fence", token.as_str())];
    let queued: Vec<_> = (0..8)
        .map(|_| send(old.http, "PUT", "/kv/a", &headers, b"late", bound).unwrap())
        .collect();
    let reading = send(old.http, "GET", "/kv/a", &headers, b"", bound).unwrap();
    wait_for("another node serves the key", BOUND, || {
        let reply = cluster.nodes[others[0]].ask("PUT", "/kv/a", b"after")?;
        (reply.status == 204).then_some(())
    });
    old.signal("CONT");
    for stream in queued {
        let reply = answer(stream);
        assert!(
            reply.as_ref().is_ok_and(|reply| reply.status >= 400),
            "{reply:?}"
        );
    }
    let read = answer(reading).unwrap();
    assert_ne!(read.body, b"before", "a stale read: {}", read.text());
    for node in &cluster.nodes {
        let found = wait_for("the key can be read", BOUND, || {
            node.ask("GET", "/kv/a", b"")
                .filter(|reply| reply.status == 200)
        });
        assert_eq!(found.body, b"after");
    }
    cluster.wait_until_stable();
    cluster.wait_until_equal();
}

/// A replica that is silent holds writes up until the cluster has taken it out, and no longer.
#[test]
fn a_paused_replica_is_taken_out_before_a_write_is_acknowledged_without_it() {
    let cluster = Cluster::ready(3, &["--profile", "wan", "--partitions", "4"]);
    assert_eq!(cluster.nodes[0].put("/kv/a", b"1").status, 204);
    let (partition, at) = cluster.primary_of("a");
    let replica = &cluster.nodes[(at + 1) % 3];
    replica.signal("STOP");
    // Its lease of ten seconds is far from over, so nobody but the primary takes it out.
    let put = cluster.nodes[at].put("/kv/a", b"2");
    assert_eq!(put.status, 204, "{}", put.text());
    let copies = cluster.nodes[at]
        .get(&format!("/v1/partitions/{partition}"))
        .json();
    let copy = copies["replicas"].as_array().expect("a list").iter();
    let copy = copy
        .clone()
        .find(|copy| copy["node"] == *replica.id)
        .expect("it has a copy");
    assert_eq!(copy["in_sync"], false, "taken out first");
    replica.signal("CONT");
    let stale = "/kv/a?consistency=stale";
    wait_for("the replica has caught up", BOUND, || {
        let reply = replica.ask("GET", stale, b"")?;
        (reply.body == b"2").then_some(())
    });
    cluster.wait_until_stable();
    cluster.wait_until_equal();
}
