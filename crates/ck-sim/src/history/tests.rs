use super::*;

fn line(at: u64, node: &str, seen: &str, epoch: u64) -> String {
    format!(
        "{{\"at\":{at},\"node\":\"{node}\",\"seen\":\"{seen}\",\"partition\":0,\
         \"epoch\":{epoch},\"incarnation\":1}}"
    )
}

fn write(at: u64, seen: &str, epoch: u64, name: &str) -> String {
    line(at, "client", seen, epoch).replace('}', &format!(",\"write\":\"{name}\"}}"))
}

fn report(lines: &[String]) -> Report {
    check(lines.join("\n").as_bytes(), Limits::default()).unwrap()
}

#[track_caller]
fn finds(lines: &[String], kinds: &[&str]) -> Report {
    let report = report(lines);
    let found: Vec<&str> = report.problems.iter().map(Problem::kind).collect();
    assert_eq!(found, kinds, "{:?}", report.problems);
    report
}

#[test]
fn a_clean_history_has_no_problems_in_any_order_of_its_lines() {
    let report = report(&[
        line(30, "b", "owns", 2),
        line(10, "a", "owns", 1),
        line(20, "a", "lost", 1),
        line(15, "r", "accepted", 1),
        line(35, "r", "accepted", 2),
        write(36, "acknowledged", 2, "x"),
    ]);
    assert_eq!((report.lines, report.tenures), (6, 2));
    assert_eq!((report.accepted, report.acknowledged), (2, 1));
    assert_eq!((report.problems, report.found), (Vec::new(), 0));
}

#[test]
fn overlapping_owners_are_found_with_their_lines() {
    let report = finds(
        &[
            line(10, "a", "owns", 1),
            line(25, "a", "lost", 1),
            line(20, "b", "owns", 2),
        ],
        &["overlap"],
    );
    assert_eq!(report.problems[0].lines(), [1, 3]);
}

#[test]
fn an_owner_that_says_nothing_owns_until_it_is_granted_anew() {
    let again = [line(10, "a", "owns", 1), line(20, "a", "owns", 2)];
    finds(&again, &[]);
    finds(
        &[&again[..], &[line(30, "b", "owns", 3)]].concat(),
        &["overlap"],
    );
}

#[test]
fn one_epoch_granted_to_two_nodes_is_found_though_they_never_overlap() {
    let lines = [
        line(10, "a", "owns", 1),
        line(15, "a", "lost", 1),
        line(20, "b", "owns", 1),
    ];
    finds(&lines, &["two-grants"]);
}

#[test]
fn an_epoch_that_falls_is_found() {
    let report = finds(
        &[
            line(10, "a", "owns", 2),
            line(15, "a", "lost", 2),
            line(20, "b", "owns", 1),
            line(25, "b", "lost", 1),
            line(30, "a", "owns", 3),
        ],
        &["epoch-fell"],
    );
    assert_eq!(report.problems[0].lines(), [1, 3]);
}

#[test]
fn a_stale_write_that_was_accepted_is_found() {
    let report = finds(
        &[line(10, "r", "accepted", 2), line(11, "r", "accepted", 1)],
        &["stale-write"],
    );
    assert_eq!(
        report.problems[0].to_string(),
        "partition-0: 1.0.1 was accepted at 11 after 1.0.2"
    );
}

#[test]
fn a_lost_write_is_found_only_where_it_was_acknowledged_before() {
    let early = [write(5, "absent", 1, "x"), write(5, "acknowledged", 1, "x")];
    finds(&early, &[]);
    let late = [write(9, "absent", 2, "x"), write(9, "absent", 2, "y")];
    let report = finds(&[&early[..], &late[..]].concat(), &["lost-write"]);
    assert_eq!(report.problems[0].lines(), [2, 3]);
    assert_eq!(
        report.problems[0].to_string(),
        "partition-0: \"x\", acknowledged under 1.0.1 at 5, is absent under 1.0.2 at 9"
    );
}

#[test]
fn more_problems_than_asked_for_are_counted() {
    let lines: Vec<String> = (1..=40)
        .rev()
        .enumerate()
        .map(|(at, epoch)| line(at as u64, "r", "accepted", epoch))
        .collect();
    let three = Limits {
        problems: 3,
        ..Limits::default()
    };
    let report = check(lines.join("\n").as_bytes(), three).unwrap();
    assert_eq!((report.problems.len(), report.found), (3, 39));
}

#[test]
fn nonsense_is_refused_with_its_line() {
    #[track_caller]
    fn refused(text: &str, words: &str) {
        let error = check(text.as_bytes(), Limits::default())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 2 of the history"), "{error}");
        assert!(error.contains(words), "{error}");
    }
    refused("\n{\"at\":1}\n", "not valid");
    refused("\nnonsense\n", "not valid");
    refused("\n[]", "not valid");
    refused("\n\u{0}", "not valid");
    refused(&format!("\n{}", line(1, "a", "owned", 1)), "owned");
    refused(&format!("\n{}", line(1, "a", "absent", 1)), "no `write`");
    let unknown = line(1, "a", "owns", 1).replace("node", "nodes");
    refused(&format!("\n{unknown}"), "nodes");
    let put = "{\"op\":\"put\",\"client\":\"c\",\"key\":\"k\",\"start\":1,\"outcome\":\"ok\"";
    refused(&format!("\n{put},\"end\":2}}"), "no `value`");
    refused(&format!("\n{put},\"ende\":2}}"), "ende");
    refused(&format!("\n{}}}", put.replace("put", "putt")), "putt");
    refused(
        &format!("\n{}", " ".repeat(70_000)),
        "more than 65536 bytes",
    );
}

#[test]
fn bytes_that_are_no_text_are_refused_and_an_empty_history_is_clean() {
    let error = check(&b"\xff\xfe\n"[..], Limits::default()).unwrap_err();
    assert!(
        matches!(error, HistoryError::Line { line: 1, .. }),
        "{error}"
    );
    assert_eq!(
        check(&b""[..], Limits::default()).unwrap(),
        Report::default()
    );
}
