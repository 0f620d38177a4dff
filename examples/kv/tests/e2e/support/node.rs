//! One process of `ck-kv`.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{BOUND, REQUEST, Reply, request, wait_for};

/// One node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) http: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) flags: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The network namespace it runs in, when it is another one.
    pub(super) inside: Option<String>,
    pub(super) child: Option<Child>,
}

impl Node {
    pub(crate) fn start(&mut self) {
        let program = env!("CARGO_BIN_EXE_ck-kv");
        let mut command = match &self.inside {
            None => Command::new(program),
            Some(name) => {
                // Becomes the command, so the process is the node's.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
        };
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

    /// Sends a signal, by its name without `SIG`; at once, since there is a race to be won at times.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("the node was started").id();
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process number"));
        let signal: Signal = format!("SIG{name}").parse().expect("a signal");
        kill(pid, signal).unwrap_or_else(|error| panic!("{name} to {pid}: {error}"));
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let child = self.child.as_mut().expect("the node was started");
        let what = format!("{} ends", self.id);
        let status = wait_for(&what, BOUND, || child.try_wait().expect("it can be asked"));
        self.child = None;
        status.code()
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut().expect("the node was started");
        child.try_wait().expect("it can be asked").is_some()
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
        let list = owned["owned"].as_array().expect("a list").iter();
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
