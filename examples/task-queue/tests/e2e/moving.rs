//! Planned moves while tasks are on their way.

use crate::support::{BOUND, Cluster, Crowd, wait_for};

#[test]
fn a_drain_fails_no_request_of_a_client_that_follows() {
    let cluster = Cluster::ready(4);
    let client = cluster.client();
    let crowd = Crowd::start(&client, 2, 2, 60_000);
    crowd.wait_for_more(30);
    let told = cluster.nodes[0].ask("POST", "/v1/nodes/node-4/drain", b"");
    let told = told.expect("an answer");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
    wait_for("the node is empty", BOUND, || {
        let table = cluster.nodes[0].ask("GET", "/v1/partitions", b"")?.json();
        let mut rows = table["partitions"].as_array()?.iter();
        let holds = rows.any(|row| {
            let replicas = row["replica_nodes"].as_array();
            row["primary_node"] == "node-4"
                || replicas.is_none_or(|nodes| nodes.iter().any(|node| node == "node-4"))
        });
        (!holds).then_some(())
    });
    crowd.wait_for_more(30);
    let told = crowd.finish();
    assert_eq!(told.failed, Vec::<String>::new());
    for (payload, deliveries) in &told.delivered {
        assert_eq!(deliveries.len(), 1, "{payload}: {deliveries:?}");
    }
    assert_eq!(told.delivered.len(), told.enqueued.len());
    assert_eq!(cluster.client().counts("crowd"), [0, 0, 0, 0]);
}
