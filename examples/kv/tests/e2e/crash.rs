//! Processes that are killed.

use std::time::{Duration, Instant};

use crate::support::{BOUND, Cluster, Writers, wait_for};

/// Time without a write: an election, a lease, and a loaded machine.
const PAUSE: Duration = Duration::from_secs(15);

#[test]
fn a_killed_primary_loses_nothing_and_its_keys_are_writable_again() {
    let mut cluster = Cluster::ready(3, &["--partitions", "8"]);
    let writers = Writers::start(&cluster.addresses(), 4);
    writers.wait_for_more(50);
    for at in [0, 1] {
        cluster.nodes[at].kill();
        // All partitions are written again, with two nodes of three.
        writers.wait_for_more(100);
        cluster.nodes[at].start();
        cluster.wait_until_serving();
        cluster.wait_until_stable();
        writers.wait_for_more(50);
    }
    let written = writers.stop();
    assert!(written.pause < PAUSE, "{:?}", written.pause);
    written.is_kept_by(&cluster);
    cluster.wait_until_equal();
}

#[test]
fn a_primary_that_is_cut_off_with_its_copy_acknowledges_nothing() {
    let mut cluster = Cluster::ready(3, &["--partitions", "4"]);
    assert_eq!(cluster.nodes[0].put("/kv/a", b"1").status, 204);
    let (_, at) = cluster.primary_of("a");
    // One copy is taken out by the cluster, then the other; a majority of voters has to be up to say
    // so, hence one of them comes back without its copies being in sync yet.
    let (one, two) = ((at + 1) % 3, (at + 2) % 3);
    cluster.nodes[one].kill();
    wait_for("the first is out of sync", BOUND, || {
        let reply = cluster.nodes[at].ask("PUT", "/kv/a", b"2")?;
        (reply.status == 204).then_some(())
    });
    cluster.nodes[two].kill();
    // Without a majority nothing is acknowledged: nobody can be taken out of sync.
    let begun = Instant::now();
    let lone = cluster.nodes[at].ask("PUT", "/kv/a", b"3");
    assert!(
        lone.is_none_or(|reply| reply.status >= 500),
        "acknowledged with one copy after {:?}",
        begun.elapsed()
    );
    cluster.nodes[one].start();
    cluster.nodes[two].start();
    cluster.wait_until_serving();
    let found = cluster.nodes[one].get("/kv/a").text();
    assert!(["2", "3"].contains(&&*found), "{found}");
}

/// Every copy has to be in sync here, so that losing one leaves a majority of the log's voters.
#[test]
fn below_the_least_number_of_copies_writes_are_refused_and_reads_are_not() {
    let mut cluster = Cluster::ready(3, &["--partitions", "4"]);
    let json = [("content-type", "application/json")];
    let least = br#"{"min_in_sync":3}"#;
    let changed = cluster.nodes[0].ask_with("PATCH", "/v1/config", &json, least);
    assert_eq!(changed.map(|reply| reply.status), Some(200));
    assert_eq!(cluster.nodes[0].put("/kv/a", b"1").status, 204);
    let (_, at) = cluster.primary_of("a");
    let killed = (at + 1) % 3;
    cluster.nodes[killed].kill();
    let refused = wait_for("writes are refused", BOUND, || {
        let reply = cluster.nodes[at].ask("PUT", "/kv/a", b"2")?;
        assert_ne!(reply.status, 204, "acknowledged by too few");
        // The one that was killed may have led the log, and the primary's lease run out meanwhile.
        (reply.status == 503 && reply.json()["code"] == "too-few-in-sync").then_some(reply)
    });
    let told = refused.json();
    assert_eq!((&told["have"], &told["need"]), (&2.into(), &3.into()));
    // The first of these writes was under way when the copy went: it may have been made.
    let found = wait_for("a read", BOUND, || {
        let reply = cluster.nodes[at].ask("GET", "/kv/a", b"")?;
        (reply.status == 200).then_some(reply)
    });
    assert!(
        [&b"1"[..], b"2"].contains(&&*found.body),
        "{}",
        found.text()
    );
    cluster.nodes[killed].start();
    wait_for("writes are taken again", BOUND, || {
        let reply = cluster.nodes[at].ask("PUT", "/kv/a", b"3")?;
        (reply.status == 204).then_some(())
    });
    cluster.wait_until_stable();
    cluster.wait_until_equal();
}

/// All at once, which is what a power cut of the whole room looks like to the disks' contents.
#[test]
fn all_nodes_killed_at_once_come_back_with_everything() {
    let mut cluster = Cluster::ready(3, &["--partitions", "8"]);
    let writers = Writers::start(&cluster.addresses(), 4);
    writers.wait_for_more(200);
    cluster
        .nodes
        .iter_mut()
        .for_each(crate::support::Node::kill);
    let written = writers.stop();
    cluster
        .nodes
        .iter_mut()
        .for_each(crate::support::Node::start);
    cluster.wait_until_serving();
    written.is_kept_by(&cluster);
    cluster.wait_until_stable();
    cluster.wait_until_equal();
}

#[test]
fn a_node_without_its_store_does_not_start_and_comes_back_as_a_new_member() {
    let mut cluster = Cluster::ready(3, &["--partitions", "4"]);
    let writers = Writers::start(&cluster.addresses(), 2);
    writers.wait_for_more(50);
    cluster.nodes[2].kill();
    std::fs::remove_dir_all(cluster.nodes[2].data.join("kv")).unwrap();
    cluster.nodes[2].start();
    assert!(cluster.nodes[2].ended().is_some_and(|code| code != 0));
    let printed = cluster.nodes[2].printed();
    assert!(printed.contains("kv/store.redb is missing"), "{printed}");
    std::fs::remove_dir_all(&cluster.nodes[2].data).unwrap();
    wait_for("the old member is out", BOUND, || {
        let reply = cluster.nodes[0].ask("DELETE", "/v1/nodes/node-3", b"")?;
        [200, 202, 204, 404].contains(&reply.status).then_some(())
    });
    cluster.nodes[2].start();
    cluster.wait_until_serving();
    wait_for("the new member has copies", BOUND, || {
        let mine = cluster.nodes[2].ask("GET", "/v1/partitions", b"")?.json();
        let rows = mine["partitions"].as_array()?.clone();
        let full = |row: &serde_json::Value| {
            row["replica_nodes"].as_array().map(Vec::len) == Some(2) && row["state"] == "stable"
        };
        rows.iter().all(full).then_some(())
    });
    let written = writers.stop();
    written.is_kept_by(&cluster);
    assert_eq!(cluster.wait_until_equal(), 12);
}
