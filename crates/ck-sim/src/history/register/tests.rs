use super::super::{Limits, Problem, Report, check};

/// One operation in short: `put v 0-9`, `get v 3-5`, `get - 3-5`, `delete 1-2`, `cas a>b 1-2`,
/// `mismatch a 1-2`, `put v 3-?` of unknown outcome, `put v 3-!` of one that failed.
fn line(short: &str) -> String {
    let words: Vec<&str> = short.split(' ').collect();
    let (start, end) = words[words.len() - 1].split_once('-').unwrap();
    let (outcome, end) = match end {
        "?" => ("unknown", String::new()),
        "!" => ("failed", String::new()),
        end if words[0] == "mismatch" => ("mismatch", format!(",\"end\":{end}")),
        end => ("ok", format!(",\"end\":{end}")),
    };
    let value = |name: &str, text: &str| match text {
        "-" => String::new(),
        text => format!(",\"{name}\":\"{text}\""),
    };
    let (op, fields) = match words[0] {
        "cas" => {
            let (expected, new) = words[1].split_once('>').unwrap();
            ("cas", value("expected", expected) + &value("value", new))
        }
        "mismatch" => (
            "cas",
            value("expected", words[1]) + &value("value", "never"),
        ),
        "delete" => ("delete", String::new()),
        op => (op, value("value", words[1])),
    };
    format!(
        "{{\"op\":\"{op}\",\"client\":\"c\",\"key\":\"k\",\"start\":{start},\
         \"outcome\":\"{outcome}\"{fields}{end}}}"
    )
}

fn report(history: &[&str]) -> Report {
    let lines: Vec<String> = history.iter().map(|short| line(short)).collect();
    check(lines.join("\n").as_bytes(), Limits::default()).unwrap()
}

#[track_caller]
fn right(history: &[&str]) {
    let report = report(history);
    assert_eq!((report.problems, report.undecided), (vec![], vec![]));
}

#[track_caller]
fn wrong(history: &[&str], kind: &str, lines: &[u64]) {
    let report = report(history);
    let found: Vec<_> = report.problems.iter().map(Problem::kind).collect();
    assert_eq!(found, [kind], "{:?}", report.problems);
    assert_eq!(report.problems[0].lines(), lines);
    assert_eq!(report.lost_writes, u64::from(kind == "lost-write"));
}

#[test]
fn operations_one_after_another_see_what_the_one_before_left() {
    right(&[
        "get - 0-1",
        "put a 2-3",
        "get a 4-5",
        "cas a>b 6-7",
        "mismatch a 8-9",
        "get b 10-11",
        "delete 12-13",
        "get - 14-15",
        "cas ->c 16-17",
        "cas c>- 18-19",
        "get - 20-21",
    ]);
}

#[test]
fn operations_at_the_same_time_may_take_either_order() {
    let writes = ["put a 0-10", "put b 0-10"];
    right(&[&writes[..], &["get a 11-12"]].concat());
    right(&[&writes[..], &["get b 11-12"]].concat());
    right(&[&writes[..], &["get a 1-2", "get b 3-4"]].concat());
    wrong(
        &[&writes[..], &["get a 11-12", "get b 13-14"]].concat(),
        "not-linearizable",
        // Whatever was written before them, nobody wrote between the two.
        &[3, 4],
    );
    // Reversed on purpose: three that overlap, read in the order opposite to that of the lines.
    right(&[
        "put a 0-20",
        "put b 0-20",
        "put c 0-20",
        "get c 1-3",
        "get b 4-6",
        "get a 7-9",
    ]);
}

#[test]
fn a_planted_stale_read_is_caught() {
    let history = ["put a 0-1", "put b 2-3", "get a 4-5", "get b 6-7"];
    wrong(&history, "stale-read", &[1, 2, 3]);
    let report = report(&history);
    assert_eq!(
        report.problems[0].to_string(),
        "key k: read what had been replaced before, 3 operations from 0 to 5"
    );
}

#[test]
fn a_planted_lost_write_is_caught() {
    wrong(&["put a 0-1", "get - 2-3"], "lost-write", &[1, 2]);
    wrong(
        &["put a 0-1", "put b 2-3", "get a 4-5", "get a 6-7"]
            .iter()
            .copied()
            .take(3)
            .collect::<Vec<_>>(),
        "lost-write",
        &[1, 2, 3],
    );
    // Seen once before it was gone: it was there, and is lost nevertheless.
    wrong(
        &["put a 0-1", "put b 2-3", "get b 4-5", "get a 6-7"],
        "lost-write",
        &[1, 2, 4],
    );
    wrong(
        &["put a 0-1", "delete 2-3", "get a 4-5"],
        "lost-write",
        &[1, 2, 3],
    );
}

#[test]
fn one_lost_write_is_counted_once_however_often_it_is_missed() {
    let report = report(&["put a 0-1", "get - 2-3", "get - 4-5", "get - 6-7"]);
    assert_eq!((report.found, report.lost_writes), (3, 1));
}

#[test]
fn what_nobody_wrote_is_not_read() {
    wrong(&["get x 0-1"], "unwritten-read", &[1]);
    wrong(&["get x 0-1", "put x 2-3"], "unwritten-read", &[1]);
    wrong(&["put x 0-!", "get x 2-3"], "unwritten-read", &[2]);
    wrong(&["cas x>y 0-1"], "unwritten-read", &[1]);
    right(&["put x 0-!", "get - 2-3"]);
}

