//! Power loss, and a disk that fails: a preloaded library drops what was not synced when the process
//! is killed.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::moving::NOTES;
use crate::support::{BOUND, Cluster, wait_for};

/// Rows acknowledged before the power goes.
const ROWS: u64 = 12;

/// The library that the end-to-end tests of `ck` cut the power with.
fn library(cluster: &Cluster) -> PathBuf {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crates/ck-cli/tests/e2e/support/power_loss.c"
    );
    let library = cluster.folder().join("power_loss.so");
    let built = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status()
        .expect("cc is there: the Rust toolchain links with it");
    assert!(built.success());
    library
}

/// A node of its own whose SQLite files forget what was not synced, with `more` in its environment.
fn node(more: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::new(1, 1, 4);
    cluster.nodes[0].ok("POST", "/schema", &json!({ "sql": NOTES }));
    // The cluster's own log is another test's concern.
    let files = cluster.folder().join("node-1").join("sql");
    let library = library(&cluster);
    let node = &mut cluster.nodes[0];
    node.kill();
    node.environment = vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("CK_SHIM_DIR".to_owned(), files.display().to_string()),
    ];
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    node.environment.extend(more);
    node.start();
    cluster.wait_until_served(1);
    cluster
}

fn write(cluster: &Cluster) {
    for n in 0..ROWS {
        let sql = "INSERT INTO notes VALUES (?, hex(randomblob(3000)))";
        cluster.nodes[0].sql(&format!("note-{n}"), sql, &json!([n]));
    }
}

fn start_again(cluster: &mut Cluster) -> usize {
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.wait_until_served(1);
    cluster.nodes[0].query("SELECT n FROM notes").len()
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_cut() {
    let mut cluster = node(&[]);
    write(&cluster);
    assert_eq!(start_again(&mut cluster), ROWS as usize);
    // And once more, over files that have been through it.
    assert_eq!(start_again(&mut cluster), ROWS as usize);
}

#[test]
fn without_syncs_the_same_check_fails() {
    let mut cluster = node(&[("CK_SHIM_IGNORE_FSYNC", "1")]);
    write(&cluster);
    assert!(
        start_again(&mut cluster) < ROWS as usize,
        "the check proves nothing"
    );
}

#[test]
fn a_failed_sync_ends_the_process_and_loses_nothing_acknowledged() {
    let failing = std::env::temp_dir().join(format!("ck-sql-sync-fails-{}", std::process::id()));
    let mut cluster = node(&[("CK_SHIM_FAIL_FSYNC_WHILE", failing.to_str().unwrap())]);
    write(&cluster);
    std::fs::write(&failing, b"").unwrap();
    let body = json!({ "sql": "INSERT INTO notes (n) VALUES (1000)" }).to_string();
    let answer = cluster.nodes[0].try_send("POST", "/sql/note-1", &body);
    assert!(
        answer.is_none_or(|reply| reply.status >= 500),
        "not acknowledged"
    );
    let ended = wait_for("the process ends", BOUND, || cluster.nodes[0].ended());
    std::fs::remove_file(&failing).unwrap();
    // Its own exit code, which the cluster's store does not use.
    assert_eq!(ended.code(), Some(74));
    cluster.nodes[0].start();
    cluster.wait_until_served(1);
    let rows = cluster.nodes[0].query("SELECT n FROM notes WHERE n < 1000");
    assert_eq!(rows.len(), ROWS as usize);
    assert_eq!(
        cluster.nodes[0].ok("GET", "/schema", &Value::Null)["pending"],
        json!([])
    );
}
