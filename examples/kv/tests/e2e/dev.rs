//! The one command of the README, and the session after it, as somebody types them.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{BOUND, Place, ports, request, wait_for};

const README: &str = include_str!("../../README.md");

/// What the README shows next, at the ports of this test.
fn session(base: u16) {
    let block = README.split("```sh\n").nth(2).expect("a session");
    let mut lines = block.split("```").next().expect("an end of it").to_owned();
    for at in 0..3 {
        let shown = format!(":{}", 8_080 + at);
        assert!(lines.contains(&shown), "{lines}");
        lines = lines.replace(&shown, &format!(":{}", base + at));
    }
    // A refusal is an answer to curl, unless it is told otherwise.
    let lines = lines.replace("curl ", "curl -sS --fail ");
    let shell = Command::new("sh").args(["-ec", &lines]).output().unwrap();
    let said = String::from_utf8_lossy(&shell.stderr);
    assert!(shell.status.success(), "{lines}: {said}");
    assert_eq!(shell.stdout, b"hello");
}

#[test]
fn one_command_starts_three_nodes_and_stops_them() {
    let _place = Place::take();
    let directory = tempfile::tempdir().unwrap();
    let base = ports::block(3);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ck-kv"))
        .args(["dev", "--http-base", &base.to_string(), "--data"])
        .arg(directory.path())
        .args(["--", "--partitions", "4"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let node = |at: u16| SocketAddr::from(([127, 0, 0, 1], base + at));
    let bound = Duration::from_secs(15);
    wait_for("a value is written", BOUND, || {
        let put = request(node(0), "PUT", "/kv/greeting", &[], b"hello", bound);
        put.ok().filter(|reply| reply.status == 204)
    });
    session(base);
    let found = request(node(2), "GET", "/kv/greeting", &[], b"", bound).unwrap();
    assert_eq!(found.body, b"bye");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(sent.unwrap().success());
    let status = wait_for("it stops", BOUND, || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    for at in 0..3 {
        assert!(request(node(at), "GET", "/health", &[], b"", bound).is_err());
    }
}
