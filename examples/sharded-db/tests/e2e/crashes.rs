//! Processes that are killed or stopped while partitions move.

use std::time::Duration;

use serde_json::{Value, json};

use crate::moving::fill;
use crate::support::{BOUND, Cluster, Move, STAGES, Writers, answer, send, wait_for};

/// Which side of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Side {
    fn of(self, one: &Move) -> &str {
        match self {
            Self::Source => &one.from,
            Self::Target => &one.to,
        }
    }
}

/// The first move that has come to `stage`, or further.
fn at(cluster: &Cluster, stage: &str) -> Option<Move> {
    let place = |stage: &str| STAGES.iter().position(|one| *one == stage);
    let mut moves = cluster.nodes[0].moves().into_iter();
    // node-1 is the one that is asked, and lives.
    moves.find(|one| place(&one.stage) >= place(stage) && one.from != "node-1")
}

/// Has node-2 give its partitions to node-3 and kills the source when a move has come so far; then
/// the other way round, and kills the target.
fn killed_at(stage: &str) {
    let mut cluster = Cluster::new(3, 3, 9);
    fill(&cluster, 4);
    let mut writers = Writers::start(&[cluster.nodes[0].http], 2);
    cluster.nodes[0].send("POST", "/v1/nodes/node-1/cordon", &Value::Null);
    for (side, empties, fills) in [
        (Side::Source, "node-2", "node-3"),
        (Side::Target, "node-3", "node-2"),
    ] {
        for (id, change) in [(fills, "uncordon"), (empties, "drain")] {
            let path = format!("/v1/nodes/{id}/{change}");
            let done = cluster.nodes[0].send("POST", &path, &Value::Null);
            assert!(done.status / 100 == 2, "{path}: {}", done.text());
        }
        let found = wait_for(&format!("a move comes to {stage}"), BOUND, || {
            at(&cluster, stage).or_else(|| {
                // Refused while an earlier plan goes on.
                cluster.nodes[0].try_send("POST", "/rebalance", "{}");
                at(&cluster, stage)
            })
        });
        let victim = side.of(&found).to_owned();
        cluster.node(&victim).kill();
        let now = writers.acknowledged();
        wait_for("writing goes on elsewhere", BOUND, || {
            (writers.acknowledged() > now + 5).then_some(())
        });
        cluster.node(&victim).start();
        cluster.wait_until_served(3);
    }
    writers.stop();
    assert!(writers.acknowledged() > 20, "{:?}", writers.problems());
    writers.check(&cluster.nodes[1]);
    let bulk = cluster.nodes[2].query("SELECT length(data) FROM bulk");
    assert_eq!(bulk.len(), 16);
}

#[test]
fn whoever_is_killed_while_a_copy_is_made_loses_nothing() {
    killed_at("prepare");
}

#[test]
fn whoever_is_killed_while_a_copy_catches_up_loses_nothing() {
    killed_at("catch-up");
}

#[test]
fn whoever_is_killed_while_the_role_changes_hands_loses_nothing() {
    killed_at("release");
}

#[test]
fn whoever_is_killed_after_the_role_has_changed_hands_loses_nothing() {
    killed_at("clean-up");
}

#[test]
fn a_primary_that_was_stopped_past_its_lease_acknowledges_nothing_of_its_old_grant() {
    let mut cluster = Cluster::new(3, 3, 4);
    fill(&cluster, 4);
    let before = cluster.nodes[0].rows();
    let victim = before.iter().find(|row| row.1 != "node-1").unwrap().1.clone();
    let theirs: Vec<_> = before.iter().filter(|row| row.1 == victim).cloned().collect();
    let drained = cluster.nodes[0].send("POST", &format!("/v1/nodes/{victim}/drain"), &Value::Null);
    assert!(drained.status / 100 == 2);
    cluster.rebalance();
    // In sync, or nearly: from here on the target may be promoted without the source's word.
    wait_for("a copy catches up", BOUND, || at(&cluster, "catch-up"));
    cluster.node(&victim).signal("STOP");
    let http = cluster.node(&victim).http;
    // Requests that wait in its sockets, with the fence of the grant that it had.
    let incarnation = cluster.nodes[0].ok("GET", "/partitions", &Value::Null)["incarnation"].clone();
    let mut waiting = Vec::new();
    for n in 0..40_u64 {
        let key = format!("stale-{n}");
        let found = cluster.nodes[0].ok("GET", &format!("/partitions/key?key={key}"), &Value::Null);
        let Some(row) = theirs.iter().find(|row| found["id"] == json!(row.0)) else {
            continue;
        };
        let number = row.0.rsplit('-').next().unwrap();
        let fence = format!("{incarnation}.{number}.{}", row.2);
        let body = json!({ "sql": "INSERT INTO notes (n) VALUES (?)", "params": [n] }).to_string();
        let headers = [("CK-Fence", fence.as_str())];
        let path = format!("/sql/{key}");
        let bound = Duration::from_secs(20);
        let stream = send(http, "POST", &path, &headers, body.as_bytes(), bound).unwrap();
        waiting.push((n, stream));
    }
    assert!(!waiting.is_empty());
    // Its session has ended once its partitions are another's, or nobody's.
    wait_for("its lease is over", BOUND, || {
        let health = cluster.nodes[0].ok("GET", "/partitions", &Value::Null);
        let rows = health["partitions"].as_array().cloned().unwrap_or_default();
        let theirs = rows.iter().filter(|row| row["primary_node"] == json!(victim));
        let mut states = theirs.map(|row| row["state"].as_str().unwrap_or_default().to_owned());
        states.all(|state| state == "unavailable").then_some(())
    });
    cluster.node(&victim).signal("CONT");
    let mut told = Vec::new();
    for (n, stream) in waiting {
        if let Ok(reply) = answer(stream) {
            assert_ne!(reply.status, 200, "{n} was acknowledged at an old grant");
            told.push(reply.status);
        }
    }
    assert!(!told.is_empty());
    cluster.nodes[0].send("POST", &format!("/v1/nodes/{victim}/uncordon"), &Value::Null);
    cluster.wait_until_served(3);
    assert_eq!(cluster.nodes[0].query("SELECT n FROM notes").len(), 0, "{told:?}");
    assert_eq!(cluster.nodes[0].query("SELECT length(data) FROM bulk").len(), 16);
}
