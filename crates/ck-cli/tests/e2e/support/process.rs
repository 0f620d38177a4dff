//! `ck` processes: what they print is kept, and they die with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wait_for;

/// A `ck` command with a clean environment.
pub(crate) fn ck() -> Command {
    ck_by(&[])
}

/// The same, started by another program.
pub(crate) fn ck_by(starter: &[&str]) -> Command {
    let mut line = starter.iter().copied().chain([env!("CARGO_BIN_EXE_ck")]);
    let mut command = Command::new(line.next().expect("it has ck at least"));
    command.args(line);
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("CK_"));
        if ours
            || ["NODE_ID", "HTTP_ADDR", "KNOWN_NODES"]
                .iter()
                .any(|other| name == *other)
        {
            command.env_remove(&name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Most time a command may take that is to end by itself.
const COMMAND_BOUND: Duration = Duration::from_secs(60);

/// Runs `ck` to its end with `input` on standard input.
#[track_caller]
pub(crate) fn run_with(args: &[&str], input: &[u8]) -> Output {
    let mut command = ck();
    command.args(args);
    output_of(command, input)
}

/// Runs a command to its end with `input` on standard input.
#[track_caller]
pub(crate) fn output_of(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ck starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // A command may well end without reading all of it.
    std::thread::spawn(move || stdin.write_all(&input));
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            break status;
        }
        if begun.elapsed() > COMMAND_BOUND {
            child.kill().expect("it can be killed");
            child.wait().expect("it can be waited for");
            let said = String::from_utf8_lossy(&stderr.join().expect("it is read")).into_owned();
            panic!("{command:?} did not end within {COMMAND_BOUND:?}: {said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let stdout = stdout.join().expect("it is read");
    let stderr = stderr.join().expect("it is read");
    Output {
        status,
        stdout,
        stderr,
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("a pipe can be read");
        all
    })
}

/// Runs `ck` to its end.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Output {
    run_with(args, b"")
}

/// What a command has said on standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON of a command that succeeds.
#[track_caller]
pub(crate) fn json(args: &[&str]) -> serde_json::Value {
    let output = run(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A process that runs on beside the test.
pub(crate) struct Process {
    child: Child,
    printed: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = Arc::new(Mutex::new(String::new()));
        let stdout = keep(child.stdout.take().expect("stdout is a pipe"), &printed);
        let stderr = keep(child.stderr.take().expect("stderr is a pipe"), &printed);
        Self {
            child,
            printed,
            readers: vec![stdout, stderr],
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far, on both streams.
    pub(crate) fn printed(&self) -> String {
        self.printed.lock().expect("no reader panicked").clone()
    }

    /// Waits until it has printed `text`.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str, bound: Duration) {
        let begun = Instant::now();
        while !self.printed().contains(text) {
            let left = bound.saturating_sub(begun.elapsed());
            assert!(
                !left.is_zero(),
                "did not print {text:?} in {bound:?}:\n{}",
                self.printed()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL: no chance to say goodbye.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status();
        assert!(
            sent.expect("kill runs").success(),
            "{name} to {}",
            self.pid()
        );
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Waits until it has ended and everything it printed is kept.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self, bound: Duration) -> ExitStatus {
        let Self { child, printed, .. } = self;
        let what = || format!("the process ends; it printed:\n{}", printed.lock().unwrap());
        let status = wait_for(&what(), bound, || {
            child.try_wait().expect("it can be asked")
        });
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panicked");
        }
        status
    }

    /// Its standard input, when it was given a pipe.
    pub(crate) fn take_stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- process {} printed:\n{}", self.pid(), self.printed());
        }
    }
}

fn keep(stream: impl Read + Send + 'static, printed: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let printed = Arc::clone(printed);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            printed
                .lock()
                .expect("no reader panicked")
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// Whether a process of that number is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    std::fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") Z "))
}
