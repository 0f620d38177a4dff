//! One process of `ck-queue`.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{BOUND, REQUEST, Reply, request, wait_for};

/// One node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) http: SocketAddr,
    data: PathBuf,
    pub(super) flags: Vec<String>,
    child: Option<Child>,
}

impl Node {
    pub(super) fn new(
        id: &str,
        http: SocketAddr,
        directory: &Path,
        flags: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            http,
            data: directory.join(id),
            flags: flags.into_iter().collect(),
            child: None,
        }
    }

    pub(crate) fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ck-queue"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            if text.starts_with("CK_") || ["NODE_ID", "HTTP_ADDR", "KNOWN_NODES"].contains(&&*text)
            {
                command.env_remove(name);
            }
        }
        let printed = File::options().create(true).append(true).open(self.log());
        let printed = printed.expect("the log can be written");
        let errors = printed.try_clone().expect("a file has many handles");
        command
            .args(["--id", &self.id, "--http", &self.http.to_string(), "--data"])
            .arg(&self.data)
            .args(&self.flags)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(printed)
            .stderr(errors);
        self.child = Some(command.spawn().expect("ck-queue starts"));
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the node was started");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("the node was started");
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill runs").success(), "{name} to {pid}");
    }

    /// SIGTERM; returns the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        let child = self.child.as_mut().expect("the node was started");
        let what = format!("{} ends", self.id);
        let status = wait_for(&what, BOUND, || child.try_wait().expect("it can be asked"));
        self.child = None;
        status.code()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Reply> {
        request(self.http, method, path, &[], body, REQUEST).ok()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, b"")
            .unwrap_or_else(|| panic!("GET {path} of {}", self.id))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let printed = std::fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("---- {} printed:\n{printed}", self.id);
        }
    }
}
