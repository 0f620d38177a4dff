//! What changes who holds what, on the cluster of `online`.

use serde_json::json;

use super::calls::Calls;
use crate::support::{BOUND, wait_for};

/// A third node has joined, and holds nothing.
pub(super) fn steered(calls: &mut Calls) {
    for (args, status) in [
        (&["cordon", "node-3"][..], "cordoned"),
        (&["uncordon", "node-3"], "active"),
        (&["drain", "node-3", "--wait"], "draining"),
        (&["uncordon", "node-3"], "active"),
    ] {
        let answer = calls.json(args);
        assert_eq!(answer["node"]["status"], status, "ck {args:?}: {answer}");
    }
    calls.text(&["may-stop", "node-3"], &["node-3 may be stopped"]);
    calls.json(&["set", "max_transfers_per_node=1"]);
    let node = calls.json(&["set", "--node", "node-3", "weight=2"]);
    assert_eq!(node["node"]["weight"], 2, "{node}");
    let brake = calls.text(&["resume", "--brake"], &["the brake was not on"]);
    assert_eq!(brake.lines().count(), 1);
}

/// A plan over three nodes is made, carried out, held back and given up.
pub(super) fn planned(calls: &mut Calls) {
    let dry = calls.json(&["rebalance", "--dry-run"]);
    assert_eq!(
        (&dry["applied"], &dry["copies_moved"]),
        (&json!(false), &json!(8)),
        "{dry}"
    );
    calls.text(
        &["rebalance", "--dry-run"],
        &["planned only: 8 copies", "COPY TO", "node-3"],
    );
    let made = calls.json(&["plan"]);
    let id = made["id"].as_str().expect("an id").to_owned();
    calls.text(
        &["plan", &id],
        &["preview", "ROUNDS", "below its quota", "`ck apply"],
    );
    let begun = calls.json(&["apply", &id, "--no-wait"]);
    assert_eq!(begun["status"], "under-way", "{begun}");
    let paused = calls.json(&["pause"]);
    assert_eq!(paused["status"], "paused", "{paused}");
    calls.text(&["status"], &["plan        manual", "`ck resume`"]);
    assert_eq!(calls.json(&["resume"])["status"], "under-way");
    assert_eq!(calls.json(&["pause", &id])["status"], "paused");
    calls.json(&["abort"]);
}

/// A node goes.
pub(super) fn left(calls: &mut Calls) {
    wait_for("node-3 is down", BOUND, || {
        (calls.json(&["status"])["nodes"]["down"] == 1).then_some(())
    });
    calls.text(&["status"], &["down        node-3; start again"]);
    let gone = calls.json(&["remove", "node-3", "--no-wait"]);
    assert_eq!(
        (&gone["node"], &gone["node_count"]),
        (&json!("node-3"), &json!(2))
    );
}
