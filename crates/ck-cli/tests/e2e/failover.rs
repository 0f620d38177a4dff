//! Nodes that die, hang or stop: who acts on a partition then, seen from outside.

use std::time::{Duration, Instant};

use crate::support::owners::{
    Owners, assert_leads, is_in_sync, leader, settle, unrest, wait_for_owners,
};
use crate::support::watch::{Asked, Claim, Seen, Watch, ask, owned};
use crate::support::{BOUND, Cluster, Server, request, wait_for};

/// The lease of profile `lan`.
const LEASE: Duration = Duration::from_secs(2);

/// From a death to an owner of everything: an election and a whole lease, and as much again for a
/// machine that runs many clusters at once. `benches/failover` measures the figure itself.
const FAILOVER: Duration = Duration::from_secs(8);

const PARTITIONS: usize = 64;

/// Questions that wait for a frozen node to wake.
const ASKED_AT_ONCE: usize = 32;

fn ready(nodes: u16) -> Cluster {
    let cluster = Cluster::ready(nodes, &[]);
    settle(PARTITIONS, &all(&cluster), BOUND);
    cluster
}

fn all(cluster: &Cluster) -> Vec<&Server> {
    cluster.servers.iter().collect()
}

fn without(cluster: &Cluster, victim: usize) -> Vec<&Server> {
    let others = cluster.servers.iter().enumerate();
    others
        .filter(|(at, _)| *at != victim)
        .map(|(_, server)| server)
        .collect()
}

/// Every partition that changed hands has a higher epoch, and none a lower one.
#[track_caller]
fn assert_epochs_grew(before: &Owners, after: &Owners) {
    for (partition, (node, epoch)) in after {
        let (was, then) = &before[partition];
        let grown = epoch > then || (epoch == then && node == was);
        assert!(
            grown,
            "{partition}: {was} at {then}, then {node} at {epoch}"
        );
    }
}

/// The figures of these nodes tell of so many failovers, and of how long each took: a lease at least.
#[track_caller]
fn assert_timed(servers: &[&Server], failovers: usize) {
    let sum = |name: &str| -> Option<f64> {
        let one = |server: &&Server| {
            let figures = server.try_get("/v1/metrics")?.text();
            let line = figures.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<f64>().ok()
        };
        servers.iter().map(one).sum()
    };
    let name = "clusterkit_failover_duration_seconds";
    let expected = failovers as f64;
    for figure in [
        format!("{name}_count "),
        "clusterkit_failover_begin_duration_seconds_count ".to_owned(),
    ] {
        wait_for(&format!("{figure}is {expected}"), BOUND, || {
            (sum(&figure)? == expected).then_some(())
        });
    }
    assert_eq!(sum(&format!("{name}_bucket{{le=\"2.0\"}} ")), Some(0.0));
    let most = format!("{name}_bucket{{le=\"10.0\"}} ");
    assert_eq!(sum(&most), Some(expected));
}

/// Kills a node; the others own everything, and it gets roles back when it returns.
fn kill_and_return(cluster: &mut Cluster, victim: usize) {
    let before = settle(PARTITIONS, &all(cluster), BOUND);
    let watch = Watch::start(&cluster.servers);
    let id = cluster.servers[victim].id.clone();
    assert!(before.values().any(|(node, _)| *node == id));
    let killed = Instant::now();
    cluster.servers[victim].kill();
    let during = wait_for_owners(PARTITIONS, &without(cluster, victim), FAILOVER);
    eprintln!("{id} killed: all owned after {:?}", killed.elapsed());
    assert!(during.values().all(|(node, _)| *node != id));
    assert_epochs_grew(&before, &during);
    let lost = before.values().filter(|(node, _)| *node == id).count();
    assert_timed(&without(cluster, victim), lost);
    cluster.servers[victim].start();
    cluster.servers[victim].wait_until_ready();
    let after = settle(PARTITIONS, &all(cluster), BOUND);
    assert_leads(&cluster.servers[0], &after, &id);
    assert_epochs_grew(&during, &after);
    wait_for("all its copies are in sync", BOUND, || {
        is_in_sync(&cluster.servers[0], &id)?.then_some(())
    });
    watch.stop().assert_outlasted(&id, killed);
}

