//! Copies and roles that move while clients write.

use std::time::Duration;

use crate::support::{BOUND, Cluster, Node, Writers, wait_for};

/// Bytes of a value that makes copies worth copying.
const VALUE: usize = 4_000;

fn fill(cluster: &Cluster, keys: usize) {
    let value = vec![b'v'; VALUE];
    for key in 0..keys {
        let put = cluster.nodes[key % 3].put(&format!("/kv/filled-{key}"), &value);
        assert_eq!(put.status, 204, "{}", put.text());
    }
}

fn holds_nothing(node: &Node, id: &str) -> Option<()> {
    let table = node.ask("GET", "/v1/partitions", b"")?.json();
    let named = |row: &serde_json::Value| row.to_string().contains(&format!("\"{id}\""));
    let rows = table["partitions"].as_array()?.clone();
    (!rows.iter().any(named)).then_some(())
}

#[test]
fn a_join_a_drain_and_a_stop_cost_no_request() {
    // Nothing here waits for a lease to run out, and on a loaded machine a short one would.
    let mut cluster = Cluster::of(3, 1, &["--profile", "wan", "--partitions", "8"]);
    cluster.nodes[..3].iter_mut().for_each(Node::start);
    cluster.wait_until_serving();
    fill(&cluster, 120);
    let writers = Writers::start(&cluster.addresses()[..2], 4);
    writers.wait_for_more(30);
    cluster.nodes[3].start();
    wait_for("the new node is the primary of something", BOUND, || {
        let owned = cluster.nodes[3].ask("GET", "/v1/owned", b"")?;
        let owned = owned.json()["owned"].as_array()?.len();
        (owned > 0).then_some(())
    });
    cluster.wait_until_stable();
    writers.wait_for_more(30);
    let drained = cluster.nodes[0]
        .ask("POST", "/v1/nodes/node-3/drain", b"")
        .unwrap();
    assert!(drained.status < 300, "{}", drained.text());
    wait_for("the drained node is empty", BOUND, || {
        holds_nothing(&cluster.nodes[0], "node-3")
    });
    writers.wait_for_more(30);
    // A stop hands over what is left first.
    cluster.nodes[3].signal("TERM");
    assert_eq!(
        cluster.nodes[3].ended(),
        Some(0),
        "{}",
        cluster.nodes[3].printed()
    );
    writers.wait_for_more(30);
    let written = writers.stop();
    assert_eq!(written.others, [""; 0], "no request failed");
    assert!(
        written.pause < Duration::from_secs(5),
        "{:?}",
        written.pause
    );
    written.is_kept_by(&cluster);
}

/// Whether a move to the fourth node is under way, or all that were planned are over.
fn moves_or_is_done(cluster: &Cluster) -> Option<()> {
    let moves = cluster.nodes[0].ask("GET", "/v1/transfers", b"")?.json();
    let under_way = !moves["transfers"].as_array()?.is_empty();
    let holds = cluster.nodes[0].get("/v1/nodes/node-4/partitions").text();
    (under_way || holds.contains("partition-")).then_some(())
}

/// Whichever side of a copy is killed, and wherever it stands: nothing is lost, and it ends well.
#[test]
fn a_copy_that_breaks_off_is_taken_up_again() {
    let flags = ["--partitions", "4", "--rejoin-grace", "2s"];
    let mut cluster = Cluster::of(3, 1, &flags);
    cluster.nodes[..3].iter_mut().for_each(Node::start);
    cluster.wait_until_serving();
    fill(&cluster, 400);
    let writers = Writers::start(&[cluster.nodes[0].http], 2);
    writers.wait_for_more(10);
    cluster.nodes[3].start();
    for at in [3, 1, 2] {
        wait_for("a move is under way, or all are over", BOUND, || {
            moves_or_is_done(&cluster)
        });
        cluster.nodes[at].kill();
        writers.wait_for_more(10);
        cluster.nodes[at].start();
        cluster.wait_until_serving();
    }
    cluster.wait_until_stable();
    let written = writers.stop();
    written.is_kept_by(&cluster);
    cluster.wait_until_equal();
}
