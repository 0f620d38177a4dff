//! Processes of `ck-kv` that make a cluster, and writers that remember what was acknowledged.

#![expect(
    dead_code,
    reason = "the shared parts are shared by other tests as well"
)]

#[path = "../../../../crates/ck-cli/tests/e2e/support/http.rs"]
mod http;
#[path = "../../../../crates/ck-cli/tests/e2e/support/ports.rs"]
mod ports;
#[path = "../../../../crates/ck-cli/tests/e2e/support/wait.rs"]
mod wait;

pub(crate) use http::{Reply, answer, request, send};
pub(crate) use wait::wait_for;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Most time a cluster may take for anything, on a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(40);

/// Time for one request: a failover fits into it.
const REQUEST: Duration = Duration::from_secs(15);

/// One node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) http: SocketAddr,
    pub(crate) data: PathBuf,
    flags: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ck-kv"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            let ours = text.starts_with("CK_") && text != "CK_KV_PLANTED";
            if ours || ["NODE_ID", "HTTP_ADDR", "KNOWN_NODES"].contains(&&*text) {
                command.env_remove(name);
            }
        }
        let log = self.log();
        let printed = File::options().create(true).append(true).open(log);
        let printed = printed.expect("the log can be written");
        let errors = printed.try_clone().expect("a file has many handles");
        command
            .args(["--id", &self.id, "--http", &self.http.to_string(), "--data"])
            .arg(&self.data)
            .args(&self.flags)
            .envs(self.environment.iter().cloned())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(printed)
            .stderr(errors);
        self.child = Some(command.spawn().expect("ck-kv starts"));
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the node was started");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("the node was started").id();
        let sent = Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .status();
        assert!(sent.expect("kill runs").success(), "{name} to {pid}");
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let child = self.child.as_mut().expect("the node was started");
        let what = format!("{} ends", self.id);
        let status = wait_for(&what, BOUND, || child.try_wait().expect("it can be asked"));
        self.child = None;
        status.code()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Reply> {
        self.ask_with(method, path, &[], body)
    }

    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        request(self.http, method, path, headers, body, REQUEST).ok()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, b"")
            .unwrap_or_else(|| panic!("GET {path} of {}", self.id))
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Reply {
        self.ask("PUT", path, body)
            .unwrap_or_else(|| panic!("PUT {path} of {}", self.id))
    }

    /// The fencing tokens under which it acts, by partition.
    pub(crate) fn owned(&self) -> BTreeMap<u64, String> {
        let owned = self.get("/v1/owned").json();
        let incarnation = owned["incarnation"].as_u64().expect("a number");
        let list = owned["partitions"].as_array().expect("a list").iter();
        list.map(|one| {
            let name = one["id"].as_str().expect("an id");
            let number = name
                .trim_start_matches("partition-")
                .parse()
                .expect("a number");
            let epoch = one["epoch"].as_u64().expect("an epoch");
            (number, format!("{incarnation}.{number}.{epoch}"))
        })
        .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- {} printed:\n{}", self.id, self.printed());
        }
    }
}

/// Nodes with neighbouring ports and data in one temporary directory.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    join: String,
    flags: Vec<String>,
    directory: TempDir,
}

impl Cluster {
    /// `count` nodes that are not started, with room for `more`.
    pub(crate) fn of(count: u16, more: u16, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let base = ports::block(count + more);
        let join: Vec<_> = (0..count)
            .map(|at| format!("127.0.0.1:{}", base + at))
            .collect();
        let mut cluster = Self {
            nodes: Vec::new(),
            join: join.join(","),
            flags: flags.iter().map(ToString::to_string).collect(),
            directory,
        };
        for at in 0..count + more {
            let node = cluster.node(at, base + at);
            cluster.nodes.push(node);
        }
        cluster
    }

    fn node(&self, at: u16, port: u16) -> Node {
        let id = format!("node-{}", at + 1);
        let mut flags = vec!["--join".to_owned(), self.join.clone()];
        flags.extend(self.flags.iter().cloned());
        Node {
            http: SocketAddr::from(([127, 0, 0, 1], port)),
            data: self
                .directory
                .path()
                .canonicalize()
                .expect("it is there")
                .join(&id),
            id,
            flags,
            environment: Vec::new(),
            child: None,
        }
    }

