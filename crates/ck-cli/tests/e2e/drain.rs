//! Planned moves over real processes: drain, cordon, join, remove.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::owners::{Owners, claims, settle, wait_for_owners};
use crate::support::watch::{Watch, on_this_machine};
use crate::support::{BOUND, Cluster, Server, ports, wait_for};

const PARTITIONS: usize = 64;

/// A node with 64 partitions is empty by then.
const DRAINED: Duration = Duration::from_secs(10);

/// A handoff waits for no lease, so a gap that comes near one was no handoff.
const HANDOFF: Duration = Duration::from_secs(1);

fn all(cluster: &Cluster) -> Vec<&Server> {
    cluster.servers.iter().collect()
}

fn ready(nodes: u16) -> Cluster {
    let cluster = Cluster::ready(nodes, &[]);
    cluster.hurry();
    settle(PARTITIONS, &all(&cluster), BOUND);
    cluster
}

/// Another node, which joins by itself.
fn join(cluster: &mut Cluster) -> usize {
    let at = cluster.servers.len();
    let first = cluster.servers[0].http.to_string();
    let id = format!("node-{}", at + 1);
    let mut server =
        Server::new(&id, ports::block(1), cluster.directory.path()).with(&["--join", &first]);
    server.start();
    server.wait_until_ready();
    cluster.servers.push(server);
    at
}

/// Partitions of which a node holds a copy.
fn held(server: &Server, node: &str) -> BTreeSet<String> {
    let copies = server.copies().into_iter();
    copies
        .filter(|(_, nodes)| nodes.iter().any(|one| one == node))
        .map(|(id, _)| id)
        .collect()
}

fn owned_by(owners: &Owners, node: &str) -> usize {
    owners.values().filter(|(owner, _)| owner == node).count()
}

#[test]
fn a_drained_node_is_empty_within_ten_seconds_and_nothing_stalls() {
    let cluster = ready(4);
    let victim = &cluster.servers[3];
    let watch = Watch::start(&cluster.servers);
    let begun = Instant::now();
    let told = cluster.servers[0].send("POST", "/v1/nodes/node-4/drain", "");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
    wait_for("the node is empty", BOUND, || {
        held(&cluster.servers[0], &victim.id)
            .is_empty()
            .then_some(())
    });
    let took = begun.elapsed();
    let others: Vec<&Server> = cluster.servers[..3].iter().collect();
    let owners = wait_for_owners(PARTITIONS, &others, BOUND);
    assert_eq!(owned_by(&owners, &victim.id), 0);
    eprintln!("drained in {took:?}");
    watch.stop().assert_no_gap(HANDOFF);
    assert!(took <= on_this_machine(DRAINED), "drained in {took:?}");
    // It is empty, so it may go; it holds nothing that anybody waits for.
    let may = cluster.servers[0].get("/v1/nodes/node-4/may-stop").json();
    assert_eq!(may["allowed"], true, "{may}");
}

#[test]
fn a_cordoned_node_keeps_what_it_has_and_gets_nothing_new() {
    let cluster = ready(4);
    let before = held(&cluster.servers[0], "node-4");
    let told = cluster.servers[1].send("POST", "/v1/nodes/node-4/cordon", "");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
    // Whatever leaves node-3 has to go somewhere, and may not go there.
    let told = cluster.servers[1].send("POST", "/v1/nodes/node-3/drain", "");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
    let why = wait_for("a partition it does not have says why", BOUND, || {
        let rows = cluster.servers[0].copies();
        let absent = rows.iter().find(|(id, _)| !before.contains(id))?;
        let path = format!("/v1/explain/{}/why-not/node-4", absent.0);
        let answer = cluster.servers[0].try_get(&path)?.json();
        let reasons = answer["reasons"].as_array()?;
        let reasons: Vec<_> = reasons.iter().filter_map(Value::as_str).collect();
        Some(reasons.join("; "))
    });
    assert!(why.contains("cordoned"), "{why}");
    // With node-4 closed to them, node-3's copies can only be where they would be twice; what can
    // move has moved once nothing is in flight any more.
    wait_for("nothing is in flight", BOUND, || {
        let list = cluster.servers[0].try_get("/v1/transfers")?.json();
        (list["count"] == 0).then_some(())
    });
    let after = held(&cluster.servers[0], "node-4");
    assert!(after.is_subset(&before), "{:?}", after.difference(&before));
}

