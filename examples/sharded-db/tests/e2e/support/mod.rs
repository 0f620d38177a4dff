//! Clusters of real processes, and writers that note what they were told.

#[path = "../../../../../crates/ck-cli/tests/e2e/support/http.rs"]
mod http;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/ports.rs"]
pub(crate) mod ports;
#[path = "../../../../../crates/ck-cli/tests/e2e/support/wait.rs"]
mod wait;
mod writer;

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use http::{Reply, answer, request, send};
pub(crate) use wait::wait_for;
pub(crate) use writer::Writers;

/// Most time anything may take on a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// One node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) http: SocketAddr,
    data: PathBuf,
    flags: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The token that is shown to it.
    token: Option<&'static str>,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.data.with_extension("log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ck-sql"));
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|name| name.starts_with("CK_"));
            if ours {
                command.env_remove(&name);
            }
        }
        let child = command
            .args(["--id", &self.id, "--http", &self.http.to_string(), "--data"])
            .arg(&self.data)
            .args(&self.flags)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("ck-sql starts");
        self.child = Some(child);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How it ended by itself, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.as_mut().expect("it was started").try_wait();
        ended.unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn try_send(&self, method: &str, path: &str, body: &str) -> Option<Reply> {
        self.try_send_as(self.token, method, path, body)
    }

    /// The same with another token, or none.
    pub(crate) fn try_send_as(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
    ) -> Option<Reply> {
        let shown = token.map(|token| format!("Bearer {token}"));
        let shown = shown.iter().map(|shown| ("Authorization", &**shown));
        let kind = ("Content-Type", "application/json");
        let headers: Vec<_> = shown.chain([kind]).collect();
        let body = body.as_bytes();
        request(
            self.http,
            method,
            path,
            &headers,
            body,
            Duration::from_secs(15),
        )
        .ok()
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.try_send(method, path, &body)
            .unwrap_or_else(|| panic!("{method} {path}: {} gives no answer", self.id))
    }

    /// The JSON of an answer that has to be 200.
    #[track_caller]
    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = self.send(method, path, body);
        assert_eq!(
            reply.status,
            200,
            "{method} {path} {body}: {}",
            reply.text()
        );
        reply.json()
    }

    #[track_caller]
    pub(crate) fn sql(&self, key: &str, sql: &str, params: &Value) -> Value {
        let body = json!({ "sql": sql, "params": params });
        self.ok("POST", &format!("/sql/{key}"), &body)
    }

    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<Value>> {
        let answer = self.ok("POST", "/query", &json!({ "sql": sql }));
        serde_json::from_value(answer["rows"].clone()).unwrap()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.try_send("GET", "/ready", "")
            .is_some_and(|reply| reply.status == 200)
    }

    /// Every partition with its primary and its epoch; empty when it does not answer.
    pub(crate) fn rows(&self) -> Vec<(String, String, u64)> {
        let Some(reply) = self.try_send("GET", "/partitions", "") else {
            return Vec::new();
        };
        let answer = reply.json();
        let rows = answer["partitions"].as_array().cloned().unwrap_or_default();
        rows.iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                let epoch = row["epoch"].as_u64().unwrap_or(0);
                (text("id"), text("primary_node"), epoch)
            })
            .collect()
    }

    /// The moves under way: partition, stage, source and target.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let Some(reply) = self.try_send("GET", "/v1/transfers", "") else {
            return Vec::new();
        };
        let answer = reply.json();
        let list = answer["transfers"].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|one| {
                let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                Move {
                    partition: text("partition"),
                    stage: text("stage"),
                    from: text("from"),
                    to: text("to"),
                }
            })
            .collect()
    }
}

/// A move under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) partition: String,
    pub(crate) stage: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Stages in order.
pub(crate) const STAGES: [&str; 6] = [
    "prepare", "catch-up", "release", "commit", "activate", "clean-up",
];

/// The admin's token where there are any.
pub(crate) const ADMIN: &str = "4dm1n";

/// One cluster at a time: a small machine has one disk, and each write waits for it.
static ALONE: Mutex<()> = Mutex::new(());

