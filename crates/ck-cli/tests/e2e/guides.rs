//! What the guides show is what happens: outputs of `docs/troubleshooting.md`, files of `deploy`.

use std::path::{Path, PathBuf};

use crate::support::{BOUND, Cluster, run, wait_for};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The commands of a section of the guide, each with the lines it shows.
fn shown(section: &str) -> Vec<(String, Vec<String>)> {
    let guide = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let heading = format!("\n## {section}\n");
    let (_, rest) = guide
        .split_once(&heading)
        .expect("the guide has the section");
    let text = rest.split("\n## ").next().unwrap();
    let blocks = text.split("```console\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(|block| {
            let mut lines = block.lines().map(str::to_owned);
            let command = lines.next().expect("a command");
            (
                command.trim_start_matches("$ ck ").to_owned(),
                lines.collect(),
            )
        })
        .collect()
}

/// The lines that the guide shows and the command does not print, on the last try. One that ends in `…`
/// shows how a line begins.
fn missing(command: &str, lines: &[String], server: &str) -> Vec<String> {
    let words: Vec<&str> = command
        .split_whitespace()
        .chain(["--server", server])
        .collect();
    let output = run(&words);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let absent = lines
        .iter()
        .filter(|line| !printed.lines().any(|one| is_shown(one, line)));
    absent.cloned().collect()
}

fn is_shown(printed: &str, line: &str) -> bool {
    line.strip_suffix('…')
        .map_or(printed == line, |begin| printed.starts_with(begin))
}

/// Waits until every command of a section prints what the guide shows.
#[track_caller]
fn check(section: &str, server: &str) {
    let commands = shown(section);
    assert!(!commands.is_empty(), "{section} shows nothing");
    for (command, lines) in commands {
        assert!(!lines.is_empty(), "{command} shows nothing");
        let mut absent = Vec::new();
        let what = format!("{section}: ck {command} prints what the guide shows");
        wait_for(&what, BOUND, || {
            absent = missing(&command, &lines, server);
            absent.is_empty().then_some(())
        });
    }
}

#[test]
fn what_the_guide_shows_of_a_cluster_in_trouble_is_what_is_printed() {
    let flags = [
        "--no-auto-create",
        "--partitions",
        "12",
        "--profile",
        "fast",
    ];
    let mut cluster = Cluster::of(3, &flags);
    cluster.start_all();
    let server = cluster.addresses();
    check("Partitions are not created", &server);
    let done = |words: &[&str]| {
        let output = run(&[words, &["--server", &server]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
    };
    done(&["create"]);
    check("Distribution is uneven", &server);
    for server in &cluster.servers {
        check("Nodes answer differently", &server.http.to_string());
    }
    let said = |server: &crate::support::Server| {
        run(&["key", "user:1001", "--server", &server.http.to_string()]).stdout
    };
    let all: std::collections::BTreeSet<_> = cluster.servers.iter().map(said).collect();
    assert_eq!(all.len(), 1, "one key is in one place");
    done(&["set", "replication_factor=5"]);
    check("Too few copies", &server);
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    let last = cluster.servers[2].http.to_string();
    let [(_, leads), (_, follows)] = &shown("No leader")[..] else {
        panic!("two of them");
    };
    wait_for("the last one says that it has no majority", BOUND, || {
        // A leader names the majority it misses, a follower the leader.
        let mut forms = [leads, follows].into_iter();
        forms.find(|lines| missing("status", lines, &last).is_empty())
    });
}

#[test]
fn the_files_to_deploy_are_settings_of_a_node() {
    let deploy = root().join("deploy");
    let unit = std::fs::read_to_string(deploy.join("clusterkit.service")).unwrap();
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/ck "));
    let start = start.expect("the unit starts ck");
    let config = deploy.join("cluster.toml").display().to_string();
    let start = start.replace("/etc/clusterkit/cluster.toml", &config);
    let mut command = crate::support::ck();
    command.args(start.split_whitespace());
    let variables = std::fs::read_to_string(deploy.join("node.env")).unwrap();
    for line in variables.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        // Any port: the tests run side by side.
        command.env(name, value.replace(":8080", ":0"));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Everything is understood; the files that protect the node are not here.
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/etc/clusterkit/"), "{said}");
}
