//! The program against a service of one map behind one fake node.
#![allow(missing_docs, reason = "tests, nothing to call")]

#[path = "support/relay.rs"]
mod relay;
mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ck_sim::history::{Limits, check};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relay::Relay;
use serde_json::Value;
use support::truth::{Planted, Truth};

/// One fake node and what is behind it.
struct Service {
    http: SocketAddr,
    node: Child,
    _data: tempfile::TempDir,
    _truth: Truth,
}

impl Service {
    fn start(planted: Planted) -> Self {
        let truth = Truth::new(planted);
        let data = tempfile::tempdir().unwrap();
        let http = free();
        let node = Command::new(env!("CARGO_BIN_EXE_fake-kv"))
            .args(["--id", "node-1", "--http", &http.to_string(), "--data"])
            .arg(data.path())
            .env("FAKE_KV", truth.control.to_string())
            .spawn()
            .unwrap();
        let due = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(http).is_err() {
            assert!(Instant::now() < due, "the fake node does not listen");
            std::thread::yield_now();
        }
        Self {
            http,
            node,
            _data: data,
            _truth: truth,
        }
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.node.id()).unwrap()),
            signal,
        )
        .unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.node.kill().unwrap();
        self.node.wait().unwrap();
    }
}

/// An address nobody listens at.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn load(http: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ck-load"));
    command
        .args(["--servers", &http.to_string(), "--warmup", "100ms"])
        .args(flags);
    command
}

#[track_caller]
fn ends(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{errors}");
    (out, errors)
}

#[track_caller]
fn figures(output: &Output) -> Value {
    serde_json::from_str(&ends(output, 0).0).unwrap()
}

#[test]
fn a_history_of_a_service_that_does_right_is_right() {
    let service = Service::start(Planted::Nothing);
    let folder = tempfile::tempdir().unwrap();
    let [history, picture] = ["h.jsonl", "p.svg"].map(|name| folder.path().join(name));
    let mut command = load(
        service.http,
        &[
            "--json",
            "--marks",
            "--clients",
            "8",
            "--keys",
            "16",
            "--duration",
            "2s",
        ],
    );
    let mix = ["--mix", "get:4,put:3,delete:1,cas:2"];
    command
        .args(mix)
        .arg("--history")
        .arg(&history)
        .arg("--plot")
        .arg(&picture);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut marks = child.stdin.take().unwrap();
    let marking = std::thread::spawn(move || {
        // The first is read before the run begins, or during its warm-up; one of the others is not.
        for number in 0..15 {
            std::thread::sleep(Duration::from_millis(100));
            writeln!(marks, "mark {number}").unwrap();
        }
    });
    let figures = figures(&child.wait_with_output().unwrap());
    marking.join().unwrap();
    let kinds = figures["latencies"].as_array().unwrap();
    let names: Vec<&str> = kinds
        .iter()
        .map(|kind| kind["operation"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["get", "put", "delete", "cas", "all"]);
    let count = |kind: &Value| kind["served"].as_u64().unwrap();
    let sum: u64 = kinds[..4].iter().map(count).sum();
    assert_eq!(
        (sum, sum),
        (count(&kinds[4]), figures["served"].as_u64().unwrap())
    );
    let report = checked(&history);
    assert_eq!(
        (report.found, report.undecided.len()),
        (0, 0),
        "{:?}",
        report.problems
    );
    // Also what was done in the warm-up and before.
    assert!(report.operations > sum, "{} {sum}", report.operations);
    assert_eq!(report.keys, 16);
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.contains(">mark 1"), "{picture}");
}

fn checked(history: &Path) -> ck_sim::history::Report {
    let file = std::fs::read(history).unwrap();
    check(&file[..], Limits::default()).unwrap()
}

#[test]
fn a_history_of_a_service_that_loses_writes_says_so() {
    let service = Service::start(Planted::LostWrite);
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("h.jsonl");
    let mut command = load(
        service.http,
        &[
            "--clients",
            "8",
            "--keys",
            "16",
            "--duration",
            "1s",
            "--mix",
            "get:1,put:1",
        ],
    );
    ends(&command.arg("--history").arg(&history).output().unwrap(), 0);
    let report = checked(&history);
    assert!(report.lost_writes > 0, "{report:?}");
}

