//! The client in Python against real processes, one of which is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{BOUND, Cluster, wait_for};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/tests");

/// Whether there is a Python that the client is written for.
fn has_python() -> bool {
    let version = ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"];
    let found = Command::new("python3").args(version).status();
    found.is_ok_and(|status| status.success())
}

#[test]
fn a_client_in_python_gets_on_through_a_kill() {
    if !has_python() {
        eprintln!("skipped: there is no python3 of 3.9 or later");
        return;
    }
    let mut cluster = Cluster::ready(3, &["--profile", "fast", "--partitions", "16"]);
    let servers: Vec<_> = cluster
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut client = Command::new("python3")
        .arg(Path::new(FOLDER).join("live.py"))
        .args(&servers)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut lines = BufReader::new(client.stdout.take().expect("it is piped")).lines();
    let mut line = || lines.next().and_then(Result::ok).unwrap_or_default();
    assert_eq!(line(), "serving");
    let (_, primary) = cluster.primary_of("python-0");
    cluster.nodes[primary].kill();
    let left = &servers[(primary + 1) % 3];
    let mut input = client.stdin.take().expect("it is piped");
    writeln!(input, "{left}").expect("it reads");
    let done = line();
    let status = wait_for("the client ends", BOUND, || {
        client.try_wait().expect("it can be asked")
    });
    assert!(
        status.success() && done.starts_with("done"),
        "{status}: {done}"
    );
}
