//! `ck serve` processes that make a cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Process, Reply, ck, ck_by, ports, request, wait_for};

/// Most time a cluster may take to come up on a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// One node: how it is started, and the process once it is.
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) http: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) flags: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The network namespace it runs in, when it is another one.
    pub(crate) inside: Option<String>,
    pub(crate) process: Option<Process>,
}

impl Server {
    /// A node that is not started yet, with its data under `directory`.
    pub(crate) fn new(id: &str, port: u16, directory: &Path) -> Self {
        Self {
            id: id.to_owned(),
            http: SocketAddr::from(([127, 0, 0, 1], port)),
            data: directory.join(id),
            flags: Vec::new(),
            environment: Vec::new(),
            inside: None,
            process: None,
        }
    }

    /// Adds flags to every start from now on.
    pub(crate) fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Starts the process; it need not be ready when this returns.
    pub(crate) fn start(&mut self) {
        let mut command = match &self.inside {
            None => ck(),
            // Becomes the command, so the process is the node's.
            Some(name) => ck_by(&["ip", "netns", "exec", name]),
        };
        command
            .args([
                "serve",
                "--id",
                &self.id,
                "--http",
                &self.http.to_string(),
                "--data",
            ])
            .arg(&self.data)
            .args(&self.flags);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        self.process = Some(Process::start(command));
    }

    #[track_caller]
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the node was started")
    }

    /// SIGKILL.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    pub(crate) fn try_get(&self, path: &str) -> Option<Reply> {
        request(self.http, "GET", path, &[], b"", Duration::from_secs(5)).ok()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        request(self.http, "GET", path, &[], b"", Duration::from_secs(10))
            .unwrap_or_else(|error| panic!("GET {path} of {}: {error}", self.id))
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = [("Content-Type", "application/json")];
        request(
            self.http,
            method,
            path,
            &headers,
            body.as_bytes(),
            Duration::from_secs(15),
        )
        .unwrap_or_else(|error| panic!("{method} {path} of {}: {error}", self.id))
    }

    /// Waits until the node says that it is ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&mut self) {
        let id = self.id.clone();
        wait_for(&format!("{id} is ready"), BOUND, || {
            if !self.process().is_running() {
                panic!("{id} has ended:\n{}", self.process().printed());
            }
            self.try_get("/ready").filter(|reply| reply.status == 200)
        });
    }

    /// The nodes with a copy of each partition, in order of name.
    #[track_caller]
    pub(crate) fn copies(&self) -> Vec<(String, Vec<String>)> {
        let rows = self.rows().into_iter();
        rows.map(|(id, primary, replicas)| {
            let replicas = replicas.as_array().expect("a list").iter();
            let replicas = replicas.map(|node| node.as_str().expect("a name").to_owned());
            let mut nodes: Vec<String> = replicas.chain([primary]).collect();
            nodes.sort();
            (id, nodes)
        })
        .collect()
    }

    /// The rows of its table: id, primary, replicas, in order.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<(String, String, Value)> {
        rows(&self.get("/partitions").json())
    }
}

/// The rows of an answer of `GET /partitions`.
fn rows(answer: &Value) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    answer["partitions"]
        .as_array()
        .expect("a list of partitions")
        .iter()
        .map(|row| {
            (
                text(&row["id"]),
                text(&row["primary_node"]),
                row["replica_nodes"].clone(),
            )
        })
        .collect()
}

/// Nodes `node-1`… with neighbouring ports and data in one temporary directory.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    pub(crate) directory: TempDir,
}

impl Cluster {
    /// Nodes that all list each other; not started.
    pub(crate) fn of(count: u16, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let base = ports::block(count);
        let join: Vec<String> = (0..count)
            .map(|at| format!("127.0.0.1:{}", base + at))
            .collect();
        let servers = (0..count)
            .map(|at| {
                Server::new(&format!("node-{}", at + 1), base + at, directory.path())
                    .with(&["--join", &join.join(",")])
                    .with(flags)
            })
            .collect();
        Self { servers, directory }
    }

    /// Started together, and ready.
    pub(crate) fn ready(count: u16, flags: &[&str]) -> Self {
        let mut cluster = Self::of(count, flags);
        cluster.start_all();
        cluster.wait_until_ready();
        cluster
    }

    /// From now on a join is followed by its rebalance at once, not after five seconds of quiet.
    #[track_caller]
    pub(crate) fn hurry(&self) {
        let reply = self.servers[0].send("PATCH", "/v1/config", r#"{"settle_ms":100}"#);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    pub(crate) fn start_all(&mut self) {
        self.servers.iter_mut().for_each(Server::start);
    }

    #[track_caller]
    pub(crate) fn wait_until_ready(&mut self) {
        self.servers.iter_mut().for_each(Server::wait_until_ready);
    }

    /// The `--server` value that names them all.
    pub(crate) fn addresses(&self) -> String {
        let all: Vec<String> = self
            .servers
            .iter()
            .map(|server| format!("http://{}", server.http))
            .collect();
        all.join(",")
    }
}