#[test]
fn a_joining_node_owns_nothing_before_it_has_everything() {
    let mut cluster = ready(4);
    let before = cluster.servers[0].copies();
    let watch = Watch::start(&cluster.servers);
    let at = join(&mut cluster);
    let id = cluster.servers[at].id.clone();
    // Asked while it joins: whatever it owns, the table already says that it is in sync there.
    wait_for("it has its share", BOUND, || {
        let newcomer = &cluster.servers[at];
        let owned = claims(&[newcomer]);
        for partition in owned.keys() {
            let page = newcomer.get(&format!("/v1/partitions/{partition}")).json();
            let copies = page["replicas"].as_array().cloned().unwrap_or_default();
            let own = copies.iter().find(|copy| copy["node"] == *id);
            assert!(
                own.is_some_and(|own| own["in_sync"] == true),
                "{id} acts on {partition} without the data: {page}"
            );
        }
        (!owned.is_empty() && newcomer.get("/v1/transfers").json()["count"] == 0).then_some(())
    });
    let after = settle(PARTITIONS, &all(&cluster), BOUND);
    watch.stop().assert_no_gap(HANDOFF);
    assert!(owned_by(&after, &id) > 0);
    // A fifth of all copies has to move at least, and exactly that moves.
    let moved = moved(&before, &cluster.servers[0].copies());
    assert_eq!(moved, PARTITIONS * 3 / 5, "copies moved");
}

/// Copies that are somewhere now and were not before.
fn moved(before: &[(String, Vec<String>)], after: &[(String, Vec<String>)]) -> usize {
    let rows = before.iter().zip(after);
    rows.map(|((_, old), (_, new))| new.iter().filter(|node| !old.contains(node)).count())
        .sum()
}

#[test]
fn a_live_node_is_removed_once_others_hold_what_it_held() {
    let mut cluster = ready(4);
    let watch = Watch::start(&cluster.servers);
    let begun = Instant::now();
    let gone = wait_for("it is removed", BOUND, || {
        let reply = cluster.servers[0].send("DELETE", "/v1/nodes/node-4", "");
        match reply.status {
            200 | 202 | 204 | 404 => Some(reply),
            // Still being emptied, or not known to be done: asked again.
            _ => None,
        }
    });
    eprintln!("removed after {:?} with {}", begun.elapsed(), gone.status);
    let ended = cluster.servers[3].process().wait_for_end(BOUND);
    assert_eq!(ended.code(), Some(4), "a refusal: it is no member any more");
    let others: Vec<&Server> = cluster.servers[..3].iter().collect();
    settle(PARTITIONS, &others, BOUND);
    for server in &others {
        assert_eq!(server.get("/nodes").json()["total"], 3);
    }
    watch.stop().assert_no_gap(HANDOFF);
}

#[test]
fn a_node_may_stop_unless_that_would_take_the_last_copies_or_the_majority() {
    let mut cluster = ready(3);
    let ask = |server: &Server, id: &str| server.get(&format!("/v1/nodes/{id}/may-stop")).json();
    let one = ask(&cluster.servers[0], "node-2");
    assert_eq!(one["allowed"], true, "{one}");
    cluster.servers[2].kill();
    let two = wait_for("one is away", BOUND, || {
        let answer = ask(&cluster.servers[0], "node-2");
        (answer["allowed"] == false).then_some(answer)
    });
    let reasons = two["reasons"].to_string();
    assert!(reasons.contains("majority"), "{two}");
    assert_eq!(
        two["blocking_partitions"].as_array().map(Vec::len),
        Some(PARTITIONS),
        "{two}"
    );
}
