//! `ck check`: histories that are clean, wrong, malformed, empty, and with lines too long.

use std::process::Output;

use serde_json::Value;

use crate::support::run;

fn line(at: u64, node: &str, seen: &str, epoch: u64) -> String {
    format!(
        r#"{{"at":{at},"node":"{node}","seen":"{seen}","partition":3,"epoch":{epoch},"incarnation":1}}"#
    )
}

fn check(history: &[u8], flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    std::fs::write(&path, history).unwrap();
    run(&[&["check", path.to_str().unwrap()], flags].concat())
}

#[track_caller]
fn ends(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{errors}");
    (out, errors)
}

#[test]
fn a_clean_history_ends_with_zero() {
    let lines = [
        line(1, "a", "owns", 1),
        line(2, "db", "accepted", 1),
        line(3, "a", "lost", 1),
        line(4, "b", "owns", 2),
    ];
    let (out, _) = ends(&check(lines.join("\n").as_bytes(), &[]), 0);
    assert_eq!(out, "4 lines, 2 ownerships, 1 write: nothing wrong\n");
}

#[test]
fn what_is_wrong_is_told_with_the_lines_that_prove_it() {
    let lines = [
        line(1, "a", "owns", 1),
        line(4, "b", "owns", 2),
        line(5, "db", "accepted", 2),
        line(6, "db", "accepted", 1),
    ];
    let history = lines.join("\n");
    let (out, errors) = ends(&check(history.as_bytes(), &[]), 1);
    assert!(
        out.contains("stale-write, lines 3 and 4: partition-3: "),
        "{out}"
    );
    assert!(
        out.contains("overlap, lines 1 and 2: partition-3: "),
        "{out}"
    );
    assert!(errors.contains("has 2 problems"), "{errors}");
    let (out, _) = ends(
        &check(history.as_bytes(), &["--json", "--problems", "1"]),
        1,
    );
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["found"], 2);
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["problems"][0]["lines"], serde_json::json!([3, 4]));
}

#[test]
fn a_history_that_cannot_be_read_ends_with_two_and_names_its_line() {
    let sound = line(1, "a", "owns", 1);
    let cases: [(Vec<u8>, &str); 4] = [
        (format!("{sound}\n{{\"at\":1}}\n").into_bytes(), "line 2 "),
        ([sound.as_bytes(), &b"\n\n\xff\n"[..]].concat(), "line 3 "),
        (
            vec![b'x'; 200_000],
            "line 1 of the history has more than 65536 bytes",
        ),
        (sound.replace("owns", "absent").into_bytes(), "no `write`"),
    ];
    for (history, words) in cases {
        let (_, errors) = ends(&check(&history, &[]), 2);
        assert!(errors.contains(words), "{errors}");
        let (_, errors) = ends(&check(&history, &["--json"]), 2);
        assert!(serde_json::from_str::<Value>(&errors).is_ok(), "{errors}");
    }
    let (_, errors) = ends(&run(&["check", "no-such-history.jsonl"]), 2);
    assert!(errors.contains("no-such-history.jsonl"), "{errors}");
    ends(&run(&["check"]), 2);
}

#[test]
fn an_empty_history_has_nothing_wrong() {
    let (out, _) = ends(&check(b"", &[]), 0);
    assert_eq!(out, "0 lines, 0 ownerships, 0 writes: nothing wrong\n");
}
