//! Processes that die: the others go on, and what was acknowledged is still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{BOUND, Cluster, Server, request, wait_for};

/// From a kill to the next committed change.
const COMMIT_AGAIN: Duration = Duration::from_secs(3);

/// Asks a node for a key's owner again and again, and remembers every failure.
struct Prober {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Prober {
    fn start(server: &Server) -> Self {
        let (id, http) = (server.id.clone(), server.http);
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let (done, count) = (Arc::clone(&over), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let path = "/partitions/key?key=user:1001";
                match request(http, "GET", path, &[], b"", Duration::from_secs(2)) {
                    Ok(reply) if reply.status == 200 => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(reply) => failures.push(format!("{id}: {}", reply.text())),
                    Err(error) => failures.push(format!("{id}: {error}")),
                }
                // Hundreds of questions a second are enough, and leave the machine to the nodes.
                std::thread::sleep(Duration::from_millis(2));
            }
            failures
        });
        Self {
            over,
            answered,
            thread,
        }
    }

    fn stop(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        let failures = self.thread.join().expect("the prober does not panic");
        assert!(
            self.answered.load(Ordering::Relaxed) > 0,
            "nothing was asked"
        );
        failures
    }
}

/// Writes a value until a node accepts it; returns how long that took.
#[track_caller]
fn commit(server: &Server, key: &str) -> Duration {
    let begun = Instant::now();
    wait_for(&format!("{} commits {key}", server.id), BOUND, || {
        let path = format!("/v1/custom/{key}");
        let reply = request(
            server.http,
            "PUT",
            &path,
            &[],
            key.as_bytes(),
            Duration::from_secs(10),
        );
        reply.ok().filter(|reply| matches!(reply.status, 200 | 201))
    });
    begun.elapsed()
}

#[track_caller]
fn assert_has(server: &Server, key: &str) {
    wait_for(&format!("{} has {key}", server.id), BOUND, || {
        let reply = server.try_get(&format!("/v1/custom/{key}"))?;
        (reply.status == 200 && reply.body == key.as_bytes()).then_some(())
    });
}

#[test]
fn a_killed_node_leaves_the_others_answering_and_comes_back_with_its_data() {
    let mut cluster = Cluster::ready(3, &[]);
    commit(&cluster.servers[0], "before");
    let rows = cluster.servers[0].rows();
    for victim in 0..3 {
        let others = [(victim + 1) % 3, (victim + 2) % 3];
        let probers: Vec<Prober> = others
            .iter()
            .map(|at| Prober::start(&cluster.servers[*at]))
            .collect();
        cluster.servers[victim].kill();
        let key = format!("while-{victim}-is-away");
        let took = commit(&cluster.servers[others[0]], &key);
        assert!(
            took <= COMMIT_AGAIN,
            "committed {took:?} after the kill of node {}",
            victim + 1
        );
        assert_has(&cluster.servers[others[1]], &key);
        let failures: Vec<String> = probers.into_iter().flat_map(Prober::stop).collect();
        assert!(failures.is_empty(), "{failures:?}");
        let server = &mut cluster.servers[victim];
        server.start();
        server.wait_until_ready();
        assert_has(server, "before");
        assert_has(server, &key);
        assert_eq!(server.rows(), rows);
    }
}

#[test]
fn all_nodes_killed_and_restarted_have_the_same_table() {
    let mut cluster = Cluster::ready(3, &[]);
    commit(&cluster.servers[1], "kept");
    let rows = cluster.servers[0].rows();
    let uuid = cluster.servers[0].get("/cluster").json()["cluster"]["uuid"].clone();
    cluster.servers.iter_mut().for_each(Server::kill);
    cluster.start_all();
    cluster.wait_until_ready();
    for server in &cluster.servers {
        assert_eq!(server.rows(), rows, "{}", server.id);
        assert_eq!(server.get("/cluster").json()["cluster"]["uuid"], uuid);
        assert_has(server, "kept");
        assert_eq!(server.get("/nodes").json()["total"], 3);
    }
}

#[test]
fn a_stopped_node_stays_a_member_and_comes_back() {
    let mut cluster = Cluster::ready(3, &[]);
    let copies = cluster.servers[0].copies();
    let server = &mut cluster.servers[2];
    server.process().signal("TERM");
    assert_eq!(server.process().wait_for_end(BOUND).code(), Some(0));
    let said = server.process().printed();
    assert!(
        said.contains("node-3 has stopped; stays a member"),
        "{said}"
    );
    let node = cluster.servers[0].get("/v1/nodes/node-3").json();
    assert_eq!(node["node"]["status"], "stopped", "{node}");
    commit(&cluster.servers[0], "meanwhile");
    let server = &mut cluster.servers[2];
    server.start();
    server.wait_until_ready();
    assert_has(server, "meanwhile");
    assert_eq!(server.copies(), copies, "a restart copies nothing");
    assert_eq!(
        server.get("/v1/nodes/node-3").json()["node"]["status"],
        "active"
    );
}
