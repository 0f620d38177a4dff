//! Planned moves while tasks are on their way.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{BOUND, Cluster, Crowd, wait_for};

#[test]
fn a_drain_and_the_way_back_fail_no_request_of_a_client_that_follows() {
    // A move waits for no lease, so long ones cost nothing; on a loaded machine short ones lapse.
    let cluster = Cluster::ready_with(4, "wan");
    let crowd = Crowd::start(&cluster.client(), 2, 2, 60_000);
    crowd.wait_for_more(30);
    operate(&cluster, "/v1/nodes/node-4/drain");
    let serves = |row: &Value| row["primary_node"] == "node-4";
    wait_for("the node serves nothing", BOUND, || {
        (!rows(&cluster)?.iter().any(serves)).then_some(())
    });
    crowd.wait_for_more(30);
    // Back to the same process, which knew the tasks of these partitions before, and not these.
    let mut client = cluster.client();
    let meanwhile: BTreeSet<_> = (0..24).map(|_| client.enqueue("new", "", b"x")).collect();
    operate(&cluster, "/v1/nodes/node-4/uncordon");
    wait_for("the next plan", BOUND, || {
        let told = cluster.nodes[0].ask("POST", "/v1/rebalance", b"")?;
        // While the one before is carried out it is refused.
        matches!(told.status, 200 | 202).then_some(())
    });
    wait_for("the node serves again", BOUND, || {
        rows(&cluster)?.iter().any(serves).then_some(())
    });
    crowd.wait_for_more(30);
    let told = crowd.finish();
    assert_eq!(told.failed, Vec::<String>::new());
    for (payload, deliveries) in &told.delivered {
        assert_eq!(deliveries.len(), 1, "{payload}: {deliveries:?}");
    }
    assert_eq!(told.delivered.len(), told.enqueued.len());
    assert_eq!(client.counts("crowd"), [0, 0, 0, 0]);
    assert_eq!(client.counts("new"), [24, 0, 0, 0]);
    let mut found = BTreeSet::new();
    while found.len() < 24 {
        let tasks = client.lease("new", "max=64&wait_ms=5000");
        assert!(!tasks.is_empty(), "{found:?} of {meanwhile:?}");
        found.extend(tasks.into_iter().map(|task| task.task));
    }
    assert_eq!(found, meanwhile);
}

#[track_caller]
fn operate(cluster: &Cluster, path: &str) {
    let told = cluster.nodes[0].ask("POST", path, b"");
    let told = told.expect("an answer");
    assert!(matches!(told.status, 200 | 202), "{path}: {}", told.text());
}

fn rows(cluster: &Cluster) -> Option<Vec<Value>> {
    let table = cluster.nodes[0].ask("GET", "/v1/partitions", b"")?.json();
    table["partitions"].as_array().cloned()
}
