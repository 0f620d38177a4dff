//! `ck place` and `ck key --spec`: planning without any server.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{ck, run, run_with};

fn spec(nodes: u32) -> Value {
    let nodes: Vec<Value> = (0..nodes)
        .map(|n| json!({ "id": format!("n{n}"), "domain": format!("d{}", n % 3) }))
        .collect();
    json!({ "partitions": 256, "replication_factor": 3, "spread": 2, "nodes": nodes })
}

#[track_caller]
fn batch(lines: &[String]) -> Vec<Value> {
    let output = run_with(&["place", "--batch"], lines.join("\n").as_bytes());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_batch_answers_plan_and_stats_of_every_spec() {
    let first = batch(&[spec(10).to_string()]).remove(0);
    assert_eq!(first["count"], 256);
    assert_eq!(first["partitions"][255]["id"], "partition-255");
    assert_eq!(first["plan"]["copies_moved"], 768);
    assert_eq!(first["plan"]["lower_bound"], 768);
    assert_eq!(first["plan"]["primaries_changed"], 0);
    assert_eq!(first["plan"]["optimal"], true);
    assert_eq!(first["plan"]["degraded"], false);
    assert_eq!(first["stats"]["total_partitions"], 256);
    for node in 0..10 {
        let id = format!("n{node}");
        let primaries = first["stats"]["partitions_per_node"][&id].as_u64().unwrap();
        let replicas = first["stats"]["replicas_per_node"][&id].as_u64().unwrap();
        assert!((25..=26).contains(&primaries), "{id}: {primaries}");
        assert!(
            (76..=77).contains(&(primaries + replicas)),
            "{id}: {replicas}"
        );
    }
}

#[test]
fn stats_tell_what_a_failure_domain_holds() {
    let answer = batch(&[spec(9).to_string()]).remove(0);
    let domains = answer["stats"]["domains"].as_object().unwrap();
    assert_eq!(domains.keys().collect::<Vec<_>>(), ["d0", "d1", "d2"]);
    for domain in domains.values() {
        assert_eq!(
            (&domain["nodes"], &domain["copies"]),
            (&3.into(), &256.into())
        );
        let touched = domain["partitions"].as_u64().unwrap();
        assert!((86..=256).contains(&touched), "{domain}");
    }
    assert_eq!(answer["stats"]["spread_violations"], 0);
}

#[test]
fn an_answer_can_be_given_back_as_previous() {
    let first = batch(&[spec(10).to_string()]).remove(0);
    let mut same = spec(10);
    same["previous"] = first.clone();
    let mut joined = spec(11);
    joined["previous"] = json!({ "partitions": first["partitions"] });
    let answers = batch(&[same.to_string(), joined.to_string()]);
    assert_eq!(answers[0]["plan"]["copies_moved"], 0);
    assert_eq!(answers[0]["partitions"], first["partitions"]);
    let moved = answers[1]["plan"]["copies_moved"].as_u64().unwrap();
    assert_eq!(answers[1]["plan"]["lower_bound"], moved);
    assert!((69..=70).contains(&moved), "{moved}");
}

#[test]
fn a_refused_line_is_answered_and_the_next_one_planned() {
    let mut wrong = spec(3);
    wrong["nodes"][1]["weight"] = json!(0);
    let answers = batch(&[
        wrong.to_string(),
        String::new(),
        "{\"partitions\":".to_owned(),
        "[".repeat(100_000),
        spec(3).to_string(),
    ]);
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0]["error"]["code"], "out-of-range");
    assert_eq!(answers[0]["error"]["field"], "nodes[1].weight");
    assert_eq!(answers[0]["error"]["value"], 0);
    assert_eq!(answers[1]["error"]["code"], "malformed-json");
    assert!(answers[2]["error"]["message"].is_string());
    assert_eq!(answers[3]["count"], 256);
}

