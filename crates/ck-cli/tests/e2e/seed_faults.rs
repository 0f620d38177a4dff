//! Faults of the Go library that concern who owns what, none of which may be found here. (The
//! others are in `faults.rs`.) The numbers are those of the list this project was founded on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::application::{Application, Does};
use crate::support::owners::{claims, leader, settle, wait_for_owners};
use crate::support::watch::Watch;
use crate::support::{BOUND, Cluster, Server, ports, request, wait_for};

const PARTITIONS: usize = 64;

/// Most time a node that is said to hang may take for an answer.
const PROMPT: Duration = Duration::from_secs(5);

fn servers(cluster: &Cluster) -> Vec<&Server> {
    cluster.servers.iter().collect()
}

fn ready(nodes: u16) -> Cluster {
    let cluster = Cluster::ready(nodes, &[]);
    cluster.hurry();
    settle(PARTITIONS, &servers(&cluster), BOUND);
    cluster
}

/// Another node, which has begun to join.
fn join(cluster: &mut Cluster) {
    let first = cluster.servers[0].http.to_string();
    let id = format!("node-{}", cluster.servers.len() + 1);
    let mut server =
        Server::new(&id, ports::block(1), cluster.directory.path()).with(&["--join", &first]);
    server.start();
    server.wait_until_ready();
    cluster.servers.push(server);
}

#[track_caller]
fn assert_commits(server: &Server, key: &str) {
    let path = format!("/v1/custom/{key}");
    let reply = request(server.http, "PUT", &path, &[], b"x", PROMPT).unwrap();
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
}

/// Fault 3: more than 50 partition changes with a hook that asks for a partition.
#[test]
fn a_hook_that_asks_for_partitions_does_not_hang_the_node() {
    let cluster = ready(4);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let _applications: Vec<_> = cluster
        .servers
        .iter()
        .map(|server| {
            let application = Application::of(server);
            let (http, asked) = (server.http, Arc::clone(&asked));
            application.does(move |order| {
                // Before it says that it is done, so that a node that waits for the word while it
                // owes this answer would wait for ever.
                let one = format!("/partitions/{}", order["partition"].as_str().unwrap());
                for path in [&*one, "/v1/owned", "/partitions"] {
                    let reply = request(http, "GET", path, &[], b"", PROMPT);
                    let status = reply.map(|reply| reply.status).map_err(|e| e.to_string());
                    asked.lock().unwrap().push(status);
                }
                Does::Ack
            });
            application
        })
        .collect();
    let told = cluster.servers[0].send("POST", "/v1/nodes/node-4/drain", "");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
    wait_for("the node is empty", BOUND, || {
        let stats = cluster.servers[0].try_get("/partitions/stats")?.json();
        let none = |field: &str| stats[field]["node-4"] == 0;
        (none("partitions_per_node") && none("replicas_per_node")).then_some(())
    });
    for server in &cluster.servers {
        assert_commits(server, &format!("goes-on-{}", server.id));
    }
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 3 * 50, "{} questions", asked.len());
    let wrong: Vec<_> = asked.iter().filter(|status| **status != Ok(200)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn members(server: &Server) -> BTreeMap<String, u64> {
    let page = server.get("/nodes").json();
    let nodes = page["nodes"].as_array().cloned().unwrap_or_default();
    let number = |node: &Value| Some((node["id"].as_str()?.to_owned(), node["member"].as_u64()?));
    nodes.iter().filter_map(number).collect()
}

/// Fault 4: liveness judged by readiness, so that one death evicts the healthy.
#[test]
fn nodes_that_are_not_ready_are_alive_and_are_never_evicted() {
    let mut cluster = ready(3);
    let before = members(&cluster.servers[0]);
    cluster.servers[1].kill();
    cluster.servers[2].kill();
    let alone = &cluster.servers[0];
    let unready = wait_for("the last one is not ready", BOUND, || {
        alone.try_get("/ready").filter(|reply| reply.status == 503)
    });
    assert!(unready.text().contains("reasons"), "{}", unready.text());
    assert_eq!(alone.get("/health").status, 200);
    // Longer than a lease and an election, in which somebody might have been thrown out.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        assert_eq!(alone.get("/health").status, 200);
        assert_eq!(members(alone), before);
        std::thread::sleep(Duration::from_millis(100));
    }
    for at in 1..3 {
        cluster.servers[at].start();
    }
    cluster.wait_until_ready();
    wait_for_owners(PARTITIONS, &servers(&cluster), BOUND);
    for server in &cluster.servers {
        assert_eq!(
            members(server),
            before,
            "the same members, the same numbers"
        );
    }
    let history = cluster.servers[0].get("/v1/history").text();
    assert!(!history.contains("\"kind\":\"remove\""), "{history}");
}

