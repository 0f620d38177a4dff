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
fn a_history_with_nothing_to_check_is_not_called_right() {
    let failed = r#"{"op":"put","client":"c","key":"k","value":"v","start":1,"outcome":"failed"}"#;
    for (history, lines) in [("", "0 lines"), ("\n\n", "2 lines"), (failed, "1 line")] {
        let (out, errors) = ends(&check(history.as_bytes(), &[]), 2);
        assert_eq!(out, "");
        assert!(errors.contains("nothing was checked"), "{errors}");
        assert!(errors.contains(lines), "{errors}");
    }
}

/// An operation on the key `user/1` that was answered with ok, by a client of its own.
fn operation(op: &str, value: &str, start: u64, end: u64) -> String {
    format!(
        r#"{{"op":"{op}","client":"c{start}","key":"user%2F1","value":"{value}","start":{start},"end":{end},"outcome":"ok","partition":3}}"#
    )
}

#[test]
fn operations_in_a_possible_order_end_with_zero() {
    let lines = [
        line(1, "a", "owns", 1),
        operation("put", "v1", 2, 9),
        operation("get", "v1", 5, 6),
        line(10, "a", "lost", 1),
        operation("get", "v1", 11, 30),
        line(20, "b", "owns", 2),
    ];
    let history = lines.join("\n");
    let (out, _) = ends(&check(history.as_bytes(), &[]), 0);
    assert_eq!(
        out,
        "3 operations on 1 key, 0 of unknown outcome, 1 during 1 change of a primary; 0 acknowledged \
         writes lost\n6 lines, 2 ownerships, 1 write: nothing wrong\n"
    );
}

#[test]
fn operations_in_no_possible_order_are_told_with_their_key_and_lines() {
    let history = [
        operation("put", "v1", 0, 1),
        operation("put", "v2", 2, 3),
        operation("get", "v1", 4, 5),
        operation("get", "v2", 6, 7),
    ]
    .join("\n");
    let (out, errors) = ends(&check(history.as_bytes(), &[]), 1);
    let told = "stale-read, lines 1, 2 and 3: key user%2F1: read what had been replaced before";
    assert!(out.starts_with(told), "{out}");
    assert!(errors.contains("has 1 problem"), "{errors}");
    let (out, _) = ends(&check(history.as_bytes(), &["--json"]), 1);
    let answer: Value = serde_json::from_str(&out).unwrap();
    let problem = &answer["problems"][0];
    assert_eq!(problem["lines"], serde_json::json!([1, 2, 3]));
    assert_eq!(
        (&problem["kind"], &problem["key"]),
        (&"stale-read".into(), &"user%2F1".into())
    );
    assert_eq!(answer["operations"], 4);
    let lost = history.lines().take(3).collect::<Vec<_>>().join("\n");
    let (out, _) = ends(&check(lost.as_bytes(), &[]), 1);
    assert!(
        out.starts_with("lost-write, lines 1, 2 and 3: key user%2F1: "),
        "{out}"
    );
    assert!(out.contains("; 1 acknowledged writes lost"), "{out}");
}

#[test]
fn what_takes_too_long_to_decide_ends_with_five() {
    let history = [
        operation("put", "v1", 0, 9),
        operation("put", "v2", 0, 9),
        operation("get", "v1", 10, 11),
    ]
    .join("\n");
    ends(&check(history.as_bytes(), &[]), 0);
    let (out, errors) = ends(&check(history.as_bytes(), &["--states", "1"]), 5);
    assert!(out.contains("undecided: key user%2F1"), "{out}");
    assert!(out.ends_with(": 1 key undecided\n"), "{out}");
    assert!(errors.contains("within 1 states"), "{errors}");
    let (out, errors) = ends(&check(history.as_bytes(), &["--states", "1", "--json"]), 5);
    let (out, errors): (Value, Value) = (
        serde_json::from_str(&out).unwrap(),
        serde_json::from_str(&errors).unwrap(),
    );
    assert_eq!(out["undecided"], serde_json::json!(["user%2F1"]));
    assert_eq!(errors["error"]["code"], "undecided");
    ends(&check(history.as_bytes(), &["--states", "0"]), 2);
}

#[test]
fn operations_whose_fields_contradict_each_other_are_refused() {
    let sound = operation("put", "v1", 5, 9);
    for (from, to, words) in [
        ("\"end\":9", "\"end\":4", "ends at 4, before its start at 5"),
        ("%2F", "%zz", "user%zz1"),
        ("put", "swap", "swap"),
    ] {
        let history = [&sound, &sound.replace(from, to)]
            .map(String::as_str)
            .join("\n");
        let (_, errors) = ends(&check(history.as_bytes(), &[]), 2);
        assert!(errors.contains("line 2 of the history"), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
}
