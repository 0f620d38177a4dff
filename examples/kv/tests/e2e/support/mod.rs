//! Processes of `ck-kv` that make a cluster, and writers that remember what was acknowledged.

#[cfg(target_os = "linux")]
#[path = "../../../../../crates/ck-cli/tests/e2e/support/compiled.rs"]
mod compiled;
pub(crate) mod history;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/http.rs"]
mod http;
#[cfg(target_os = "linux")]
#[path = "../../../../../crates/ck-cli/tests/e2e/support/net.rs"]
pub(crate) mod net;
mod node;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/ports.rs"]
pub(crate) mod ports;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/secured.rs"]
pub(crate) mod secured;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/wait.rs"]
mod wait;
#[cfg(target_os = "linux")]
pub(crate) mod wires;
mod writers;

#[cfg(target_os = "linux")]
pub(crate) use compiled::{compiled, preloaded};
pub(crate) use http::{Reply, answer, request, send};
pub(crate) use node::Node;
pub(crate) use wait::wait_for;
pub(crate) use writers::Writers;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Most time a cluster may take for anything, on a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Keys that fall into every one of a few partitions.
const PROBES: usize = 48;

/// Time for one request: a failover fits into it.
const REQUEST: Duration = Duration::from_secs(15);

/// Clusters at a time, on a machine with few cores: leases are short here.
static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(3), Condvar::new());

/// The right to run a cluster.
pub(crate) struct Place;

impl Place {
    pub(crate) fn take() -> Self {
        let free = PLACES.0.lock().expect("nobody panics with it");
        let mut free = PLACES
            .1
            .wait_while(free, |free| *free == 0)
            .expect("nobody panics with it");
        *free -= 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.0.lock().expect("nobody panics with it") += 1;
        PLACES.1.notify_one();
    }
}

/// Nodes with neighbouring ports and data in one temporary directory.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    directory: TempDir,
    _place: Place,
}

impl Cluster {
    /// `count` nodes that are not started, with room for `more`.
    pub(crate) fn of(count: u16, more: u16, flags: &[&str]) -> Self {
        let base = ports::block(count + more);
        let addresses = (base..base + count + more).map(|port| ([127, 0, 0, 1], port).into());
        Self::at(&addresses.collect::<Vec<_>>(), count.into(), flags)
    }

    /// Nodes at these addresses that are not started; the first `founders` are named to all of them.
    fn at(addresses: &[SocketAddr], founders: usize, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = directory.path().canonicalize().expect("it is there");
        let join = addresses[..founders].iter().map(ToString::to_string);
        let join = join.collect::<Vec<_>>().join(",");
        let all = ["--join", &join].into_iter().chain(flags.iter().copied());
        let all: Vec<String> = all.map(ToOwned::to_owned).collect();
        let node = |(http, number): (&SocketAddr, usize)| {
            let id = format!("node-{number}");
            Node {
                http: *http,
                data: folder.join(&id),
                id,
                flags: all.clone(),
                environment: Vec::new(),
                inside: None,
                child: None,
            }
        };
        Self {
            nodes: addresses.iter().zip(1..).map(node).collect(),
            directory,
            _place: Place::take(),
        }
    }

    /// Nodes in a network that can be cut, not started.
    #[cfg(target_os = "linux")]
    pub(crate) fn inside(net: &net::Net, count: usize, flags: &[&str]) -> Self {
        let addresses: Vec<_> = (0..count).map(|node| net.http(node)).collect();
        let flags = [&["--insecure"], flags].concat();
        let mut cluster = Self::at(&addresses, count, &flags);
        for (at, node) in cluster.nodes.iter_mut().enumerate() {
            node.inside = Some(net.namespace(at));
        }
        cluster
    }

    /// `count` nodes that serve.
    pub(crate) fn ready(count: u16, flags: &[&str]) -> Self {
        let mut cluster = Self::of(count, 0, flags);
        cluster.start_all();
        cluster.wait_until_serving();
        cluster
    }

    pub(crate) fn start_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.http).collect()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until every running node is ready and every partition has a primary that serves.
    #[track_caller]
    pub(crate) fn wait_until_serving(&self) {
        let running = || self.nodes.iter().filter(|node| node.child.is_some());
        for node in running() {
            wait_for(&format!("{} is ready", node.id), BOUND, || {
                node.ask("GET", "/ready", b"")
                    .filter(|reply| reply.status == 200)
            });
        }
        // Not by `/v1/owned`: a node that answered it once waits for its lease when it is started anew.
        for key in 0..PROBES {
            let path = format!("/kv/probe-{key}");
            let node = running().nth(key % running().count()).expect("a node runs");
            wait_for("every partition is served", BOUND, || {
                node.ask("GET", &path, b"")
                    .filter(|reply| [200, 404].contains(&reply.status))
            });
        }
    }

    /// Waits until all partitions have all their copies in sync again and nothing moves.
    #[track_caller]
    pub(crate) fn wait_until_stable(&self) {
        let node = self.nodes.iter().find(|node| node.child.is_some());
        let node = node.expect("a node runs");
        wait_for("every partition is stable", BOUND, || {
            let reply = node.ask("GET", "/v1/partitions", b"")?.json();
            let stable = |row: &Value| row["state"] == "stable";
            reply["partitions"]
                .as_array()?
                .iter()
                .all(stable)
                .then_some(())
        });
    }

    /// Waits until every node with a copy has the same of each partition. Returns how many copies.
    #[track_caller]
    pub(crate) fn wait_until_equal(&self) -> usize {
        let running: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| node.child.is_some())
            .collect();
        wait_for("all copies are equal", BOUND, || {
            let table = running[0].ask("GET", "/v1/partitions", b"")?.json();
            let mut copies = 0;
            for row in table["partitions"].as_array()? {
                let holders = row["replica_nodes"]
                    .as_array()?
                    .iter()
                    .chain([&row["primary_node"]]);
                let mut digests = Vec::new();
                for holder in holders {
                    let node = running.iter().find(|node| *holder == *node.id)?;
                    let path = format!("/digest/{}", row["id"].as_str()?);
                    let reply = node
                        .ask("GET", &path, b"")
                        .filter(|reply| reply.status == 200)?;
                    digests.push(reply.json()["digest"].as_str()?.to_owned());
                }
                copies += digests.len();
                digests.dedup();
                if digests.len() != 1 {
                    return None;
                }
            }
            Some(copies)
        })
    }

    /// The node that leads the log.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        wait_for("somebody leads", BOUND, || {
            let status = self.nodes[0].ask("GET", "/v1/cluster", b"")?.json();
            let named = status["leader"].as_str()?;
            self.nodes.iter().position(|node| node.id == named)
        })
    }

    /// The partition of a key and the node that is its primary.
    #[track_caller]
    pub(crate) fn primary_of(&self, key: &str) -> (u64, usize) {
        let node = self
            .nodes
            .iter()
            .find(|node| node.child.is_some())
            .expect("a node runs");
        let row = node.get(&format!("/v1/partitions/key?key={key}")).json();
        let name = row["primary_node"].as_str().expect("a primary");
        let at = self.nodes.iter().position(|node| node.id == name);
        let id = row["id"]
            .as_str()
            .expect("an id")
            .trim_start_matches("partition-");
        (
            id.parse().expect("a number"),
            at.expect("a node of this cluster"),
        )
    }
}
