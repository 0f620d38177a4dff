//! Nodes in network namespaces of their own, joined by a switch that is told what to lose.
//!
//! Everything is inside those namespaces, the test's own end included: no device, address or route
//! of the machine is touched. Made by the test, and removed however it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::compiled;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The namespaces and the switch between them. End 1 is the test's, node n has end n + 1.
pub(crate) struct Net {
    names: Vec<String>,
    switch: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _directory: TempDir,
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let told = Command::new("ip").args(arguments).output();
    let told = told.map_err(|error| format!("ip: {error}"))?;
    if told.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    Err(format!("ip {arguments:?}: {said}"))
}

/// Namespaces that are removed unless they came to belong to a [`Net`].
struct Names(Vec<String>);

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

impl Net {
    /// Lays it out; the reason when this machine has no means.
    fn lay(nodes: usize) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let program = compiled(directory.path(), "switch");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut names = Names(Vec::new());
        for end in 0..=nodes {
            let name = format!("ck-{}-{number}-{end}", std::process::id());
            ip(&["netns", "add", &name])?;
            names.0.push(name);
        }
        let mut switch = Command::new(program)
            .args(&names.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let orders = switch.stdin.take().expect("stdin is a pipe");
        let mut answers = BufReader::new(switch.stdout.take().expect("stdout is a pipe"));
        let mut ready = String::new();
        let heard = answers.read_line(&mut ready);
        if heard.is_err() || ready != "ok\n" {
            let said = switch.wait_with_output().map(|output| output.stderr);
            let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
            return Err(format!("no device: {said}"));
        }
        let net = Self {
            names: std::mem::take(&mut names.0),
            switch,
            orders,
            answers,
            _directory: directory,
        };
        for (end, name) in net.names.iter().enumerate() {
            let address = format!("{}/24", net.address(end));
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "addr", "add", &address, "dev", "ck0"])?;
            ip(&["-n", name, "link", "set", "ck0", "up"])?;
        }
        Ok(net)
    }

    fn address(&self, end: usize) -> std::net::Ipv4Addr {
        let last = u8::try_from(end + 1).expect("few ends");
        std::net::Ipv4Addr::new(10, 213, 0, last)
    }

    /// Where a node, from 0, listens for HTTP.
    pub(crate) fn http(&self, node: usize) -> SocketAddr {
        SocketAddr::from((self.address(node + 1), 8080))
    }

    /// The namespace of a node, from 0.
    pub(crate) fn namespace(&self, node: usize) -> String {
        self.names[node + 1].clone()
    }

    /// Moves this thread, and what it starts, to the test's end.
    fn enter(&self) {
        let path = Path::new("/var/run/netns").join(&self.names[0]);
        let space = std::fs::File::open(path).expect("it was made");
        nix::sched::setns(space, nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
    }

    #[track_caller]
    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("the switch runs");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the switch runs");
        assert_eq!(answer, "ok\n", "{line}");
    }

    /// From now on nothing that node `from` sends reaches node `to`; both count from 0.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.order(&format!("cut {} {}", from + 2, to + 2));
    }

    /// Delay in milliseconds, plus or minus, and permille lost, between all nodes.
    pub(crate) fn weather(&mut self, delay: u32, jitter: u32, lost: u32) {
        self.order(&format!("weather {delay} {jitter} {lost}"));
    }

    /// All is well again.
    pub(crate) fn heal(&mut self) {
        self.order("heal");
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.switch.kill();
        let _ = self.switch.wait();
        drop(Names(std::mem::take(&mut self.names)));
    }
}

/// Runs a test in a network for `nodes` nodes, or says why it cannot.
pub(crate) fn in_namespaces(nodes: usize, test: impl FnOnce(Net) + Send) {
    let net = match Net::lay(nodes) {
        Ok(net) => net,
        Err(reason) => {
            eprintln!("skipped, no network namespaces here: {reason}");
            return;
        }
    };
    // A thread of its own, since it moves to another namespace and the next test must not.
    std::thread::scope(|scope| {
        let run = scope.spawn(move || {
            net.enter();
            test(net);
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
