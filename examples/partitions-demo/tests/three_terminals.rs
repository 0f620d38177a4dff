//! The three terminals of the guide, as processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Most time the three may take on a loaded machine.
const BOUND: Duration = Duration::from_secs(30);

struct Terminal {
    child: Child,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Terminal {
    fn open(id: &str, port: u16, known: &str, data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_partitions-demo"))
            .env("NODE_ID", id)
            .env("HTTP_ADDR", format!(":{port}"))
            .env("KNOWN_NODES", known)
            .env("DATA_DIR", data.join(id))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            printed: Vec::new(),
        }
    }

    /// Waits for a line that holds `text`.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.printed.iter().any(|line| line.contains(text)) {
            let left = BOUND.saturating_sub(begun.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.printed.push(line),
                Err(_) => panic!("no line with {text:?}:\n{}", self.printed.join("\n")),
            }
        }
    }

    /// The lines about keys: each key, its partition, its owners.
    fn owners(&self) -> Vec<&str> {
        let of_a_key = |line: &&String| line.contains(" primary node-");
        self.printed
            .iter()
            .filter(of_a_key)
            .map(|line| line.trim())
            .collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three HTTP ports that are free, and their peer ports 2,000 above, outside the range from which
/// the system takes ports of its own.
fn ports() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Tests of one process begin far from each other.
    let taken = TAKEN.fetch_add(100, Ordering::Relaxed);
    let begin = u16::try_from(std::process::id() % 500).unwrap() + taken;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free = |base: &u16| (0..3).all(|at| free(base + at) && free(base + at + 2000));
    (0..500)
        .map(|step| 25_000 + (begin + step) % 500 * 3)
        .find(all_free)
        .expect("three free ports")
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn three_terminals_agree_on_who_owns_what() {
    let data = tempfile::tempdir().unwrap();
    let base = ports();
    let known = format!("localhost:{base}");
    let mut terminals = vec![Terminal::open("node-1", base, "", data.path())];
    terminals[0].wait_for("waiting for 3 nodes");
    for (at, id) in [(1, "node-2"), (2, "node-3")] {
        terminals.push(Terminal::open(id, base + at, &known, data.path()));
    }
    for terminal in &mut terminals {
        terminal.wait_for("Ctrl-C stops this node");
    }
    let owners = terminals[0].owners();
    assert_eq!(owners.len(), 4, "{owners:?}");
    assert!(owners[0].starts_with("user:1001"), "{owners:?}");
    for terminal in &terminals {
        assert_eq!(terminal.owners(), owners);
        assert!(
            terminal
                .printed
                .iter()
                .any(|line| line.ends_with("16 partitions"))
        );
    }
    for at in 0..3 {
        let stats = get(base + at, "/partitions/stats");
        assert!(stats.starts_with("HTTP/1.1 200"), "{stats}");
        assert!(stats.contains("\"total_partitions\":16"), "{stats}");
    }
    // Three to eight primaries a node of 16 on three.
    for terminal in &terminals {
        let line = terminal
            .printed
            .iter()
            .find(|line| line.contains("primary of"))
            .unwrap();
        let count: u32 = line.split(' ').nth(3).unwrap().parse().unwrap();
        assert!((3..=8).contains(&count), "{line}");
    }
    // A node that is killed comes back under its id, with its data.
    terminals.remove(1);
    let mut again = Terminal::open("node-2", base + 1, &known, data.path());
    again.wait_for("Ctrl-C stops this node");
    assert_eq!(again.owners(), terminals[0].owners());
}

/// Waits for the end of a process; its exit code.
#[track_caller]
fn code(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < BOUND, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_interrupt_is_enough_while_it_waits() {
    let data = tempfile::tempdir().unwrap();
    let base = ports();
    let known = format!(":{base},:{}", base + 1);
    let mut alone = Terminal::open("node-1", base, &known, data.path());
    alone.wait_for("waiting for 3 nodes");
    let pid = alone.child.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(sent.unwrap().success());
    assert_eq!(code(&mut alone.child), Some(0));
}

#[test]
fn what_goes_wrong_is_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_partitions-demo"))
        .env_remove("NODE_ID")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: set NODE_ID, such as node-1\n");
}