#[test]
fn what_is_unknown_may_happen_late_or_never_and_once() {
    right(&["put a 0-?", "get - 1-2"]);
    right(&["put a 0-?", "get - 1-2", "get a 3-4"]);
    right(&["put b 0-1", "put a 0-?", "get b 90-91", "get a 92-93"]);
    right(&["put a 0-?", "put b 3-4", "get a 5-6"]);
    wrong(
        &[
            "put a 0-?",
            "get a 1-2",
            "put b 3-4",
            "get b 5-6",
            "get a 7-8",
        ],
        "not-linearizable",
        &[2, 4, 5],
    );
    // It does not happen before it was asked for.
    wrong(&["get a 1-2", "put a 3-?"], "unwritten-read", &[1]);
    right(&["put b 0-1", "delete 2-?", "get b 3-4", "get - 5-6"]);
}

#[test]
fn unknown_operations_explain_each_other() {
    right(&["put a 0-?", "cas a>b 0-?", "cas b>c 0-?", "get c 1-2"]);
    right(&["put a 0-1", "put x 2-?", "mismatch a 3-4"]);
    right(&[
        "put a 0-1",
        "cas x>y 2-?",
        "put x 2-?",
        "mismatch a 3-4",
        "get y 5-6",
    ]);
    wrong(
        &["put a 0-1", "cas x>y 2-?", "mismatch a 3-4"],
        "not-linearizable",
        &[1, 3],
    );
}

#[test]
fn a_compare_and_set_that_must_not_have_been_is_caught() {
    // Both took the same value away.
    wrong(
        &["put a 0-1", "cas a>b 2-9", "cas a>c 2-9"],
        "not-linearizable",
        &[2, 3],
    );
    wrong(
        &["put a 0-1", "mismatch a 2-3"],
        "not-linearizable",
        &[1, 2],
    );
    wrong(&["mismatch - 2-3"], "not-linearizable", &[1]);
    right(&["put a 0-3", "mismatch - 2-5"]);
}

#[test]
fn the_few_lines_that_contradict_are_found_among_many() {
    let mut history: Vec<String> = Vec::new();
    for at in 0..500 {
        let time = at * 10;
        history.push(format!("put v{at} {time}-{}", time + 4));
        history.push(format!("get v{at} {}-{}", time + 5, time + 9));
    }
    let short: Vec<&str> = history.iter().map(String::as_str).collect();
    right(&short);
    history.push("cas v499>a 6000-6009".into());
    history.push("cas v499>b 6000-6009".into());
    history.push("get b 6010-6011".into());
    let short: Vec<&str> = history.iter().map(String::as_str).collect();
    wrong(&short, "not-linearizable", &[1001, 1002]);
}

#[test]
fn keys_are_apart_and_equal_however_they_are_encoded() {
    let other = line("get - 2-3").replace("\"k\"", "\"%6C\"");
    let same = line("get - 2-3").replace("\"k\"", "\"%6b\"");
    let verdict = |second: &str| {
        let history = [&line("put a 0-1"), second].join("\n");
        check(history.as_bytes(), Limits::default()).unwrap()
    };
    assert_eq!((verdict(&other).found, verdict(&other).keys), (0, 2));
    assert_eq!((verdict(&same).found, verdict(&same).keys), (1, 1));
}

#[test]
fn what_cannot_be_decided_is_not_called_right() {
    // Many that overlap, and a read of none of them, which the rules do not object to.
    let mut history = vec!["put z 0-?".to_owned(), "get z 1-2".to_owned()];
    for at in 0..14 {
        history.push(format!("put v{at} 10-90"));
        history.push(format!("get v{at} 11-90"));
    }
    history.push("get z 100-101".to_owned());
    let lines: Vec<String> = history.iter().map(|short| line(short)).collect();
    let checked = |states| {
        let limits = Limits {
            states,
            ..Limits::default()
        };
        check(lines.join("\n").as_bytes(), limits).unwrap()
    };
    let few = checked(100);
    assert_eq!((few.undecided, few.found), (vec!["k".to_owned()], 0));
    let enough = checked(2_000_000);
    assert_eq!((enough.undecided.len(), enough.found), (0, 1));
}

#[test]
fn operations_that_overlap_a_change_of_the_primary_are_counted() {
    let owns = |at: u64, node: &str, seen: &str, epoch: u64| {
        format!(
            "{{\"at\":{at},\"node\":\"{node}\",\"seen\":\"{seen}\",\"partition\":3,\
             \"epoch\":{epoch},\"incarnation\":1}}"
        )
    };
    let operation = |short: &str, partition: u32| {
        line(short).replace(
            "\"outcome\"",
            &format!("\"partition\":{partition},\"outcome\""),
        )
    };
    let history = [
        owns(10, "a", "owns", 1),
        owns(20, "a", "lost", 1),
        owns(30, "b", "owns", 2),
        operation("get - 11-19", 3),
        operation("get - 11-20", 3),
        operation("get - 21-22", 3),
        operation("get - 30-31", 3),
        operation("get - 31-32", 3),
        operation("get - 21-22", 4),
        line("get - 21-22"),
    ];
    let report = check(history.join("\n").as_bytes(), Limits::default()).unwrap();
    assert_eq!((report.changes, report.overlapping), (1, 3));
    assert_eq!((report.operations, report.found), (7, 0));
}