#[test]
fn the_roles_of_a_killed_follower_are_taken_over_and_given_back() {
    let mut cluster = ready(3);
    let victim = (leader(&cluster.servers) + 1) % 3;
    kill_and_return(&mut cluster, victim);
}

#[test]
fn the_roles_of_a_killed_consensus_leader_are_taken_over_and_given_back() {
    let mut cluster = ready(3);
    let victim = leader(&cluster.servers);
    kill_and_return(&mut cluster, victim);
}

#[test]
fn a_primary_that_was_frozen_claims_nothing_of_what_it_lost() {
    let mut cluster = ready(3);
    let victim = (leader(&cluster.servers) + 1) % 3;
    let before = settle(PARTITIONS, &all(&cluster), BOUND);
    let id = cluster.servers[victim].id.clone();
    let session = session_of(&cluster.servers[victim], &id);
    let watch = Watch::start(&cluster.servers);
    cluster.servers[victim].process().signal("STOP");
    let during = wait_for_owners(PARTITIONS, &without(&cluster, victim), FAILOVER);
    assert_epochs_grew(&before, &during);
    // Asked while it is frozen still, so that some are answered before it has learnt anything; and
    // after everything had another owner, so whatever they list is another's.
    let http = cluster.servers[victim].http;
    let asked: Vec<_> = (0..ASKED_AT_ONCE)
        .map(|_| ask(&id, http, BOUND).expect("its sockets are open"))
        .collect();
    cluster.servers[victim].process().signal("CONT");
    let heard = asked.into_iter().filter_map(Asked::answer);
    let mut answers = 0;
    for claim in heard {
        answers += 1;
        for (partition, epoch) in &claim.owned {
            let lost = &during[partition];
            assert!(*epoch > lost.1, "{partition} at {epoch}, though {lost:?}");
        }
    }
    assert!(answers > 0, "nothing was answered");
    wait_for("it has registered anew", BOUND, || {
        let now = session_of(&cluster.servers[(victim + 1) % 3], &id);
        (now.is_some() && now != session).then_some(())
    });
    let after = settle(PARTITIONS, &all(&cluster), BOUND);
    assert_leads(&cluster.servers[0], &after, &id);
    watch.stop();
}

fn session_of(server: &Server, id: &str) -> Option<u64> {
    let node = server.try_get(&format!("/v1/nodes/{id}"))?.json();
    node["node"]["session"].as_u64()
}

#[test]
fn all_killed_and_started_again_own_everything_at_higher_epochs() {
    let mut cluster = ready(3);
    // Answered before the kill: each has told an outside process what it may act on.
    let before = settle(PARTITIONS, &all(&cluster), BOUND);
    let copies = cluster.servers[0].copies();
    let watch = Watch::start(&cluster.servers);
    cluster.servers.iter_mut().for_each(Server::kill);
    cluster.start_all();
    cluster.wait_until_ready();
    let after = wait_for_owners(PARTITIONS, &all(&cluster), BOUND);
    for (partition, (_, epoch)) in &after {
        assert!(*epoch > before[partition].1, "{partition}");
    }
    // Three lost at once: nothing is moved before time or somebody says so, and it is said why.
    let explained = || cluster.servers[0].get("/v1/explain/0").json();
    wait_for("no brake holds and all lead again", BOUND, || {
        if !explained()["brake_lost"].is_null() {
            cluster.servers[0].send("POST", "/v1/brake/release", "");
        }
        unrest(&cluster.servers[0], PARTITIONS, 3)
            .is_none()
            .then_some(())
    });
    settle(PARTITIONS, &all(&cluster), BOUND);
    assert_eq!(cluster.servers[0].copies(), copies, "nothing was copied");
    watch.stop();
}