/// Nodes that know each other, with data in one temporary directory.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// `count` nodes of which the first `started` are up and ready.
    #[track_caller]
    pub(crate) fn new(count: u16, started: u16, partitions: u32) -> Self {
        Self::patient(count, started, partitions, "5s")
    }

    /// The same with another patience.
    #[track_caller]
    pub(crate) fn patient(count: u16, started: u16, partitions: u32, patience: &str) -> Self {
        Self::of(count, started, partitions, "fast", patience)
    }

    /// The same with another profile.
    #[track_caller]
    pub(crate) fn of(
        count: u16,
        started: u16,
        partitions: u32,
        profile: &str,
        patience: &str,
    ) -> Self {
        Self::guarded(count, started, partitions, [profile, patience], "")
    }

    /// The same with a file of tokens, of which the admin's is [`ADMIN`]; none when it is empty.
    #[track_caller]
    pub(crate) fn guarded(
        count: u16,
        started: u16,
        partitions: u32,
        [profile, patience]: [&str; 2],
        tokens: &str,
    ) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let base = ports::block(count);
        let all: Vec<_> = (0..started)
            .map(|at| format!("127.0.0.1:{}", base + at))
            .collect();
        let flags = [
            "--join",
            &all.join(","),
            "--partitions",
            &partitions.to_string(),
            "--profile",
            profile,
            "--no-auto-rebalance",
            "--no-auto-create",
            "--patience",
            patience,
        ];
        let mut flags = flags.map(str::to_owned).to_vec();
        if !tokens.is_empty() {
            let file = directory.path().join("tokens");
            std::fs::write(&file, tokens).unwrap();
            flags.extend(["--token-file".to_owned(), file.display().to_string()]);
        }
        let token = (!tokens.is_empty()).then_some(ADMIN);
        let nodes = (0..count).map(|at| {
            let id = format!("node-{}", at + 1);
            Node {
                data: directory.path().join(&id),
                id,
                http: SocketAddr::from(([127, 0, 0, 1], base + at)),
                flags: flags.clone(),
                environment: Vec::new(),
                token,
                child: None,
            }
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            directory,
            _alone: alone,
        };
        for node in &mut cluster.nodes[..usize::from(started)] {
            node.start();
        }
        wait_for(
            "all nodes are there, and the partitions are made",
            BOUND,
            || {
                let nodes = cluster.nodes[0].try_send("GET", "/v1/cluster", "")?.json();
                let there = nodes["cluster"]["nodes"].as_array().map_or(0, Vec::len);
                if there < usize::from(started) {
                    return None;
                }
                let made = cluster.nodes[0].try_send("POST", "/partitions", "")?;
                (made.status / 100 == 2).then_some(())
            },
        );
        cluster.wait_until_served(usize::from(started));
        cluster
    }

    /// Waits until the first `nodes` are ready and every partition has a primary that serves.
    #[track_caller]
    pub(crate) fn wait_until_served(&self, nodes: usize) {
        for node in &self.nodes[..nodes] {
            wait_for(&format!("{} is ready", node.id), BOUND, || {
                node.is_ready().then_some(())
            });
        }
        let query = json!({ "sql": "SELECT 1" }).to_string();
        wait_for("every partition is served", BOUND, || {
            let reply = self.nodes[0].try_send("POST", "/query", &query)?;
            (reply.status == 200).then_some(())
        });
    }

    /// Plans anew, once nothing else is planned.
    #[track_caller]
    pub(crate) fn rebalance(&self) {
        wait_for("a plan can begin", BOUND, || {
            let begun = self.nodes[0].try_send("POST", "/rebalance", "{}")?;
            (begun.status == 200).then_some(())
        });
    }

    /// The node of that id.
    pub(crate) fn node(&mut self, id: &str) -> &mut Node {
        let node = self.nodes.iter_mut().find(|node| node.id == id);
        node.expect("there is such a node")
    }

    /// Where all data is.
    pub(crate) fn folder(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    /// Files of partitions that a node has.
    pub(crate) fn files(&self, id: &str) -> Vec<String> {
        let folder = self.directory.path().join(id).join("sql");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".db")).collect();
        names.sort();
        names
    }
}

impl Drop for Node {
    #[expect(clippy::print_stderr, reason = "what a failed test shows")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(self.data.with_extension("log"))
        {
            eprintln!("---- {} printed:\n{log}", self.id);
        }
    }
}
