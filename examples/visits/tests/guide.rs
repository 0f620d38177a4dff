//! `docs/embed.md`, followed to the letter: its code is the code compiled here, its commands are typed
//! and what they print is compared. Only ports are others, free ones, and programs are built already.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const GUIDE: &str = include_str!("../../../docs/embed.md");

/// Most time anything may take on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

/// The blocks of the guide fenced as `language`, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let rest = GUIDE.split(fence.as_str()).skip(1);
    rest.map(|rest| rest.split_once("\n```").expect("a block ends").0)
        .collect()
}

#[test]
fn the_guide_shows_the_compiled_code() {
    let shown = blocks("rust");
    let compiled = [
        include_str!("../src/main.rs"),
        include_str!("../src/bin/visit.rs"),
    ];
    assert_eq!(shown.len(), compiled.len());
    for (shown, compiled) in shown.iter().zip(compiled) {
        assert_eq!(shown.trim_end(), compiled.trim_end());
    }
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = compiled[0].lines().filter(is_code).count();
    assert!(lines <= 60, "{lines} lines of code; the guide says 60");
}

#[test]
fn what_the_guide_adds_is_what_the_package_depends_on() {
    let added: BTreeSet<&str> = blocks("sh")[0]
        .lines()
        .filter_map(|line| line.strip_prefix("cargo add ")?.split(' ').next())
        .collect();
    let manifest = include_str!("../Cargo.toml");
    let (_, rest) = manifest.split_once("[dependencies]\n").unwrap();
    let own = rest.split("\n\n").next().unwrap();
    let own: BTreeSet<&str> = own
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(added, own);
}

/// Three consecutive ports that are free, and their peer ports 2,000 above, outside the range from
/// which the system takes ports of its own.
fn ports() -> u16 {
    let begin = u16::try_from(std::process::id() % 300).unwrap();
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..300)
        .map(|step| 29_000 + (begin + step) % 300 * 3)
        .find(|base| (0..3).all(|at| free(base + at) && free(base + at + 2000)))
        .expect("three free ports")
}

/// A terminal in which a node runs.
struct Terminal {
    child: Child,
    lines: Receiver<String>,
}

impl Terminal {
    fn open(line: &str, directory: &Path) -> Self {
        let mut child = shell(line, directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that holds `text`.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let left = BOUND.saturating_sub(begun.elapsed());
            let line = self.lines.recv_timeout(left);
            if line.expect(text).contains(text) {
                return;
            }
        }
    }

    /// Ctrl-C.
    fn interrupt(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        self.wait_for("has stopped; stays a member");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shell(line: &str, directory: &Path) -> Command {
    let mut shell = Command::new("sh");
    // The node is the child itself, so that a signal reaches it.
    shell
        .args(["-c", &format!("exec {line}")])
        .current_dir(directory)
        .stdin(Stdio::null());
    for name in ["NODE_ID", "HTTP_ADDR", "KNOWN_NODES"] {
        shell.env_remove(name);
    }
    shell
}

/// A line of the guide with the ports and programs of this test.
fn typed(line: &str, base: u16) -> String {
    let mut line = line
        .replace("cargo run --bin visit --", env!("CARGO_BIN_EXE_visit"))
        .replace("cargo run --", env!("CARGO_BIN_EXE_visits"));
    for at in 0..3 {
        line = line.replace(&format!(":{}", 8081 + at), &format!(":{}", base + at));
    }
    line
}

/// Whether `text` is the line of the guide, where `…` stands for anything.
fn matches(shown: &str, text: &str) -> bool {
    let mut rest = text;
    let parts: Vec<&str> = shown.split('…').collect();
    for (at, part) in parts.iter().enumerate() {
        let Some(found) = rest.find(part).filter(|found| at > 0 || *found == 0) else {
            return false;
        };
        rest = &rest[found + part.len()..];
    }
    rest.is_empty()
        || parts
            .last()
            .is_some_and(|last| last.is_empty() || text.ends_with(last))
}

/// Types the commands of a console block, and compares what they print.
#[track_caller]
fn type_in(block: &str, base: u16, directory: &Path) {
    for step in block.split("$ ").skip(1) {
        let (line, shown) = step.split_once('\n').unwrap_or((step, ""));
        let output = shell(&typed(line, base), directory).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let same = printed.trim_end().lines().count() == shown.trim_end().lines().count();
        let pairs = shown.lines().zip(printed.lines());
        for (shown, printed) in pairs {
            assert!(
                matches(shown, printed),
                "{line}: {printed}\nnot as shown: {shown}"
            );
        }
        assert!(same, "{line}: {printed}{errors}\nnot as shown: {shown}");
    }
}

#[test]
fn the_guide_does_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let base = ports();
    let commands = blocks("sh")[1];
    let mut nodes: Vec<_> = commands
        .lines()
        .map(|line| Terminal::open(&typed(line, base), directory.path()))
        .collect();
    assert_eq!(nodes.len(), 3);
    for node in &nodes {
        node.wait_for("is ready: 3 nodes, 64 partitions");
    }
    let consoles = blocks("console");
    let [look, count, count_on] = consoles[..] else {
        panic!("three console blocks: {consoles:?}");
    };
    type_in(look, base, directory.path());
    type_in(count, base, directory.path());
    let whose = format!("curl -s 'http://127.0.0.1:{base}/partitions/key?key=alice'");
    let answer = shell(&whose, directory.path()).output().unwrap().stdout;
    let answer = String::from_utf8(answer).unwrap();
    let (_, rest) = answer.split_once("\"primary_node\":\"node-").unwrap();
    let number: usize = rest[..1].parse().unwrap();
    nodes[number - 1].interrupt();
    type_in(count_on, base, directory.path());
}
