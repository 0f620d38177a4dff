//! Records that reach the copies after a newer primary has: each copy looks at the token itself.

use std::time::Duration;

use serde_json::Value;

use crate::support::wires::{Rule, Wires};
use crate::support::{BOUND, Cluster, Node, Reply, answer, send, wait_for};

/// What the late record writes.
const LATE: &str = "a value that comes too late";

/// Time the late request may take: the primary is stopped meanwhile.
const REQUEST: Duration = Duration::from_secs(60);

/// What a node's own copy says.
#[derive(Debug, PartialEq, Eq)]
struct Copy {
    value: Vec<u8>,
    digest: Value,
}

impl Copy {
    fn of(node: &Node, partition: u64) -> Self {
        let digest = node.get(&format!("/digest/partition-{partition}")).json();
        Self {
            value: node.get("/kv/a?consistency=stale").body,
            digest: digest["digest"].clone(),
        }
    }
}

/// What became of records that were on their way when their primary was stopped.
struct Delivered {
    cluster: Cluster,
    _wires: Wires,
    /// Each other copy, before and after they were delivered.
    copies: Vec<[Copy; 2]>,
    /// What the old primary answered once it went on.
    answer: std::io::Result<Reply>,
}

/// A primary is stopped while its records are on their way to both other copies. One of these becomes
/// the primary, and then the records arrive.
fn delivered_late(environment: &[(&str, &str)]) -> Delivered {
    let mut cluster = Cluster::of(3, 0, &["--partitions", "4"]);
    let wires = Wires::before(&mut cluster);
    for node in &mut cluster.nodes {
        let all = environment.iter();
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        node.environment.extend(all);
    }
    cluster.start_all();
    cluster.wait_until_serving();
    assert_eq!(cluster.nodes[0].put("/kv/a", b"before").status, 204);
    let (partition, at) = cluster.primary_of("a");
    let (old, others) = (&cluster.nodes[at], [(at + 1) % 3, (at + 2) % 3]);
    let others = others.map(|other| &cluster.nodes[other]);
    let token = old.owned()[&partition].clone();
    let held = wires.hold(Rule {
        holding: LATE,
        ..Rule::of("append")
    });
    let headers = [("CK-Fence", token.as_str())];
    let late = send(old.http, "PUT", "/kv/a", &headers, LATE.as_bytes(), REQUEST).unwrap();
    wires.wait_until_held(held, 2);
    // Before it finds its copies silent, and has them taken out.
    old.signal("STOP");
    wait_for("another node serves", BOUND, || {
        let serves = |node: &&Node| node.owned().contains_key(&partition);
        others.into_iter().find(serves)
    });
    let read = wait_for("the key can be read", BOUND, || {
        let reply = others[0].ask("GET", "/kv/a", b"")?;
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(read.body, b"before");
    let before = others.map(|node| Copy::of(node, partition));
    wires.let_go(held);
    assert_eq!(wires.answers(held, 2), [200, 200], "both are answered");
    let after = others.map(|node| Copy::of(node, partition));
    old.signal("CONT");
    let answer = answer(late);
    Delivered {
        cluster,
        _wires: wires,
        copies: before.into_iter().zip(after).map(|(b, a)| [b, a]).collect(),
        answer,
    }
}

#[test]
fn records_of_a_stopped_primary_change_nothing_once_another_serves() {
    let Delivered {
        cluster,
        _wires,
        copies,
        answer,
    } = delivered_late(&[]);
    for [before, after] in &copies {
        assert_eq!(before, after, "a copy took a record of an old grant");
        assert_eq!(before.value, b"before");
    }
    assert!(
        answer.as_ref().is_ok_and(|reply| reply.status >= 400),
        "{answer:?}"
    );
    for node in &cluster.nodes {
        let found = wait_for("the key can be read", BOUND, || {
            node.ask("GET", "/kv/a", b"")
                .filter(|reply| reply.status == 200)
        });
        assert_eq!(found.body, b"before");
    }
    assert_eq!(cluster.nodes[0].put("/kv/a", b"after").status, 204);
    cluster.wait_until_equal();
}

/// That the test above would notice.
#[cfg(feature = "planted")]
#[test]
fn without_the_check_copies_take_them() {
    let delivered = delivered_late(&[("CK_KV_PLANTED", "no-token-check")]);
    let took = |[before, after]: &[Copy; 2]| before != after && after.value == LATE.as_bytes();
    assert!(delivered.copies.iter().any(took), "{:?}", delivered.copies);
}