#[test]
fn at_a_rate_a_stall_is_felt_by_all_that_were_due_in_it() {
    let service = Service::start(Planted::Nothing);
    let flags = [
        "--json",
        "--clients",
        "16",
        "--keys",
        "100",
        "--duration",
        "3s",
    ];
    let at_rate = load(service.http, &flags)
        .args(["--rate", "500"])
        .stdout(Stdio::piped())
        .spawn();
    stall(&service);
    let at_rate = figures(&at_rate.unwrap().wait_with_output().unwrap());
    let closed = load(service.http, &flags).stdout(Stdio::piped()).spawn();
    stall(&service);
    let closed = figures(&closed.unwrap().wait_with_output().unwrap());
    // A stall of a second, a third of the run: a third of the operations were due in it.
    assert_eq!(
        at_rate["served"].as_u64().unwrap() + at_rate["left"].as_u64().unwrap(),
        1_500
    );
    assert_eq!(at_rate["left"], 0);
    let p = |figures: &Value, name: &str| {
        let all = figures["latencies"].as_array().unwrap().last().unwrap();
        all[name].as_f64().unwrap()
    };
    assert!(p(&at_rate, "p90_us") > 400_000.0, "{at_rate}");
    // Of the clients that wait for each other only as many as there are feel it.
    assert!(p(&closed, "p90_us") < 100_000.0, "{closed}");
    assert!(
        closed["longest_gap_ms"].as_u64().unwrap() >= 800,
        "{closed}"
    );
}

/// Stops the node for a second, a second after now.
fn stall(service: &Service) {
    std::thread::sleep(Duration::from_secs(1));
    service.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(1));
    service.signal(Signal::SIGCONT);
}

#[test]
fn nobody_there_is_a_failure_in_which_nothing_was_sent() {
    let (out, errors) = ends(
        &load(free(), &["--duration", "500ms", "--no-preload", "--json"])
            .output()
            .unwrap(),
        1,
    );
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&figures["served"], &figures["unknown"]),
        (&0.into(), &0.into())
    );
    assert!(figures["not_sent"].as_u64().unwrap() > 0);
    assert!(errors.contains("nothing was served"), "{errors}");
    let (_, errors) = ends(&load(free(), &["--keys", "1"]).output().unwrap(), 1);
    assert!(
        errors.contains("key number 0 could not be written in 50 attempts"),
        "{errors}"
    );
}

#[test]
fn plans_that_prove_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("h.jsonl");
    let history = history.to_str().unwrap();
    for (flags, words) in [
        (
            &["--value-bytes", "8", "--history", history][..],
            "too small to be told apart",
        ),
        (
            &["--consistency", "stale", "--history", history],
            "proves nothing",
        ),
        (&["--target", "etcd", "--mix", "cas:1"], "etcd"),
        (&["--clients", "0"], "clients is 0"),
        (&["--rate", "0"], "rate is 0"),
        (&["--value-bytes", "8388609"], "value size is 8388609"),
        (&["--mix", "get"], "no mix"),
        (&["--duration", "10"], "no time"),
    ] {
        let (_, errors) = ends(&load(free(), flags).output().unwrap(), 2);
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn a_service_is_asked_over_tls_with_a_token() {
    let service = Service::start(Planted::Nothing);
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path(), service.http);
    let run = |server: String, files: &[(&str, &Path)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ck-load"));
        let flags = [
            "--warmup",
            "0ms",
            "--duration",
            "300ms",
            "--no-preload",
            "--json",
        ];
        command.args(["--servers", &server]).args(flags);
        for (flag, file) in files {
            command.arg(flag).arg(file);
        }
        command.output().unwrap()
    };
    let named = format!("localhost:{}", relay.http.port());
    let both = [
        ("--ca", &*relay.authority),
        ("--token-file", &*relay.tokens),
    ];
    let report = figures(&run(named.clone(), &both));
    assert!(report["served"].as_u64().unwrap() > 0, "{report}");
    // Its certificate is for the name, and for no address.
    for (server, files) in [
        (named.clone(), &both[..1]),
        (named.clone(), &both[1..]),
        (relay.http.to_string(), &both),
    ] {
        let (_, errors) = ends(&run(server, files), 1);
        assert!(errors.contains("nothing was served"), "{errors}");
    }
    for (server, files) in [
        (format!("http://{named}"), &both[..]),
        (format!("https://{named}"), &[]),
    ] {
        let (_, errors) = ends(&run(server, files), 1);
        assert!(errors.contains("--ca FILE"), "{errors}");
    }
}
