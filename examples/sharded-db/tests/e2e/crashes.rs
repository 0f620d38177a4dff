//! Processes that are killed or stopped while partitions move.

use std::net::TcpStream;
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
    let mut cluster = Cluster::of(3, 3, 9, "lan", "500ms");
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
        if stage == "clean-up" {
            // The source keeps its copy for a while, which must not count any more.
            let now = writers.acknowledged();
            wait_for("the new primary writes", BOUND, || {
                (writers.acknowledged() > now + 40).then_some(())
            });
        }
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

/// A target that hangs holds nobody up for long, and what it is told too late harms nobody.
#[test]
fn a_target_that_was_stopped_while_it_caught_up_loses_nothing() {
    let mut cluster = Cluster::of(3, 3, 9, "lan", "500ms");
    fill(&cluster, 4);
    let mut writers = Writers::start(&[cluster.nodes[0].http], 2);
    cluster.nodes[0].send("POST", "/v1/nodes/node-1/cordon", &Value::Null);
    let drained = cluster.nodes[0].send("POST", "/v1/nodes/node-2/drain", &Value::Null);
    assert!(drained.status / 100 == 2, "{}", drained.text());
    cluster.rebalance();
    wait_for("a copy catches up", BOUND, || at(&cluster, "catch-up"));
    cluster.node("node-3").signal("STOP");
    // Longer than its lease: its session ends, and with it every move to it.
    wait_for("its partitions are nobody's", BOUND, || {
        let table = cluster.nodes[0].ok("GET", "/partitions", &Value::Null);
        let rows = table["partitions"].as_array().cloned().unwrap_or_default();
        let mut theirs = rows.iter().filter(|row| row["primary_node"] == "node-3");
        theirs
            .any(|row| row["state"] == "unavailable")
            .then_some(())
    });
    let now = writers.acknowledged();
    wait_for("writing goes on elsewhere", BOUND, || {
        (writers.acknowledged() > now + 20).then_some(())
    });
    cluster.node("node-3").signal("CONT");
    cluster.wait_until_served(3);
    writers.stop();
    writers.check(&cluster.nodes[1]);
    assert_eq!(
        cluster.nodes[2]
            .query("SELECT length(data) FROM bulk")
            .len(),
        16
    );
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

/// Requests that wait in the sockets of a node, with the fences of the grants that it had.
fn left_waiting(cluster: &mut Cluster, victim: &str) -> Vec<(u64, TcpStream)> {
    let rows = cluster.nodes[0].rows();
    let table = cluster.nodes[0].ok("GET", "/partitions", &Value::Null);
    let http = cluster.node(victim).http;
    let mut waiting = Vec::new();
    for n in 0..40_u64 {
        let key = format!("stale-{n}");
        let path = format!("/partitions/key?key={key}");
        let found = cluster.nodes[0].ok("GET", &path, &Value::Null);
        let theirs = |row: &&(String, String, u64)| row.1 == victim && found["id"] == json!(row.0);
        let Some((id, _, epoch)) = rows.iter().find(theirs) else {
            continue;
        };
        let number = id.rsplit('-').next().unwrap();
        let fence = format!("{}.{number}.{epoch}", table["incarnation"]);
        let headers = [("CK-Fence", fence.as_str())];
        let body = json!({ "sql": "INSERT INTO notes (n) VALUES (?)", "params": [n] });
        let (path, body) = (format!("/sql/{key}"), body.to_string());
        let bound = Duration::from_secs(20);
        let stream = send(http, "POST", &path, &headers, body.as_bytes(), bound);
        waiting.push((n, stream.unwrap()));
    }
    waiting
}

#[test]
fn a_primary_that_was_stopped_past_its_lease_acknowledges_nothing_of_its_old_grant() {
    let mut cluster = Cluster::new(3, 3, 4);
    fill(&cluster, 4);
    let before = cluster.nodes[0].rows();
    let victim = before
        .iter()
        .find(|row| row.1 != "node-1")
        .unwrap()
        .1
        .clone();
    let drain = format!("/v1/nodes/{victim}/drain");
    assert!(cluster.nodes[0].send("POST", &drain, &Value::Null).status / 100 == 2);
    cluster.rebalance();
    // In sync, or nearly: from here on the target may be promoted without the source's word.
    wait_for("a copy catches up", BOUND, || at(&cluster, "catch-up"));
    cluster.node(&victim).signal("STOP");
    let waiting = left_waiting(&mut cluster, &victim);
    assert!(!waiting.is_empty());
    wait_for("its partitions are another's, or nobody's", BOUND, || {
        let table = cluster.nodes[0].ok("GET", "/partitions", &Value::Null);
        let rows = table["partitions"].as_array().cloned().unwrap_or_default();
        let mut theirs = rows
            .iter()
            .filter(|row| row["primary_node"] == json!(victim));
        theirs
            .all(|row| row["state"] == "unavailable")
            .then_some(())
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
    let uncordon = format!("/v1/nodes/{victim}/uncordon");
    cluster.nodes[0].send("POST", &uncordon, &Value::Null);
    cluster.wait_until_served(3);
    assert_eq!(
        cluster.nodes[0].query("SELECT n FROM notes").len(),
        0,
        "{told:?}"
    );
    let bulk = cluster.nodes[0].query("SELECT length(data) FROM bulk");
    assert_eq!(bulk.len(), 16);
}
