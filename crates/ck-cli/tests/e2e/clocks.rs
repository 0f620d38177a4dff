//! Clocks that jump: a preloaded library adds to what they say.
#![cfg(target_os = "linux")]

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::owners::{assert_leads, leader, settle, wait_for_owners};
use crate::support::watch::{Watch, owned};
use crate::support::{BOUND, Cluster, Server, preloaded, request, wait_for};

const PARTITIONS: usize = 64;

/// The lease of profile `lan`.
const LEASE: Duration = Duration::from_secs(2);

/// What a node's clocks are ahead.
struct Clocks(PathBuf);

impl Clocks {
    fn jump(&self, wall_seconds: i64, boot_seconds: i64) {
        let mut bytes = [0; 16];
        let nanos = |seconds: i64| (seconds * 1_000_000_000).to_ne_bytes();
        bytes[..8].copy_from_slice(&nanos(wall_seconds));
        bytes[8..].copy_from_slice(&nanos(boot_seconds));
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let file = options.open(&self.0).unwrap();
        // In place: the process has it mapped.
        file.write_all_at(&bytes, 0).unwrap();
    }
}

/// Three nodes, each with clocks of its own.
fn ready() -> (Cluster, Vec<Clocks>) {
    let mut cluster = Cluster::of(3, &[]);
    let library = preloaded(cluster.directory.path(), "clocks");
    let mut all = Vec::new();
    for server in &mut cluster.servers {
        let clocks = Clocks(server.data.with_extension("clocks"));
        clocks.jump(0, 0);
        server.environment = vec![
            ("LD_PRELOAD".into(), library.display().to_string()),
            ("CK_CLOCKS".into(), clocks.0.display().to_string()),
        ];
        all.push(clocks);
    }
    cluster.start_all();
    cluster.wait_until_ready();
    settle(PARTITIONS, &servers(&cluster), BOUND);
    (cluster, all)
}

fn servers(cluster: &Cluster) -> Vec<&Server> {
    cluster.servers.iter().collect()
}

fn sessions(server: &Server) -> Vec<Value> {
    let page = server.get("/nodes").json();
    let nodes = page["nodes"].as_array().cloned().unwrap_or_default();
    nodes.iter().map(|node| node["session"].clone()).collect()
}

#[test]
fn a_wall_clock_that_jumps_moves_nothing_and_ends_no_session() {
    let (cluster, clocks) = ready();
    let before = settle(PARTITIONS, &servers(&cluster), BOUND);
    let open = sessions(&cluster.servers[0]);
    let watch = Watch::start(&cluster.servers);
    let hour = 3_600;
    for (at, jumps) in [
        [5 * hour, -3 * hour, 0],
        [-7 * hour, 400 * 24 * hour, hour],
        [0, 0, -2 * hour],
    ]
    .iter()
    .enumerate()
    {
        for (clocks, jump) in clocks.iter().zip(jumps) {
            clocks.jump(*jump, 0);
        }
        // Longer than a lease, so that every lease is renewed meanwhile or is over.
        let until = Instant::now() + LEASE + LEASE / 4;
        while Instant::now() < until {
            let path = format!("/v1/custom/jump-{at}");
            let bound = Duration::from_secs(5);
            let put = request(cluster.servers[at].http, "PUT", &path, &[], b"x", bound).unwrap();
            assert!(matches!(put.status, 200 | 201), "{}", put.text());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let after = wait_for_owners(PARTITIONS, &servers(&cluster), BOUND);
    assert_eq!(before, after, "something moved");
    assert_eq!(sessions(&cluster.servers[0]), open, "a session has ended");
    watch.stop().assert_no_gap(LEASE / 2);
}

/// The clock of leases goes back by more than a lease on one node.
fn goes_back(victim: impl Fn(usize) -> usize) {
    let (cluster, clocks) = ready();
    let victim = victim(leader(&cluster.servers));
    let node = &cluster.servers[victim];
    let watch = Watch::start(&cluster.servers);
    // More than a lease, so that the others take over; and so little that the node registers once
    // for it, since one that registers again and again is taken for a flapping one.
    let behind = Duration::from_secs(3);
    let jumped = Instant::now();
    clocks[victim].jump(0, -3);
    let claims = || owned(&node.id, node.http, BOUND).map(|claim| claim.owned.len());
    wait_for("it claims nothing", LEASE / 2, || {
        (claims()? == 0).then_some(())
    });
    while jumped.elapsed() < behind - Duration::from_millis(100) {
        let begun = Instant::now();
        let claims = claims();
        // An answer that took until the clock had caught up says nothing.
        if jumped.elapsed() < behind {
            assert_eq!(claims, Some(0), "{:?} after the jump", begun - jumped);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let printed = cluster.servers[victim].process.as_ref().unwrap().printed();
    assert_eq!(printed.matches("the clock has gone back").count(), 1);
    let after = settle(PARTITIONS, &servers(&cluster), BOUND);
    assert_leads(node, &after, &node.id);
    watch.stop();
}

#[test]
fn a_node_whose_clock_goes_back_claims_nothing_while_it_is_behind_and_recovers() {
    goes_back(|leader| (leader + 1) % 3);
}

#[test]
fn a_consensus_leader_whose_clock_goes_back_claims_nothing_while_it_is_behind_and_recovers() {
    goes_back(|leader| leader);
}
