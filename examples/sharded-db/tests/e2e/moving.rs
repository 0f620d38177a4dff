//! Partitions that move while they are written to.

use serde_json::{Value, json};

use crate::support::{BOUND, Cluster, Writers, wait_for};

pub(crate) const NOTES: &str = "CREATE TABLE notes (n INTEGER PRIMARY KEY, text TEXT)";

/// Some megabytes over the partitions, so that a copy takes longer than a moment: four rows each.
pub(crate) fn fill(cluster: &Cluster, megabytes: u32) {
    let node = &cluster.nodes[0];
    let bulk = "CREATE TABLE bulk (id INTEGER PRIMARY KEY, data BLOB)";
    let schema = json!({ "statements": [NOTES, bulk], "expected": 0 }).to_string();
    // Asked again as long as a slow machine says later: the same again changes nothing.
    let until_done = |path: &str, body: &str| {
        wait_for(&format!("POST {path} is carried out"), BOUND, || {
            let reply = node.try_send("POST", path, body)?;
            [200, 412].contains(&reply.status).then_some(())
        });
    };
    until_done("/schema", &schema);
    for at in 0..megabytes {
        let sql = "INSERT OR IGNORE INTO bulk SELECT value + 10 * ?, randomblob(250000) \
                   FROM json_each('[1,2,3,4]')";
        let body = json!({ "sql": sql, "params": [at] }).to_string();
        until_done(&format!("/sql/bulk-{at}"), &body);
    }
}

#[test]
fn a_node_joins_and_another_is_drained_and_no_request_fails() {
    let mut cluster = Cluster::of(3, 2, 6, "lan", "10s");
    fill(&cluster, 8);
    let sums = |cluster: &Cluster| {
        let sql = "SELECT count(*) AS n, sum(length(data)) AS bytes FROM bulk";
        let body = json!({ "sql": sql, "merge": [{ "count": "n" }, { "sum": "bytes" }] });
        cluster.nodes[0].ok("POST", "/query", &body)["rows"].clone()
    };
    let before = sums(&cluster);
    let mut addresses = vec![cluster.nodes[0].http, cluster.nodes[1].http];
    let mut writers = Writers::start(&addresses, 2);
    cluster.nodes[2].start();
    wait_for("the third node is ready", BOUND, || {
        cluster.nodes[2].is_ready().then_some(())
    });
    cluster.rebalance();
    let held = |cluster: &Cluster, id: &str| {
        let rows = cluster.nodes[0].rows();
        rows.iter().filter(|row| row.1 == id).count()
    };
    wait_for("it has its share", BOUND, || {
        (held(&cluster, "node-3") == 2).then_some(())
    });
    let at_join = writers.acknowledged();
    // A change of the schema, in the midst of moves.
    let drained = cluster.nodes[1].send("POST", "/v1/nodes/node-1/drain", &Value::Null);
    assert!(drained.status / 100 == 2, "{}", drained.text());
    cluster.rebalance();
    let changed = cluster.nodes[1].ok(
        "POST",
        "/schema",
        &json!({ "sql": "CREATE INDEX i ON notes (text)" }),
    );
    assert_eq!(changed["version"], 3);
    wait_for("node-1 is empty", BOUND, || {
        (held(&cluster, "node-1") == 0).then_some(())
    });
    let now = writers.acknowledged();
    wait_for("writing goes on", BOUND, || {
        (writers.acknowledged() > now + 20).then_some(())
    });
    writers.stop();
    let problems = writers.problems();
    assert!(
        problems.is_empty(),
        "{problems:#?} of {}",
        writers.acknowledged()
    );
    assert!(at_join > 0 && now > at_join);
    addresses.clear();
    writers.check(&cluster.nodes[2]);
    assert_eq!(sums(&cluster), before);
    let schema = cluster.nodes[0].ok("GET", "/schema", &Value::Null);
    assert_eq!(schema["pending"], json!([]));
    wait_for("node-1 has no files any more", BOUND, || {
        cluster.files("node-1").is_empty().then_some(())
    });
}