#[test]
fn a_batch_is_a_conversation() {
    let mut child = ck()
        .args(["place", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    for nodes in [3, 4, 5] {
        writeln!(stdin, "{}", spec(nodes)).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["count"], 256);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_strategy_places_every_copy() {
    for strategy in ["balanced", "ring", "rendezvous", "rendezvous-md5"] {
        let mut spec = spec(9);
        spec["strategy"] = json!(strategy);
        spec["spread"] = json!(1);
        let answer = batch(&[spec.to_string()]).remove(0);
        assert_eq!(answer["count"], 256, "{strategy}: {answer}");
        for row in answer["partitions"].as_array().unwrap() {
            assert_eq!(
                row["replica_nodes"].as_array().unwrap().len(),
                2,
                "{strategy}"
            );
        }
    }
}

#[test]
fn a_spec_file_is_planned_as_text_and_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let toml = directory.path().join("cluster.toml");
    let text = "partitions = 100\nreplication_factor = 2\n[[nodes]]\nid = \"a\"\n[[nodes]]\n\
                id = \"b\"\nweight = 2\n[[nodes]]\nid = \"c\"\n";
    std::fs::write(&toml, text).unwrap();
    let path = toml.to_str().unwrap();
    let shown = run(&["place", "--spec", path]);
    assert!(shown.status.success());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("100 partitions, replication factor 2"),
        "{shown}"
    );
    assert!(shown.contains("a first placement of 200 copies"), "{shown}");
    assert!(shown.contains("36 more; --json prints all"), "{shown}");
    assert!(
        shown.lines().all(|line| line.chars().count() <= 100),
        "{shown}"
    );
    let json: Value =
        serde_json::from_slice(&run(&["place", "--spec", path, "--json"]).stdout).unwrap();
    assert_eq!(json["stats"]["partitions_per_node"]["b"], 50);

    let key = run(&["key", "user:1001", "--spec", path, "--json"]);
    let key: Value = serde_json::from_slice(&key.stdout).unwrap();
    let rows = json["partitions"].as_array().unwrap();
    assert!(rows.contains(&key), "{key}");
    let text = String::from_utf8(run(&["key", "user:1001", "--spec", path]).stdout).unwrap();
    assert!(
        text.contains(key["primary_node"].as_str().unwrap()),
        "{text}"
    );
}

#[test]
fn a_refused_spec_ends_with_4_and_an_unreadable_one_with_1() {
    let output = run_with(&["place", "--spec", "-"], b"partitions = 0\n");
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty());
    let mut wrong = spec(3);
    wrong["replication_factor"] = json!(17);
    let output = run_with(
        &["--json", "place", "--spec", "-"],
        wrong.to_string().as_bytes(),
    );
    assert_eq!(output.status.code(), Some(4));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["field"], "replication_factor");
    assert_eq!(error["error"]["value"], 17);
    assert_eq!(
        run(&["place", "--spec", "no/such/file"]).status.code(),
        Some(1)
    );
    assert_eq!(run(&["place"]).status.code(), Some(2));
    assert_eq!(
        run(&["place", "--batch", "--spec", "x"]).status.code(),
        Some(2)
    );
}

#[test]
fn no_usable_node_is_refused() {
    let mut none = spec(1);
    none["nodes"][0]["state"] = json!("down");
    let mut empty = spec(0);
    empty["spread"] = json!(1);
    for answer in batch(&[none.to_string(), empty.to_string()]) {
        assert_eq!(answer["error"]["code"], "no-usable-node");
        assert_eq!(answer["error"]["field"], "nodes");
    }
}

#[test]
fn fewer_nodes_than_copies_are_a_degraded_plan() {
    let answer = batch(&[spec(2).to_string()]).remove(0);
    assert_eq!(answer["plan"]["degraded"], true);
    assert_eq!(answer["stats"]["under_replicated"], 256);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = ck()
        .args(["place", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", spec(3)).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_json_file_is_read_as_json_whatever_it_begins_with() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("spec.json");
    for (text, code) in [
        ("[[]]", "invalid-value"),
        ("partitions = 1", "malformed-json"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(&["place", "--spec", file.to_str().unwrap(), "--json"]);
        assert_eq!(output.status.code(), Some(4), "{text}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], code, "{text}: {error}");
    }
}

#[test]
fn a_plan_says_why_a_copy_is_where_it_is_and_why_it_is_not_elsewhere() {
    let first = batch(&[spec(4).to_string()]).remove(0);
    let mut joined = spec(5);
    joined["previous"] = json!({ "partitions": first["partitions"] });
    let text = joined.to_string();
    let ask = |flags: &[&str]| {
        let flags = [&["place", "--spec", "-"], flags].concat();
        run_with(&flags, text.as_bytes())
    };
    let told = |flags: &[&str]| -> Value {
        let output = ask(&[flags, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut seen = (0, 0);
    for number in (0..256).step_by(8) {
        let id = format!("partition-{number}");
        let explained = told(&["--explain", &id]);
        assert_eq!(explained["id"], id);
        let copies = explained["copies"].as_array().unwrap();
        assert_eq!((copies.len(), &copies[0]["role"]), (3, &json!("primary")));
        let new = copies.iter().find(|copy| copy["why"] != "kept");
        let why_not = told(&["--why-not", &id, "n4"]);
        match new {
            Some(new) => {
                assert_eq!(new["node"], "n4");
                let why = new["why"].as_str().unwrap();
                assert!(["below-quota", "spread"].contains(&why), "{new}");
                assert_eq!(explained["departed"].as_array().unwrap().len(), 1);
                assert_eq!(why_not["why"], "has-it");
                seen.0 += 1;
            }
            None => {
                assert!(
                    ["full", "spread", "move-cost"].contains(&why_not["why"].as_str().unwrap())
                );
                seen.1 += 1;
            }
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0, "{seen:?}");
    let text = ask(&["--why-not", "partition-0", "n9"]);
    assert_eq!(
        String::from_utf8_lossy(&text.stdout),
        "partition-0, n9: there is no such node\n"
    );
    for (flags, code) in [
        (&["--explain", "partition-256"][..], 4),
        (&["--explain", "seven"], 2),
        (&["--why-not", "partition-0"], 2),
        (&["--explain", "0", "--why-not", "0", "n1"], 2),
    ] {
        let output = ask(flags);
        assert_eq!(output.status.code(), Some(code), "{flags:?}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}
