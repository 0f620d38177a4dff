//! `ck dev`: three real nodes, one command.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::support::Terminal;
use crate::support::{BOUND, Process, ck, is_alive, ports, request, run, wait_for};

/// A cluster of `ck dev`, ready.
struct Dev {
    process: Process,
    ready: Value,
}

impl Dev {
    fn start(flags: &[&str]) -> Self {
        Self::start_at(ports::block(3), flags)
    }

    fn start_at(base: u16, flags: &[&str]) -> Self {
        let base = base.to_string();
        let mut command = ck();
        command
            .args(["dev", "--json", "--http-base", &base])
            .args(flags);
        let process = Process::start(command);
        process.wait_for_text("\"ready_ms\"", BOUND);
        let printed = process.printed();
        let line = printed
            .lines()
            .find(|line| line.contains("\"ready_ms\""))
            .unwrap();
        let ready = serde_json::from_str(line).unwrap();
        Self { process, ready }
    }

    fn nodes(&self) -> &[Value] {
        self.ready["nodes"].as_array().unwrap()
    }

    fn pids(&self) -> Vec<u32> {
        let pid = |node: &Value| u32::try_from(node["pid"].as_u64().unwrap()).unwrap();
        self.nodes().iter().map(pid).collect()
    }

    fn get(&self, at: usize, path: &str) -> Value {
        let http = self.nodes()[at]["http"].as_str().unwrap().parse().unwrap();
        request(http, "GET", path, &[], b"", Duration::from_secs(5))
            .unwrap()
            .json()
    }
}

#[track_caller]
fn assert_gone(pids: &[u32]) {
    wait_for("the nodes are gone", BOUND, || {
        pids.iter().all(|pid| !is_alive(*pid)).then_some(())
    });
}

#[test]
fn one_command_runs_three_processes_that_agree() {
    let mut dev = Dev::start(&[]);
    let pids = dev.pids();
    assert_eq!(pids.len(), 3);
    assert!(
        pids.iter()
            .all(|pid| is_alive(*pid) && *pid != dev.process.pid())
    );
    assert!(pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2]);
    for node in dev.nodes() {
        assert!(Path::new(node["data"].as_str().unwrap()).is_dir());
    }
    assert_eq!(dev.ready["partitions"], 64);
    let owners: Vec<Value> = (0..3)
        .map(|at| dev.get(at, "/partitions/key?key=user:1001")["primary_node"].clone())
        .collect();
    assert!(
        owners[0]
            .as_str()
            .is_some_and(|owner| owner.starts_with("node-"))
    );
    assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");

    let directory = dev.ready["directory"].as_str().unwrap().to_owned();
    dev.process.signal("TERM");
    assert_eq!(dev.process.wait_for_end(BOUND).code(), Some(0));
    assert_gone(&pids);
    assert!(
        !Path::new(&directory).exists(),
        "{directory} was left behind"
    );
}

/// Process ids and the directory of the data, as told to a person.
#[cfg(target_os = "linux")]
fn told(shown: &str) -> (Vec<u32>, &str) {
    let pids = shown.split("  pid ").skip(1);
    let pids = pids.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap());
    let directory = shown.split("data in ").nth(1).unwrap();
    (pids.collect(), directory.split(',').next().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_on_its_terminal_stops_it_and_its_nodes() {
    for (key, nodes) in [("q", "2"), ("\u{3}", "1")] {
        let base = ports::block(2).to_string();
        let line = ["dev", "--nodes", nodes, "--http-base", &base];
        let mut dev = Terminal::in_front(&line);
        dev.wait_for_text("press q or Ctrl-C to stop");
        let shown = dev.shown();
        let (pids, directory) = told(&shown);
        assert_eq!(pids.len().to_string(), nodes, "{shown}");
        assert!(pids.iter().all(|pid| is_alive(*pid)) && Path::new(directory).is_dir());
        // Other keys are taken and left, without a trace on the screen.
        dev.types(&format!("x\n{key}"));
        assert_eq!(dev.wait_for_end(), Some(0), "{key:?}: {}", dev.shown());
        assert!(!dev.is_raw(), "keys are still taken one by one");
        assert_gone(&pids);
        assert!(!Path::new(directory).exists(), "{directory} was left");
        assert!(!dev.shown()[shown.len()..].contains('x'), "{}", dev.shown());
    }
}

#[test]
fn the_nodes_die_with_the_command() {
    let mut dev = Dev::start(&[]);
    let pids = dev.pids();
    let directory = dev.ready["directory"].as_str().unwrap().to_owned();
    dev.process.kill();
    assert_gone(&pids);
    // Another `ck dev` that starts meanwhile clears it up, too.
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn a_node_that_dies_is_reported_and_the_others_go_on() {
    let mut dev = Dev::start(&[]);
    let pids = dev.pids();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pids[1].to_string()])
        .status();
    assert!(killed.unwrap().success());
    dev.process.wait_for_text("node-2", BOUND);
    dev.process.wait_for_text("signal: 9", BOUND);
    // Its data is there, and so is the command that goes on with it.
    dev.process
        .wait_for_text("start it again with\n  ck serve --id node-2 --http", BOUND);
    assert!(dev.process.is_running());
    assert_eq!(dev.get(0, "/partitions")["count"], 64);
    assert_eq!(dev.get(2, "/partitions")["count"], 64);
    dev.process.signal("INT");
    assert_eq!(dev.process.wait_for_end(BOUND).code(), Some(0));
    assert_gone(&pids);
}

