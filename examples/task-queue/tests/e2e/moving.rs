//! Planned moves while tasks are on their way.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{BOUND, Client, Cluster, Crowd, wait_for};

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

/// Partitions come back to a process that knew their tasks as they were before.
#[test]
fn what_came_meanwhile_is_found_when_a_partition_comes_back() {
    let mut cluster = Cluster::ready_with(3, "wan");
    let serves = |cluster: &Cluster, node: &str, count: usize| {
        let what = format!("{node} serves {count} partitions");
        wait_for(&what, BOUND, || {
            let rows = rows(cluster)?;
            let served = rows.iter().filter(|row| row["primary_node"] == node);
            (served.count() == count).then_some(())
        });
    };
    operate(&cluster, "/v1/nodes/node-3/drain");
    serves(&cluster, "node-3", 0);
    let mut client = cluster.client();
    let meanwhile: BTreeSet<_> = (0..16).map(|_| client.enqueue("new", "", b"x")).collect();
    operate(&cluster, "/v1/nodes/node-3/uncordon");
    // Whatever the others served goes to the one that is left.
    assert_eq!(cluster.nodes[1].stop(), Some(0));
    operate(&cluster, "/v1/nodes/node-1/drain");
    serves(&cluster, "node-3", 8);
    let mut client = Client::of(vec![cluster.nodes[0].http, cluster.nodes[2].http]);
    assert_eq!(client.counts("new"), [16, 0, 0, 0]);
    let mut found = BTreeSet::new();
    while found.len() < 16 {
        let tasks = client.lease("new", "max=64&wait_ms=5000");
        assert!(!tasks.is_empty(), "{found:?} of {meanwhile:?}");
        found.extend(tasks.into_iter().map(|task| task.task));
    }
    assert_eq!(found, meanwhile);
}
