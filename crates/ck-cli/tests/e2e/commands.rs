//! Every command and every flag there is, run against real processes. One that no call here runs fails
//! a test, so one that is added has to be run here too.

mod calls;
mod nodes;
mod offline;
mod online;
mod operations;
mod tree;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{BOUND, Cluster, Terminal, ck, ports, run, wait_for};

#[test]
fn every_command_is_run_by_one_of_the_tests() {
    let groups = [online::COMMANDS, offline::COMMANDS, nodes::COMMANDS];
    let run: BTreeSet<&str> = groups.concat().into_iter().collect();
    let there: BTreeSet<&str> = tree::tree().keys().map(String::as_str).collect();
    assert_eq!(there, run);
}

/// Runs a command that is refused; its exit code and error.
#[track_caller]
fn refused(cluster: &Cluster, args: &[&str]) -> (i32, Value) {
    let server = cluster.addresses();
    let output = run(&[args, &["--server", &server, "--json"]].concat());
    assert!(output.stdout.is_empty(), "ck {args:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    (output.status.code().unwrap(), error["error"].clone())
}

#[test]
fn failures_have_their_exit_codes() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let (code, error) = refused(&cluster, &["partition", "partition-99"]);
    assert_eq!((code, &error["code"]), (1, &"partition-unknown".into()));
    let (code, error) = refused(&cluster, &["remove", "absent"]);
    assert!(code == 1 || code == 4, "{code} {error}");
    let absent = format!("127.0.0.1:{}", ports::block(1));
    let output = run(&["status", "--server", &absent, "--timeout", "2s"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&absent));
    // With another server beside it, the command goes on there.
    let both = format!("{absent},{}", cluster.addresses());
    assert_eq!(run(&["status", "--server", &both]).status.code(), Some(0));
    assert_eq!(
        run(&["status", "--server", "https://x"]).status.code(),
        Some(2)
    );
    assert_eq!(run(&["status", "--nonsense"]).status.code(), Some(2));
    for empty in [
        &["key", ""][..],
        &["remove", ""],
        &["custom", "set", "", "x"],
        &["custom", "get", ""],
        &["status", "--nonsense"],
        &["serve", "--partitions", "many"],
        &["nonsense"],
    ] {
        let output = run(&[empty, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{empty:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{empty:?}: {error}");
    }
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

/// Commands whose flags or values are wrong, and what the refusal names.
const WRONG: &[(&[&str], &[&str])] = &[
    (
        &["partitions", "--state", "sideways"],
        &["--state", "unavailable"],
    ),
    (&["history", "--limit", "0"], &["--limit", "1..=1000"]),
    (&["watch", "--from", "1.x"], &["--from", "31 or 1.31"]),
    (&["watch", "--for", "5"], &["--for", "500ms, 10s"]),
    (
        &["status", "--timeout", "soon"],
        &["--timeout", "500ms, 10s"],
    ),
    (&["status", "--server", "https://x"], &["--ca"]),
    (&["set", "spread"], &["NAME=VALUE"]),
    (&["set", "spraed=2"], &["spraed", "`spread`"]),
    (&["set", "spread=many"], &["spread", "many"]),
    (&["set", "spread=1", "spread=2"], &["given twice"]),
    (
        &["set", "--node", "node-1", "state=up"],
        &["up", "`draining`"],
    ),
    (&["custom", "set", "a"], &["VALUE"]),
    (&["custom", "set", "a", "b", "--file", "c"], &["--file"]),
    (
        &["custom", "set", "a", "b", "--expected", "many"],
        &["--expected"],
    ),
    (&["resume", "plan-1", "--brake"], &["--brake"]),
    (&["place"], &["--spec"]),
    (&["place", "--batch", "--spec", "x"], &["--spec"]),
    (
        &["what-if", "--spec", "x", "--fail-above", "101"],
        &["--fail-above", "0 to 100"],
    ),
    (
        &["what-if", "--spec", "x", "--bytes-per-partition", "2XB"],
        &["2XB", "512MiB"],
    ),
    (
        &["what-if", "--spec", "x", "--incoming", "0"],
        &["--incoming"],
    ),
    (&["check", "x", "--states", "0"], &["--states"]),
    (&["cert", "node", "--id", "a", "--out", "x"], &["--host"]),
    (
        &["restore", "x", "--id", "a", "--data", "y", "--into", "z"],
        &["--into", "z"],
    ),
    (&["recover", "--data", "x", "--into", "z"], &["--into", "z"]),
    (
        &["migrate", "--from", "http://x", "--rename", "a"],
        &["--rename", "THERE=HERE"],
    ),
    (
        &["migrate", "--from", "http://x", "--look", "--dry-run"],
        &["--look"],
    ),
    (&["completions", "tcsh"], &["tcsh", "zsh"]),
    (&["dev", "--nodes", "65"], &["--nodes", "1..=64"]),
    (&["serve", "--id", ""], &["--id"]),
    (
        &["serve", "--id", "a", "--http", "nowhere"],
        &["--http", "nowhere"],
    ),
    (
        &["serve", "--id", "a", "--profile", "slow"],
        &["--profile", "slow"],
    ),
    (
        &["serve", "--id", "a", "--rejoin-grace", "9"],
        &["--rejoin-grace", "10s"],
    ),
    (
        &["serve", "--id", "a", "--label", "disk"],
        &["--label", "disk"],
    ),
];

#[test]
fn a_value_that_is_wrong_is_named_with_what_would_be_right() {
    for (args, parts) in WRONG.iter().copied() {
        let output = run(&[args, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "ck {args:?}: {said}");
        assert!(output.stdout.is_empty(), "ck {args:?}");
        let error: Value = serde_json::from_str(&said).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        for part in parts {
            assert!(
                message.contains(part),
                "ck {args:?}: {part:?} is not in {message}"
            );
        }
        let plain = run(args);
        assert_eq!(plain.status.code(), Some(2), "ck {args:?}");
        assert!(plain.stderr.starts_with(b"error: "), "ck {args:?}");
    }
}

/// What is shown on a terminal, without its colours; whether there were some.
fn shown(cluster: &Cluster, args: &[&str], columns: u16, coloured: bool) -> (String, bool) {
    let mut command = ck();
    command.args(args).args(["--server", &cluster.addresses()]);
    command.env("TERM", "xterm-256color");
    if coloured {
        command.env_remove("NO_COLOR");
    }
    let shown = Terminal::of(command, columns).shown_whole();
    let mut plain = String::new();
    let mut pieces = shown.split("\u{1b}[");
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    (plain.replace('\r', ""), shown.contains('\u{1b}'))
}

#[test]
fn a_terminal_gets_what_fits_it_and_colours_unless_it_wants_none() {
    let mut cluster = Cluster::ready(3, &["--partitions", "256", "--profile", "fast"]);
    cluster.servers[2].kill();
    wait_for("node-3 is down", BOUND, || {
        let (status, _) = shown(&cluster, &["status"], 80, false);
        status.contains("256 degraded").then_some(())
    });
    for columns in [80, 200] {
        for (args, part) in [
            (&["status"][..], "`ck remove node-3`"),
            (&["nodes"], "WEIGHT"),
            (&["partitions"], "256 partitions, version"),
            (&["partition", "255"], "IN SYNC"),
            (&["owned"], "may act on"),
            (&["explain", "3"], "node-3 is down"),
            (&["stats"], "256 partitions"),
            (&["history"], "expire"),
            (&["plan"], "rounds"),
            (&["config"], "SETTING"),
        ] {
            let (text, _) = shown(&cluster, args, columns, false);
            let wide = text
                .lines()
                .find(|line| line.chars().count() > columns.into());
            assert_eq!(wide, None, "ck {args:?} at {columns} columns:\n{text}");
            // Where a line is broken is the terminal's matter.
            let words: Vec<&str> = text.split_whitespace().collect();
            assert!(words.join(" ").contains(part), "ck {args:?}: {text}");
        }
    }
    let (_, coloured) = shown(&cluster, &["nodes"], 80, true);
    assert!(coloured, "a terminal gets colours");
    let (_, coloured) = shown(&cluster, &["nodes"], 80, false);
    assert!(!coloured, "NO_COLOR is set");
}

#[test]
fn a_removal_that_leaves_too_few_nodes_says_so() {
    let mut cluster = Cluster::ready(3, &[]);
    let server = cluster.addresses();
    cluster.servers[2].kill();
    let output = run(&["remove", "node-3", "--server", &server, "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["node"], &answer["node_count"]),
        (&"node-3".into(), &2.into())
    );
    let warning = answer["warning"].as_str().unwrap();
    assert!(warning.contains("replication factor 3"), "{warning}");
    assert!(said.contains("warning") && said.contains(warning), "{said}");
}
