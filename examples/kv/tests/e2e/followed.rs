//! Clients that follow a server, in Rust and in Python, against real processes: one is killed.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use ck_client::http::Request;
use ck_client::{Router, RouterConfig};
use ck_node::PartitionId;

use crate::support::{BOUND, Cluster, wait_for};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/tests");

const PARTITIONS: u32 = 16;

/// The client in Python, which writes and reads until it has seen a kill.
struct Python {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Python {
    /// None where there is no Python that the client is written for.
    fn start(servers: &[String]) -> Option<Self> {
        let version = ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"];
        let found = Command::new("python3").args(version).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no python3 of 3.9 or later");
            return None;
        }
        let mut child = Command::new("python3")
            .arg(Path::new(FOLDER).join("live.py"))
            .args(servers)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let mut python = Self {
            child,
            input,
            lines: BufReader::new(output).lines(),
        };
        assert_eq!(python.line(), "serving");
        Some(python)
    }

    fn line(&mut self) -> String {
        let line = self.lines.next();
        line.and_then(Result::ok).unwrap_or_default()
    }

    /// It gets on, and its look-ups are what that server says.
    fn goes_on(mut self, server: &str) {
        writeln!(self.input, "{server}").expect("it reads");
        let done = self.line();
        let status = wait_for("the client ends", BOUND, || {
            self.child.try_wait().expect("it can be asked")
        });
        assert!(
            status.success() && done.starts_with("done"),
            "{status}: {done}"
        );
    }
}

#[test]
fn clients_that_follow_get_on_when_the_server_they_follow_is_killed() {
    let flags = ["--profile", "fast", "--partitions", "16"];
    let mut cluster = Cluster::ready(3, &flags);
    let servers: Vec<_> = cluster
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut config = RouterConfig::new(servers.iter().cloned());
    // What it learns, it is told.
    config.refresh_every = Duration::from_secs(3600);
    let config = config.with_timeout(Duration::from_secs(30));
    let router = runtime.block_on(Router::connect(config)).expect("a table");
    let followed = || router.status().and_then(|status| status.following);
    let first = wait_for("a server is followed", BOUND, followed);
    let python = Python::start(&servers);

    let killed = servers.iter().position(|server| *server == first);
    let killed = killed.expect("one of them");
    let id = cluster.nodes[killed].id.clone();
    let before = router.status().expect("a table").version;
    cluster.nodes[killed].kill();
    let is_elsewhere = |at: u32| {
        let route = router.route_of(PartitionId(at));
        route.is_some_and(|route| route.primary().is_some_and(|node| node.id() != id))
    };
    wait_for("every role is elsewhere", BOUND, || {
        (0..PARTITIONS).all(is_elsewhere).then_some(())
    });
    assert_ne!(followed().as_ref(), Some(&first));
    let figures = router.figures();
    assert!(figures.streams >= 2 && figures.changes >= 1, "{figures:?}");
    assert_eq!((figures.requests, figures.refreshes), (0, 1), "{figures:?}");
    assert!(router.status().expect("a table").version > before);
    for number in 0..PARTITIONS {
        let key = format!("followed-{number}");
        let put = Request::put(format!("/kv/{key}"))
            .body("v".into())
            .expect("a path");
        let sent = runtime.block_on(router.send(key.as_bytes(), put));
        assert_eq!(sent.expect("it is written").status(), 204);
    }
    if let Some(python) = python {
        python.goes_on(&servers[(killed + 1) % 3]);
    }
}