/// Fault 5: with three nodes and three copies the dead primary stayed for ever.
#[test]
fn three_nodes_with_three_copies_have_primaries_again_when_one_dies() {
    let mut cluster = ready(3);
    let victim = leader(&cluster.servers);
    let id = cluster.servers[victim].id.clone();
    cluster.servers[victim].kill();
    let others = cluster.servers.iter().filter(|one| one.process.is_some());
    let others: Vec<&Server> = others.collect();
    let owners = wait_for_owners(PARTITIONS, &others, BOUND);
    assert!(owners.values().all(|(node, _)| *node != id));
    for server in &others {
        assert!(server.rows().iter().all(|(_, primary, _)| *primary != id));
        assert_eq!(server.get("/ready").status, 200, "degraded, and serving");
        // It is said that a copy is away, and whose.
        let explained = server.get("/v1/explain/0").json();
        let reasons = explained["reasons"].to_string();
        assert!(reasons.contains(&id), "{explained}");
    }
    assert_commits(others[0], "degraded");
}

/// Fault 8: figures that are always 0, and a reason that is always "rebalance".
#[test]
fn history_names_what_happened_and_figures_grow() {
    let mut cluster = ready(3);
    let figures = |server: &Server| {
        let stats = server.get("/consensus/stats").json();
        let figure = |name: &str| stats[name].as_u64().unwrap_or(0);
        (
            figure("term"),
            figure("last_log_index"),
            figure("applied_index"),
        )
    };
    let before = figures(&cluster.servers[0]);
    assert!(before.0 > 0 && before.1 > 0 && before.2 > 0, "{before:?}");
    join(&mut cluster);
    settle(PARTITIONS, &servers(&cluster), BOUND);
    cluster.servers[3].kill();
    let others: Vec<&Server> = cluster.servers[..3].iter().collect();
    wait_for_owners(PARTITIONS, &others, BOUND);
    cluster.servers[3].start();
    cluster.servers[3].wait_until_ready();
    settle(PARTITIONS, &servers(&cluster), BOUND);
    let told = cluster.servers[0].send("POST", "/v1/nodes/node-4/drain", "");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
    let empty = |server: &Server| {
        let stats = server.try_get("/partitions/stats")?.json();
        (stats["replicas_per_node"]["node-4"] == 0).then_some(())
    };
    wait_for("it is empty", BOUND, || empty(&cluster.servers[0]));
    let history = cluster.servers[0].get("/v1/history").json();
    let entries = history["entries"].as_array().unwrap();
    let kinds: BTreeSet<&str> = entries.iter().filter_map(|e| e["kind"].as_str()).collect();
    for kind in [
        "genesis",
        "office",
        "register",
        "create-partitions",
        "expire",
        "update",
    ] {
        assert!(kinds.contains(kind), "no {kind}: {kinds:?}");
    }
    let said: Vec<&str> = entries
        .iter()
        .filter_map(|e| e["summary"].as_str())
        .collect();
    for trigger in ["join", "rejoin", "drain"] {
        let named = said.iter().any(|one| one.contains(trigger));
        assert!(named, "no {trigger}: {said:#?}");
    }
    assert!(
        entries
            .iter()
            .all(|entry| entry["at_ms"].as_u64() > Some(0))
    );
    let after = figures(&cluster.servers[0]);
    assert!(after.1 > before.1 && after.2 > before.2, "{after:?}");
}

