//! The torture run against a service that keeps everything in one map, as it should be and with
//! faults planted, each of which has to be noticed.
#![allow(missing_docs, reason = "tests, nothing to call")]

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::truth::{Planted, Truth};

fn torture(planted: Planted, [seconds, seed]: [u32; 2], flags: &[&str]) -> (Output, Vec<Value>) {
    let truth = Truth::new(planted);
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ck-load"))
        .args(["torture", "--json", "--kv", env!("CARGO_BIN_EXE_fake-kv")])
        .args([
            "--seconds",
            &seconds.to_string(),
            "--seed",
            &seed.to_string(),
        ])
        .args(["--lease", "200ms", "--settle", "1s", "--keep"])
        .arg(folder.path())
        .args(flags)
        .env("FAKE_KV", truth.control.to_string())
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdicts = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let verdicts = verdicts.collect();
    (output, verdicts)
}

#[track_caller]
fn caught(planted: Planted, words: &str) -> Value {
    let (output, verdicts) = torture(planted, [4, 3], &["--gentle"]);
    let said = format!("{output:?}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(verdicts.len(), 1, "{said}");
    let verdict = verdicts[0].clone();
    assert_eq!(verdict["passed"], false);
    let wrong = verdict["wrong"].to_string();
    assert!(wrong.contains(words), "{wrong}");
    verdict
}

#[test]
fn a_service_that_does_right_passes_while_its_nodes_do_not() {
    let (output, verdicts) = torture(Planted::Nothing, [12, 5], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let verdict = &verdicts[0];
    let events: Vec<&str> = verdict["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event[1].as_str().unwrap())
        .collect();
    for kind in ["kill ", "pause ", "stop ", "start ", "resume ", "heal"] {
        assert!(
            events.iter().any(|event| event.starts_with(kind)),
            "{kind}: {events:?}"
        );
    }
    assert!(verdict["acknowledged"].as_u64().unwrap() > 200, "{verdict}");
    for odd in ["empty_values", "large_values"] {
        assert!(verdict[odd].as_u64().unwrap() > 0, "{odd}: {verdict}");
    }
    assert!(verdict["unknown"].as_u64().unwrap() > 0, "{verdict}");
    assert!(verdict["changes"].as_u64().unwrap() > 0, "{verdict}");
    assert!(verdict["overlapping"].as_u64().unwrap() > 0, "{verdict}");
    assert_eq!(verdict["lost_writes"], 0);
}

#[test]
fn operations_are_due_at_their_rate() {
    let paced = ["--clients", "32", "--rate", "300"];
    let (output, verdicts) = torture(Planted::Nothing, [3, 5], &paced);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // Those that were due, and a write and a read of every key.
    let operations = verdicts[0]["operations"].as_u64().unwrap();
    assert!((300..=3 * 300 + 200).contains(&operations), "{verdicts:?}");
}

#[test]
fn a_planted_stale_read_is_caught() {
    caught(Planted::StaleRead, "stale-read");
}

#[test]
fn a_fault_that_is_expected_and_not_found_fails_a_run() {
    let (output, verdicts) = torture(Planted::Nothing, [2, 4], &["--expect", "stale-read"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(verdicts[0]["passed"], true);
    let (output, _) = torture(Planted::StaleRead, [2, 4], &["--expect", "stale-read"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_planted_lost_write_is_caught() {
    let verdict = caught(Planted::LostWrite, "lost-write");
    assert!(verdict["lost_writes"].as_u64().unwrap() > 0, "{verdict}");
}

#[test]
fn a_compare_and_set_that_compares_nothing_is_caught() {
    // A swap saw what it expected, so the rules of reads tell most of it.
    let verdict = caught(Planted::BlindCas, "key torture-");
    let wrong = verdict["wrong"].to_string();
    assert!(
        !wrong.contains("overlap") && !wrong.contains("alike"),
        "{wrong}"
    );
}

#[test]
fn copies_that_are_not_alike_are_caught() {
    let verdict = caught(Planted::OddCopy, "copies are not alike");
    assert_eq!(verdict["lost_writes"], 0);
}

#[test]
fn two_owners_at_a_time_are_caught() {
    caught(Planted::TwoOwners, "overlap");
}

#[test]
fn a_program_that_cannot_be_started_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_ck-load"))
        .args(["torture", "--kv", "no-such-program", "--seconds", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("cannot start no-such-program"), "{errors}");
}
