//! `ck what-if` and `ck snapshot`: what a change would do, without any server.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::run;

const SPEC: &str = r#"
partitions = 256
replication_factor = 3
spread = 3
nodes = [
    { id = "n1", domain = "a" }, { id = "n2", domain = "a" },
    { id = "n3", domain = "b" }, { id = "n4", domain = "b" },
    { id = "n5", domain = "c" }, { id = "n6", domain = "c" },
    { id = "n7", domain = "d" }, { id = "n8", domain = "d" },
]
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.path("spec.toml"), SPEC).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ck(&self, command: &str, args: &[&str]) -> Output {
        let spec = self.path("spec.toml");
        let first = [command, "--spec", spec.to_str().unwrap()];
        run(&[&first, args].concat())
    }

    #[track_caller]
    fn what_if(&self, args: &[&str]) -> Value {
        let output = self.ck("what-if", &[args, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(words), "{errors}");
}

#[test]
fn a_lost_domain_costs_its_copies_and_loses_nothing() {
    let answer = Files::new().what_if(&["--lose-domain", "b", "--bytes-per-partition", "1KiB"]);
    assert_eq!(answer["copies_moved"], 192);
    assert_eq!(answer["lower_bound"], 192);
    assert_eq!(answer["bytes_moved"], 192 * 1024);
    assert_eq!(answer["moved_permille"], 250);
    assert_eq!(answer["partitions_lost"], 0);
    assert_eq!(answer["degraded"], false);
    // Six nodes are left for 192 copies, one received at a time.
    assert_eq!(answer["rounds"], 32);
    assert_eq!(answer["before"]["copies_max_over_share_permille"], 1_000);
    let third = &answer["nodes"][2];
    assert_eq!(
        (third["id"].as_str(), third["copies_after"].as_u64()),
        (Some("n3"), Some(0))
    );
    assert_eq!(third["sent"], 0);
}

#[test]
fn more_transfers_at_once_take_fewer_rounds() {
    let files = Files::new();
    let join = ["--add", "n9:domain=b,weight=2"];
    let one = files.what_if(&join);
    let four = files.what_if(&[&join[..], &["--incoming", "4", "--outgoing", "2"]].concat());
    assert_eq!(one["copies_moved"], one["rounds"]);
    let rounds = one["rounds"].as_u64().unwrap().div_ceil(4);
    assert_eq!(four["rounds"].as_u64(), Some(rounds));
}

#[test]
fn partitions_without_any_copy_left_are_counted() {
    let answer = Files::new().what_if(&[
        "--lose-domain",
        "a",
        "--lose-domain",
        "b",
        "--lose-domain",
        "c",
    ]);
    assert_eq!(answer["degraded"], true);
    assert!(answer["partitions_lost"].as_u64().unwrap() > 0, "{answer}");
}

#[test]
fn every_kind_of_change_is_taken() {
    let answer = Files::new().what_if(&[
        "--lose",
        "n1",
        "--drain",
        "n2",
        "--weight",
        "n3=2",
        "--add",
        "n9:domain=a",
        "--replication-factor",
        "4",
        "--spread",
        "2",
    ]);
    assert_eq!(answer["after"]["replication_factor"], 4);
    assert_eq!(answer["copies"], 1_024);
    let node = |id: &str| {
        let mut nodes = answer["nodes"].as_array().unwrap().iter();
        nodes.find(|node| node["id"] == id).unwrap().clone()
    };
    assert_eq!(node("n1")["sent"], 0);
    assert_eq!(node("n2")["copies_after"], 0);
    assert!(node("n2")["sent"].as_u64().unwrap() > 0);
    assert!(node("n3")["copies_after"].as_u64() > node("n4")["copies_after"].as_u64());
}

#[test]
fn a_change_above_the_limit_is_refused_after_it_is_shown() {
    let files = Files::new();
    let output = files.ck("what-if", &["--lose-domain", "b", "--fail-above", "24.99"]);
    refused(
        &output,
        4,
        "192 of 768 copies move, above the 24.99 % allowed",
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.starts_with("moves: 192 of 768 copies, 25.0 % (proved"),
        "{text}"
    );
    assert!(text.contains("rounds: 32, the fewest"), "{text}");
    files.what_if(&["--lose-domain", "b", "--fail-above", "25"]);
}

#[test]
fn what_is_not_there_cannot_change() {
    let files = Files::new();
    refused(&files.ck("what-if", &["--lose", "n10"]), 4, "\"n10\"");
    refused(&files.ck("what-if", &["--lose-domain", "e"]), 4, "\"e\"");
    refused(&files.ck("what-if", &["--weight", "x=2"]), 4, "\"x\"");
    refused(&files.ck("what-if", &["--add", "n1"]), 4, "appears twice");
    refused(
        &files.ck("what-if", &["--replication-factor", "2"]),
        4,
        "spread 3",
    );
    refused(
        &files.ck("what-if", &["--weight", "n1=0"]),
        2,
        "out of range",
    );
    refused(
        &files.ck("what-if", &["--add", "n9:rack=3"]),
        2,
        "domain=PATH",
    );
    refused(
        &files.ck("what-if", &["--fail-above", "101"]),
        2,
        "percentage",
    );
    refused(&files.ck("what-if", &["--incoming", "0"]), 2, "incoming");
}

#[test]
fn a_snapshot_is_kept_until_the_placement_changes() {
    let files = Files::new();
    let golden = files.path("golden.txt");
    let check = ["--check", golden.to_str().unwrap()];
    refused(&files.ck("snapshot", &check), 1, "golden.txt");
    let printed = files.ck("snapshot", &[]);
    assert_eq!(printed.status.code(), Some(0));
    assert!(
        printed
            .stdout
            .starts_with(b"partitions: 256\ncopies: 768\n")
    );
    std::fs::write(&golden, &printed.stdout).unwrap();
    assert_eq!(files.ck("snapshot", &check).status.code(), Some(0));
    let text = String::from_utf8(printed.stdout).unwrap();
    std::fs::write(&golden, text.replace('\n', "\r\n")).unwrap();
    assert_eq!(files.ck("snapshot", &check).status.code(), Some(0));
    std::fs::write(&golden, text.replace("  n1: 96 copies", "  n1: 95 copies")).unwrap();
    let output = files.ck("snapshot", &check);
    refused(&output, 1, "1 of its lines are gone, 1 are new");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("\n-  n1: 95 copies") && shown.contains("\n+  n1: 96 copies"),
        "{shown}"
    );
    let json = files.ck("snapshot", &[&check[..], &["--json"]].concat());
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(answer["matches"], false);
}

#[test]
fn the_tolerance_of_a_spec_holds_for_the_change_too() {
    let files = Files::new();
    let add = ["--add", "n9:domain=a"];
    let exact = files.what_if(&add)["copies_moved"].as_u64().unwrap();
    let loose = format!("tolerance_permille = 100\n{SPEC}");
    std::fs::write(files.path("spec.toml"), loose).unwrap();
    let answer = files.what_if(&add);
    let moved = answer["copies_moved"].as_u64().unwrap();
    // Its share is 768 ÷ 9; a tenth less is ⌊76.8⌋.
    assert!(moved < exact, "{moved} of {exact}");
    assert_eq!((moved, &answer["optimal"]), (76, &Value::Bool(true)));
}
