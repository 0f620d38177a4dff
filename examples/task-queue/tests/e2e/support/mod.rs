//! Processes of `ck-queue` that make a cluster, and a client that follows what it is told.

mod crowd;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/http.rs"]
mod http;
mod node;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/ports.rs"]
mod ports;
mod queue;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/secured.rs"]
pub(crate) mod secured;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/wait.rs"]
mod wait;

pub(crate) use crowd::{Crowd, Told};
pub(crate) use http::{Reply, answer, request, send};
pub(crate) use node::Node;
pub(crate) use queue::Client;
pub(crate) use wait::wait_for;

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;

/// Most time anything may take on a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(90);

/// Time for one request: a failover fits into it.
pub(crate) const REQUEST: Duration = Duration::from_secs(25);

/// Clusters at a time, on a machine with few cores.
static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

/// The right to run a cluster.
struct Place;

impl Place {
    fn take() -> Self {
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
    /// `count` nodes that serve: 8 partitions, three copies of each.
    #[track_caller]
    pub(crate) fn ready(count: u16) -> Self {
        Self::ready_with(count, "lan")
    }

    /// The same with leases of that profile.
    #[track_caller]
    pub(crate) fn ready_with(count: u16, profile: &str) -> Self {
        let mut cluster = Self::of(count, profile);
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.wait_until_serving();
        cluster
    }

    /// Nodes with certificates and tokens, started.
    pub(crate) fn secured(count: u16) -> (Self, secured::Secured) {
        let mut cluster = Self::of(count, "lan");
        let secured = secured::Secured::new(cluster.directory.path());
        for node in &mut cluster.nodes {
            node.flags.extend(secured.flags(&node.id));
            node.start();
        }
        (cluster, secured)
    }

    /// Nodes that are not started.
    fn of(count: u16, profile: &str) -> Self {
        let place = Place::take();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let base = ports::block(count);
        let join: Vec<_> = (0..count)
            .map(|at| format!("127.0.0.1:{}", base + at))
            .collect();
        let nodes = (0..count).map(|at| {
            let http = SocketAddr::from(([127, 0, 0, 1], base + at));
            let flags = ["--partitions", "8", "--profile", profile, "--join"];
            let flags = flags.map(str::to_owned).into_iter().chain([join.join(",")]);
            Node::new(&format!("node-{}", at + 1), http, directory.path(), flags)
        });
        Self {
            nodes: nodes.collect(),
            directory,
            _place: place,
        }
    }

    /// Asks all nodes in turn.
    pub(crate) fn client(&self) -> Client {
        Client::of(self.nodes.iter().map(|node| node.http).collect())
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// Waits until every running node counts the tasks of every partition.
    #[track_caller]
    pub(crate) fn wait_until_serving(&self) {
        for node in self.running() {
            wait_for(&format!("{} sees all partitions", node.id), BOUND, || {
                let reply = node.ask("GET", "/queues/none", b"")?;
                let counted = reply.json();
                let all = counted["partitions"].as_u64()?;
                (all > 0 && counted["partitions_counted"] == all).then_some(())
            });
        }
    }

    /// The node that is the primary of a key's partition.
    #[track_caller]
    pub(crate) fn primary_of(&self, key: &str) -> usize {
        let node = self.running().next().expect("a node runs");
        let row = node.get(&format!("/v1/partitions/key?key={key}")).json();
        let name = row["primary_node"].as_str().expect("a primary").to_owned();
        let at = self.nodes.iter().position(|node| node.id == name);
        at.expect("a node of this cluster")
    }

    /// A key whose partition's primary is a node, or is not.
    #[track_caller]
    pub(crate) fn key_at(&self, at: usize, there: bool) -> String {
        let mut keys = (0..200).map(|number| format!("key-{number}"));
        keys.find(|key| (self.primary_of(key) == at) == there)
            .expect("some key falls there")
    }
}
