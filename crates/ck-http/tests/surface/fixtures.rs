//! Every captured answer of the Go cluster, asked for here: same status, same field names, same
//! types, and, where nothing is said to the contrary below, the same values.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ck_http::fake::Fake;
use serde_json::{Map, Value};

use crate::support::{Got, Live, captured};

/// Where our answers differ from the captured ones: file, place, reason. A place that ends in `*`
/// stands for all that begin so. One that is never met fails the test.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "cluster.json",
        "header cache-control",
        "30 s of staleness misroutes; revalidate by tag",
    ),
    (
        "cluster.json",
        "header etag",
        "was built from counts, so changes were answered 304",
    ),
    (
        "partitions.json",
        "header cache-control",
        "30 s of staleness misroutes; revalidate by tag",
    ),
    (
        "partitions.json",
        "header etag",
        "was built from counts, so changes were answered 304",
    ),
    (
        "health.json",
        "header content-type",
        "JSON was sent as text/plain",
    ),
    (
        "ready.json",
        "header content-type",
        "JSON was sent as text/plain",
    ),
    (
        "ready_503.json",
        "header content-type",
        "JSON was sent as text/plain",
    ),
    (
        "join_new_node_200.json",
        "header content-type",
        "JSON was sent as text/plain",
    ),
    (
        "consensus_leader.json",
        "/term",
        "was always 0; the real term",
    ),
    (
        "consensus_leader.json",
        "/elected_at",
        "was never set; the time of the election",
    ),
    (
        "consensus_stats.json",
        "/term",
        "was always 0; the real term",
    ),
    (
        "consensus_stats.json",
        "/last_log_index",
        "was always 0; the real index",
    ),
    (
        "consensus_stats.json",
        "/last_log_term",
        "was always 0; the real term",
    ),
    (
        "consensus_stats.json",
        "/commit_index",
        "was always 0; the real index",
    ),
    (
        "consensus_stats.json",
        "/applied_index",
        "was always 0; the real index",
    ),
    (
        "consensus_stats.json",
        "/num_peers",
        "was always 0; two others",
    ),
    (
        "health_detailed.json",
        "/last_sync",
        "was never set; the newest entry applied",
    ),
    ("health_detailed.json", "/uptime", "milliseconds are enough"),
    (
        "metrics.json",
        "/last_sync",
        "was never set; the newest entry applied",
    ),
];

struct Walk {
    file: String,
    met: BTreeSet<usize>,
    wrong: Vec<String>,
}

impl Walk {
    /// Whether a difference at that place is expected.
    fn is_listed(&mut self, place: &str) -> bool {
        let listed = DIFFERENCES.iter().position(|(file, known, _)| {
            *file == self.file
                && known
                    .strip_suffix('*')
                    .map_or(*known == place, |start| place.starts_with(start))
        });
        self.met.extend(listed);
        listed.is_some()
    }

    fn fail(&mut self, place: &str, what: &str) {
        self.wrong.push(format!("{} {place}: {what}", self.file));
    }

    fn compare(&mut self, place: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(theirs), Value::Object(ours)) => self.objects(place, theirs, ours),
            (Value::Array(theirs), Value::Array(ours)) => self.arrays(place, theirs, ours),
            _ if kind(theirs) != kind(ours) => {
                self.fail(place, &format!("{} became {}", kind(theirs), kind(ours)));
            }
            _ if theirs != ours && !self.is_listed(place) => {
                self.fail(place, &format!("{theirs} became {ours}"));
            }
            _ => {}
        }
    }

    fn objects(&mut self, place: &str, theirs: &Map<String, Value>, ours: &Map<String, Value>) {
        for (key, value) in theirs {
            let place = format!("{place}/{key}");
            match ours.get(key) {
                Some(ours) => self.compare(&place, value, ours),
                None => self.fail(&place, "is missing"),
            }
        }
    }

    /// Lists of things with an id are compared by id, since the captured order is random.
    fn arrays(&mut self, place: &str, theirs: &[Value], ours: &[Value]) {
        if theirs.len() != ours.len() {
            self.fail(
                place,
                &format!("{} became {} items", theirs.len(), ours.len()),
            );
        }
        for (at, value) in theirs.iter().enumerate() {
            let same = |other: &&Value| {
                value
                    .get("id")
                    .is_some_and(|id| other.get("id") == Some(id))
            };
            let found = match value.get("id") {
                Some(_) => ours.iter().find(same),
                None => ours.get(at),
            };
            let place = format!("{place}/{at}");
            match found {
                Some(found) => self.compare(&place, value, found),
                None => self.fail(&place, &format!("{value} is missing")),
            }
        }
    }

    fn headers(&mut self, theirs: &Map<String, Value>, got: &Got) {
        // Lengths and framing follow from the body, dates from the clock.
        let framing = ["date", "content-length", "connection", "transfer-encoding"];
        for (name, value) in theirs {
            let name = name.to_ascii_lowercase();
            if framing.contains(&name.as_str()) {
                continue;
            }
            let place = format!("header {name}");
            match got.header(&name) {
                None => self.fail(&place, "is missing"),
                Some(ours) if Some(ours) != value.as_str() && !self.is_listed(&place) => {
                    self.fail(&place, &format!("{value} became {ours:?}"));
                }
                Some(_) => {}
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What the Go library sends when a node joins.
const JOIN: &str = r#"{"node":{"id":"node-9","ip":"127.0.0.1:18089","port":0,"name":"Server-9",
    "status":"active","services":{"kv":"127.0.0.1:19089"}},"raft_addr":"127.0.0.1:20089"}"#;

/// The cluster as it was when that answer was captured, and the answer of ours.
async fn ask(file: &str, request: &str) -> Got {
    let fake = match file {
        "ready_503.json" => Fake::formed(captured(), 1),
        _ => Fake::with_partitions(captured(), 3),
    };
    if file == "join_on_follower_307.json" {
        fake.is_asked_at("node-2");
    }
    fake.answers_at("127.0.0.1:20089", "node-9");
    let live = Live::start(fake).await;
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let path = format!("/{}", path.trim_start_matches('/'));
    match method {
        "GET" => live.get(&path).await,
        _ => {
            let headers = [("content-type", "application/json"), ("prefer", "redirect")];
            live.send(method, &path, &headers, JOIN.as_bytes()).await
        }
    }
}

#[tokio::test]
async fn every_captured_answer_is_given_here() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/seed");
    let mut walk = Walk {
        file: String::new(),
        met: BTreeSet::new(),
        wrong: Vec::new(),
    };
    let mut visited = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        walk.file = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(walk.file.ends_with(".json"), "{} is not visited", walk.file);
        let fixture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let got = ask(&walk.file, fixture["request"].as_str().expect("a request")).await;
        if Some(u64::from(got.status)) != fixture["status"].as_u64() {
            walk.fail(
                "status",
                &format!("{} became {}", fixture["status"], got.status),
            );
        }
        walk.headers(fixture["headers"].as_object().expect("headers"), &got);
        walk.compare("", &fixture["body"], &got.json());
        visited += 1;
    }
    for (at, (file, place, _)) in DIFFERENCES.iter().enumerate() {
        if !walk.met.contains(&at) {
            walk.wrong
                .push(format!("{file} {place}: is listed as different and is not"));
        }
    }
    assert!(walk.wrong.is_empty(), "{:#?}", walk.wrong);
    assert_eq!(visited, 13, "a captured answer was added or lost");
}
