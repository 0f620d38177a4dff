//! The processes of a cluster, and what is done to them.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ck_client::{Client, ClientConfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::TortureError;

/// HTTP ports are taken from here on, below those the system gives away; peers listen 2,000 above.
const FIRST_PORT: u16 = 24_000;
const PORTS: u16 = 1_900;
const PEER_OFFSET: u16 = 2_000;

/// Ports of one run: more than there are nodes.
const SLOT: u16 = 40;

/// One node: how it is started, and its process while it runs.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) http: SocketAddr,
    data: PathBuf,
    log: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// Starts the process; its output goes to a log of its own.
    pub(super) fn start(&mut self) -> Result<(), TortureError> {
        let open =
            || -> io::Result<File> { OpenOptions::new().create(true).append(true).open(&self.log) };
        let start = || -> io::Result<Child> {
            Command::new(&self.program)
                .args(["--id", &self.id, "--http", &self.http.to_string(), "--data"])
                .arg(&self.data)
                .args(&self.arguments)
                .stdin(Stdio::null())
                .stdout(open()?)
                .stderr(open()?)
                .spawn()
        };
        let started = start();
        self.child = Some(started.map_err(|source| TortureError::Start {
            program: self.program.clone(),
            source,
        })?);
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        if let Some(pid) = pid {
            // It fails only when the process has ended, which is seen elsewhere.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// SIGKILL, and gone when this returns.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM.
    pub(super) fn stop(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGSTOP.
    pub(super) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(super) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Whether the process is there; one that has ended is forgotten.
    pub(super) fn is_running(&mut self) -> bool {
        let running = match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => false,
        };
        if !running {
            self.child = None;
        }
        running
    }

    /// Removes all that it has on the disk.
    pub(super) fn wipe(&mut self) -> io::Result<()> {
        self.kill();
        match std::fs::remove_dir_all(&self.data) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A client that asks this node alone.
    pub(super) fn client(&self) -> Client {
        client([self.http])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that asks these nodes.
pub(super) fn client(servers: impl IntoIterator<Item = SocketAddr>) -> Client {
    let servers = servers.into_iter().map(|address| address.to_string());
    let config = ClientConfig::new(servers).with_timeout(super::ASK);
    Client::new(config).expect("socket addresses are server addresses")
}

/// Nodes `node-1`… that list the first `members` of each other, not started; their ports are free for
/// as long as what comes with them is held.
pub(super) fn nodes(
    directory: &Path,
    program: &Path,
    [members, all]: [u16; 2],
    arguments: &[String],
) -> Result<(Vec<Node>, TcpListener), TortureError> {
    let (base, claim) = ports(all)?;
    let address = |at: u16| SocketAddr::from(([127, 0, 0, 1], base + at));
    let join: Vec<String> = (0..members).map(|at| address(at).to_string()).collect();
    let arguments: Vec<String> = ["--join".to_owned(), join.join(",")]
        .into_iter()
        .chain(arguments.iter().cloned())
        .collect();
    let node = |at: u16| {
        let id = format!("node-{}", at + 1);
        Node {
            http: address(at),
            data: directory.join(&id),
            log: directory.join(format!("{id}.log")),
            program: program.to_owned(),
            arguments: arguments.clone(),
            child: None,
            id,
        }
    };
    Ok(((0..all).map(node).collect(), claim))
}

/// Neighbouring ports that are free, with those of their peers, and this process's for as long as
/// the claim is held.
fn ports(count: u16) -> Result<(u16, TcpListener), TortureError> {
    let slots = PORTS / SLOT;
    let begin = u16::try_from(std::process::id() % u32::from(slots)).unwrap_or(0);
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    for offset in 0..slots {
        let slot = (begin + offset) % slots;
        let base = FIRST_PORT + slot * SLOT;
        // Runs side by side see each other by it, also while a node is down or has not joined yet.
        let Some(claim) = bind(FIRST_PORT + 2 * PEER_OFFSET + slot) else {
            continue;
        };
        let mut all = (base..base + count.min(SLOT)).flat_map(|port| [port, port + PEER_OFFSET]);
        if all.all(|port| bind(port).is_some()) {
            return Ok((base, claim));
        }
    }
    Err(TortureError::Ports {
        count,
        first: FIRST_PORT,
    })
}