    /// `count` nodes that serve.
    pub(crate) fn ready(count: u16, flags: &[&str]) -> Self {
        let mut cluster = Self::of(count, 0, flags);
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.wait_until_serving();
        cluster
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
        let first = running().next().expect("a node runs");
        let count = first.get("/v1/partitions").json()["partitions"]
            .as_array()
            .map_or(0, Vec::len);
        wait_for("every partition is served", BOUND, || {
            let owned: usize = running().map(|node| node.owned().len()).sum();
            (owned == count).then_some(())
        });
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

/// What a writer found.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Key to the values it may have: the acknowledged one, then those whose outcome is open.
    pub(crate) keys: BTreeMap<String, Vec<String>>,
    pub(crate) acknowledged: usize,
    /// Answers that were no success: status and code, or "broken".
    pub(crate) others: Vec<String>,
    /// The longest time between two acknowledgements.
    pub(crate) pause: Duration,
}

/// Writers that run beside a test.
pub(crate) struct Writers {
    over: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Written>>,
}

impl Writers {
    /// `count` writers, each with keys of its own, that ask the given nodes in turn.
    pub(crate) fn start(addresses: Vec<SocketAddr>, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let total = Arc::new(AtomicUsize::new(0));
        let threads = (0..count).map(|writer| {
            let (over, total, addresses) =
                (Arc::clone(&over), Arc::clone(&total), addresses.clone());
            std::thread::spawn(move || write(writer, &addresses, &over, &total))
        });
        Self {
            threads: threads.collect(),
            over,
            count: total,
        }
    }

    /// Writes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until so many more are acknowledged.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, more: usize) {
        let until = self.acknowledged() + more;
        wait_for("writes are acknowledged", BOUND, || {
            (self.acknowledged() >= until).then_some(())
        });
    }

    pub(crate) fn stop(self) -> Written {
        self.over.store(true, Ordering::SeqCst);
        let mut all = Written::default();
        for thread in self.threads {
            let one = thread.join().expect("a writer does not panic");
            all.keys.extend(one.keys);
            all.acknowledged += one.acknowledged;
            all.others.extend(one.others);
            all.pause = all.pause.max(one.pause);
        }
        all
    }
}

fn write(
    writer: usize,
    addresses: &[SocketAddr],
    over: &AtomicBool,
    total: &AtomicUsize,
) -> Written {
    const KEYS: usize = 64;
    let mut written = Written::default();
    let mut last = Instant::now();
    for turn in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let (key, value) = (
            format!("writer-{writer}-{}", turn % KEYS),
            format!("{turn}"),
        );
        let address = addresses[(turn + writer) % addresses.len()];
        let path = format!("/kv/{key}");
        let reply = request(address, "PUT", &path, &[], value.as_bytes(), REQUEST);
        let known = written.keys.entry(key).or_default();
        match reply {
            Ok(reply) if reply.status == 204 => {
                *known = vec![value];
                written.acknowledged += 1;
                total.fetch_add(1, Ordering::SeqCst);
                written.pause = written.pause.max(last.elapsed());
                last = Instant::now();
            }
            Ok(reply) => {
                let code = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
                let code = code["code"].as_str().unwrap_or_default().to_owned();
                if reply.status >= 500 {
                    known.push(value);
                }
                written.others.push(format!("{} {code}", reply.status));
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                // The node is away: nothing was asked.
            }
            Err(error) => {
                known.push(value);
                written.others.push(format!("broken: {error}"));
            }
        }
    }
    written
}

impl Written {
    /// Every key has its acknowledged value, or a later one whose outcome was open.
    #[track_caller]
    pub(crate) fn is_kept_by(&self, cluster: &Cluster) {
        assert!(
            self.acknowledged > 0,
            "nothing was acknowledged: {:?}",
            self.others
        );
        let running: Vec<_> = cluster
            .nodes
            .iter()
            .filter(|node| node.child.is_some())
            .collect();
        for (at, (key, values)) in self.keys.iter().enumerate() {
            let node = running[at % running.len()];
            let reply = wait_for(&format!("{key} can be read"), BOUND, || {
                let reply = node.ask("GET", &format!("/kv/{key}"), b"")?;
                [200, 404].contains(&reply.status).then_some(reply)
            });
            let found = (reply.status == 200).then(|| reply.text());
            let fits = match &found {
                Some(found) => values.contains(found),
                None => values.is_empty(),
            };
            assert!(
                fits,
                "{key} is {found:?}, and was acknowledged as {values:?}"
            );
        }
    }
}