#[test]
fn kept_data_is_there_the_next_time() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept");
    let flags = ["--keep", keep.to_str().unwrap(), "--partitions", "16"];
    let base = ports::block(3);
    let mut dev = Dev::start_at(base, &flags);
    let rows = dev.get(0, "/partitions")["partitions"].clone();
    let uuid = dev.get(0, "/cluster")["cluster"]["uuid"].clone();
    dev.process.signal("TERM");
    assert_eq!(dev.process.wait_for_end(BOUND).code(), Some(0));
    let elsewhere = run(&[
        "dev",
        "--http-base",
        "9000",
        "--keep",
        keep.to_str().unwrap(),
    ]);
    assert_eq!(elsewhere.status.code(), Some(2));
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(said.contains(&format!("--http-base {base}")), "{said}");
    let base_text = base.to_string();
    let contradiction = run(&[
        "dev",
        "--http-base",
        &base_text,
        "--keep",
        keep.to_str().unwrap(),
        "--partitions",
        "32",
    ]);
    let said = String::from_utf8_lossy(&contradiction.stderr);
    assert_eq!(contradiction.status.code(), Some(4), "{said}");
    assert!(
        said.contains("partitions 32") && said.contains("16"),
        "{said}"
    );
    let dev = Dev::start_at(base, &flags);
    // Who leads a partition may differ: a stop hands the roles over.
    let copies = |rows: &Value| -> Vec<(String, BTreeSet<String>)> {
        let row = |row: &Value| {
            let replicas = row["replica_nodes"].as_array().unwrap().iter();
            let nodes = replicas.chain([&row["primary_node"]]).map(Value::to_string);
            (row["id"].to_string(), nodes.collect())
        };
        rows.as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(
        copies(&dev.get(0, "/partitions")["partitions"]),
        copies(&rows)
    );
    assert_eq!(dev.get(0, "/cluster")["cluster"]["uuid"], uuid);
}

#[test]
fn a_taken_port_is_an_error_that_names_the_flag() {
    let base = ports::block(3);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", base + 1)).unwrap();
    let output = run(&["dev", "--http-base", &base.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("--http-base") && said.contains(&(base + 1).to_string()),
        "{said}"
    );
    assert_eq!(run(&["dev", "--partitions", "0"]).status.code(), Some(2));
    assert_eq!(run(&["dev", "--nodes", "0"]).status.code(), Some(2));
    for wrong in ["0", "63534"] {
        assert_eq!(
            run(&["dev", "--http-base", wrong]).status.code(),
            Some(2),
            "{wrong}"
        );
    }
}

#[test]
fn two_nodes_and_one_node_are_clusters_too() {
    let dev = Dev::start(&["--nodes", "1", "--partitions", "4"]);
    assert_eq!(dev.ready["replication_factor"], 1);
    assert_eq!(dev.get(0, "/partitions")["count"], 4);
    drop(dev);
    let dev = Dev::start(&["--nodes", "2", "--partitions", "4"]);
    assert_eq!(dev.ready["replication_factor"], 2);
    assert_eq!(dev.get(1, "/partitions")["count"], 4);
}

#[test]
fn standard_input_that_is_no_terminal_does_not_stop_it() {
    let base = ports::block(3).to_string();
    let mut command = ck();
    command
        .args(["dev", "--http-base", &base])
        .stdin(Stdio::piped());
    let mut process = Process::start(command);
    drop(process.take_stdin());
    process.wait_for_text("Ctrl-C stops", BOUND);
    let printed = process.printed();
    assert_eq!(printed.matches("  curl ").count(), 3, "{printed}");
    assert_eq!(printed.matches("/ui").count(), 1, "{printed}");
    assert!(
        printed.contains("user:1001") && printed.contains("ready in"),
        "{printed}"
    );
    assert!(process.is_running());
}