/// Fault 9: ownership that flips without a handoff, and orders to copy what one holds.
#[test]
fn ownership_moves_after_a_handoff_and_nobody_is_told_to_copy_what_it_holds() {
    let mut cluster = ready(3);
    let held: BTreeMap<String, Vec<String>> = cluster.servers[0].copies().into_iter().collect();
    let before = claims(&servers(&cluster));
    let watch = Watch::start(&cluster.servers);
    let mut applications: Vec<_> = cluster.servers.iter().map(Application::of).collect();
    let first = cluster.servers[0].http.to_string();
    let mut fourth = Server::new("node-4", ports::block(1), cluster.directory.path()).with(&[
        "--join",
        &first,
        "--application",
        "durable",
    ]);
    fourth.start();
    // Without its application it has nothing: whoever is to have a copy is to be told.
    wait_for("it is a member", BOUND, || {
        let reply = fourth.try_get("/v1/owned")?;
        (reply.status == 200).then_some(())
    });
    applications.push(Application::of(&fourth));
    cluster.servers.push(fourth);
    let after = settle(PARTITIONS, &servers(&cluster), BOUND);
    watch.stop();
    for (application, server) in applications.iter().zip(&cluster.servers) {
        for order in application.told() {
            if !matches!(order["event"].as_str(), Some("prepare" | "catch-up")) {
                continue;
            }
            let partition = order["partition"].as_str().unwrap();
            let source = order["source"].as_str().unwrap();
            let had = &held[partition];
            assert!(!had.contains(&server.id), "{} has it: {order}", server.id);
            assert!(had.iter().any(|node| node == source), "{order}");
        }
    }
    let moved = after.iter().filter(|(id, owner)| before[*id].0 != owner.0);
    let mut count = 0;
    for (partition, (node, epoch)) in moved {
        count += 1;
        let told = |node: &str, event: &str| {
            let at = cluster.servers.iter().position(|one| one.id == node);
            let orders = applications[at.unwrap()].told().into_iter();
            let mut theirs = orders.filter(|order| order["partition"] == **partition);
            theirs.find(|order| order["event"] == event)
        };
        let released = told(&before[partition].0, "release").expect("the old one gave it up");
        assert!(released["epoch"].as_u64() < Some(*epoch), "{released}");
        let granted = told(node, "become-primary").expect("the new one was told");
        assert!(granted["epoch"].as_u64() <= Some(*epoch), "{granted}");
        if !held[partition].contains(node) {
            assert!(
                told(node, "prepare").is_some(),
                "{partition} was not copied"
            );
        }
    }
    assert!(count > 0, "nothing moved");
}

/// Fault 10: a removed first node reported ready, with a table of long ago.
#[test]
fn a_removed_first_node_is_never_ready_and_comes_back_as_a_new_member_only() {
    let mut cluster = ready(4);
    let number = members(&cluster.servers[1])["node-1"];
    wait_for("it is removed", BOUND, || {
        let reply = cluster.servers[1].send("DELETE", "/v1/nodes/node-1", "");
        matches!(reply.status, 200 | 202 | 204 | 404).then_some(())
    });
    let ended = cluster.servers[0].process().wait_for_end(BOUND);
    assert_eq!(ended.code(), Some(4), "a refusal: it is no member any more");
    let others: Vec<&Server> = cluster.servers[1..].iter().collect();
    settle(PARTITIONS, &others, BOUND);
    // With the data of the member it was.
    let rest = cluster.servers[1].http.to_string();
    let first = &mut cluster.servers[0];
    first.flags = vec!["--join".into(), rest];
    first.start();
    let ended = wait_for("it ends", BOUND, || {
        let ready = first
            .try_get("/ready")
            .is_some_and(|reply| reply.status == 200);
        assert!(!ready, "it says that it is ready");
        let served = first
            .try_get("/v1/owned")
            .filter(|reply| reply.status == 200);
        let none = serde_json::json!([]);
        assert!(served.is_none_or(|reply| reply.json()["owned"] == none));
        (!first.process().is_running()).then(|| first.process().wait_for_end(BOUND))
    });
    let said = first.process().printed();
    assert_eq!(ended.code(), Some(4), "{said}");
    assert!(said.contains("was removed from the cluster"), "{said}");
    assert!(said.contains("empty data directory"), "the remedy: {said}");
    // With an empty one it is a new member, under a number nobody had.
    std::fs::remove_dir_all(&first.data).unwrap();
    first.start();
    first.wait_until_ready();
    settle(PARTITIONS, &servers(&cluster), BOUND);
    let now = members(&cluster.servers[1])["node-1"];
    assert!(now > 4 && now != number, "member {now}, it was {number}");
}
