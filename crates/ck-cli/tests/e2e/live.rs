//! `ck watch` and `ck top`: a live cluster as it changes.

use std::time::Duration;

use serde_json::Value;

use crate::support::{BOUND, Cluster, Process, Server, Terminal, ck, run, wait_for};

/// The events a `ck watch --json` has printed whole.
fn events(process: &Process) -> Vec<Value> {
    let printed = process.printed();
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn watching(cluster: &Cluster, args: &[&str]) -> Process {
    let mut command = ck();
    command
        .args(["watch", "--server", &cluster.addresses()])
        .args(args);
    Process::start(command)
}

/// A figure of a node, without labels.
#[track_caller]
fn figure(server: &Server, name: &str) -> f64 {
    let text = server.get("/v1/metrics").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("{name} is not in {text}"));
    value.parse().expect("a number")
}

#[test]
fn a_cluster_is_watched_while_a_node_is_lost() {
    let mut cluster = Cluster::ready(3, &[]);
    let addresses = cluster.addresses();
    let words = watching(&cluster, &[]);
    let json = watching(&cluster, &["--json"]);
    words.wait_for_text("64 partitions, 3 nodes", BOUND);
    let first = wait_for("the table", BOUND, || events(&json).first().cloned());
    assert_eq!(
        (&first["event"], &first["rows"][63]["state"]),
        (&"table".into(), &"stable".into())
    );
    let from = format!("{}.{}", first["incarnation"], first["version"]);

    let by_signal = Terminal::start(&["top", "--server", &addresses]);
    let by_key = Terminal::start(&["top", "--server", &addresses]);
    for terminal in [&by_signal, &by_key] {
        terminal.wait_for_text("node-3");
        // Blanks are jumped over, not written.
        terminal.wait_for_text("stable");
        assert!(terminal.is_raw());
    }
    let pid = by_signal.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status();
    assert!(told.expect("kill runs").success());
    by_signal.wait_for_clean_end();

    // Counted from the first scrape on.
    assert_eq!(
        figure(&cluster.servers[1], "clusterkit_failovers_total"),
        0.0
    );
    // The one that all of them follow goes: the next one tells of it.
    cluster.servers[0].kill();
    for process in [&words, &json] {
        process.wait_for_text("node-1 is down", BOUND);
    }
    words.wait_for_text("going on from there", BOUND);
    wait_for("the failovers are counted", BOUND, || {
        (figure(&cluster.servers[1], "clusterkit_failovers_total") > 1.0).then_some(())
    });
    assert!(figure(&cluster.servers[1], "clusterkit_lease_remaining_seconds") > 0.0);
    by_key.wait_for_text("node-down");
    by_key.types("q");
    by_key.wait_for_clean_end();

    // What was told twice or left out between the two would not add up.
    let told = events(&json);
    let whole = told.iter().filter(|one| one["event"] == "table").count();
    assert_eq!(
        whole, 1,
        "the next server was not followed from what was known"
    );
    let mut at = first["version"].as_u64().unwrap();
    for delta in told.iter().filter(|one| one["event"] == "delta") {
        let (from, version) = (
            delta["from"].as_u64().unwrap(),
            delta["version"].as_u64().unwrap(),
        );
        assert!(from <= at && at < version, "{at}: {delta}");
        at = version;
    }
    let later = run(&[
        "watch", "--server", &addresses, "--from", &from, "--for", "1s",
    ]);
    let said = String::from_utf8_lossy(&later.stdout).into_owned();
    assert_eq!(later.status.code(), Some(0), "{said}");
    assert!(
        said.contains("delta") && said.contains("node-1 is down"),
        "{said}"
    );
    assert!(!said.contains("table "), "{said}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    for (args, code) in [
        (&["watch", "--from", "1.x"][..], 2),
        (&["watch", "--server", "127.0.0.1:1", "--timeout", "2s"], 3),
        // No terminal.
        (&["top", "--server", "127.0.0.1:1"], 2),
        (&["top", "--json"], 2),
    ] {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    let beyond = Duration::from_secs(60);
    let terminal = Terminal::start(&["top", "--server", "127.0.0.1:1", "--timeout", "2s"]);
    wait_for("it says that nobody is there", beyond, || {
        terminal.shown().contains("no server answers").then_some(())
    });
    assert!(
        !terminal.shown().contains("\u{1b}[?1049h"),
        "the screen was taken for nothing"
    );
}