#[test]
fn a_node_that_told_what_it_owns_waits_for_its_own_lease_after_a_kill() {
    let mut cluster = ready(3);
    let victim = (leader(&cluster.servers) + 1) % 3;
    let id = cluster.servers[victim].id.clone();
    let before = settle(PARTITIONS, &all(&cluster), BOUND);
    let watch = Watch::start(&cluster.servers);
    let http = cluster.servers[victim].http;
    wait_for("its lease is fresh", BOUND, || {
        let claim = owned(&id, http, BOUND)?;
        (claim.lease > LEASE / 2).then_some(())
    });
    let killed = Instant::now();
    cluster.servers[victim].kill();
    cluster.servers[victim].start();
    cluster.servers[victim].wait_until_ready();
    let after = settle(PARTITIONS, &all(&cluster), BOUND);
    assert_epochs_grew(&before, &after);
    watch.stop().assert_outlasted(&id, killed);
}

/// Asks every survivor for a key's owner, and keeps what fails.
fn ask_for_keys(servers: &[(String, std::net::SocketAddr)], failures: &mut Vec<String>) {
    for (id, http) in servers {
        let path = "/partitions/key?key=user:1001";
        match request(*http, "GET", path, &[], b"", Duration::from_secs(5)) {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => failures.push(format!("{id}: {}", reply.text())),
            Err(error) => failures.push(format!("{id}: {error}")),
        }
    }
}

#[test]
fn a_rolling_restart_leaves_no_partition_without_an_owner() {
    let mut cluster = ready(3);
    let mut before = settle(PARTITIONS, &all(&cluster), BOUND);
    let watch = Watch::start(&cluster.servers);
    for at in 0..3 {
        let survivors: Vec<_> = without(&cluster, at)
            .iter()
            .map(|server| (server.id.clone(), server.http))
            .collect();
        let mut failures = Vec::new();
        let id = cluster.servers[at].id.clone();
        wait_for("it may stop", BOUND, || {
            let path = format!("/v1/nodes/{id}/may-stop");
            let answer = cluster.servers[(at + 1) % 3].try_get(&path)?.json();
            (answer["allowed"] == true).then_some(())
        });
        let process = cluster.servers[at].process();
        process.signal("TERM");
        let begun = Instant::now();
        while process.is_running() {
            ask_for_keys(&survivors, &mut failures);
            assert!(begun.elapsed() < BOUND, "{}", process.printed());
        }
        ask_for_keys(&survivors, &mut failures);
        assert_eq!(process.wait_for_end(BOUND).code(), Some(0));
        assert!(failures.is_empty(), "{failures:?}");
        wait_for_owners(PARTITIONS, &without(&cluster, at), FAILOVER);
        cluster.servers[at].start();
        cluster.servers[at].wait_until_ready();
        let after = settle(PARTITIONS, &all(&cluster), BOUND);
        assert_epochs_grew(&before, &after);
        before = after;
    }
    // A handoff waits for no lease: half of one is a whole order above what it takes, and well
    // below the lease and more that a failover takes.
    watch.stop().assert_no_gap(LEASE / 2);
}

#[test]
fn the_check_for_two_owners_finds_them() {
    let begun = Instant::now();
    let claim = |node: &str, sent: u64, received: u64, epoch: u64| Claim {
        node: node.to_owned(),
        sent: begun + Duration::from_millis(sent),
        received: begun + Duration::from_millis(received),
        owned: [("partition-0".to_owned(), epoch)].into(),
        lease: LEASE,
    };
    let found = |claims: Vec<_>| Seen::of(claims).violations().len();
    // One after the other, and two whose answers overlap, prove nothing.
    assert_eq!(found(vec![claim("a", 0, 5, 1), claim("b", 10, 15, 2)]), 0);
    assert_eq!(found(vec![claim("a", 0, 20, 1), claim("b", 5, 10, 2)]), 0);
    // The older claim was asked for after the newer one had been heard.
    assert_eq!(found(vec![claim("b", 0, 5, 2), claim("a", 10, 15, 1)]), 1);
    // One epoch, two nodes.
    assert_eq!(found(vec![claim("a", 0, 20, 1), claim("b", 5, 10, 1)]), 1);
}
