//! What a node logs, as text and as JSON.

use serde_json::Value;

use crate::support::{BOUND, Cluster, run};

#[test]
fn every_line_of_a_log_in_json_is_an_object() {
    let flags = [
        "--replication-factor",
        "1",
        "--log-format",
        "json",
        "--json",
    ];
    let mut cluster = Cluster::ready(1, &flags);
    let node = cluster.servers[0].process();
    node.wait_for_text("registered", BOUND);
    node.signal("TERM");
    let status = node.wait_for_end(BOUND);
    let printed = node.printed();
    assert_eq!(status.code(), Some(0), "{printed}");
    let mut logged = 0;
    for line in printed.lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        // The announcements on standard output are objects as well.
        if line["level"].is_string() {
            logged += 1;
            assert!(line["timestamp"].is_string(), "{line}");
            assert!(
                line["target"].as_str().unwrap().starts_with("ck_"),
                "{line}"
            );
            assert!(line["fields"]["message"].is_string(), "{line}");
        }
    }
    assert!(logged >= 2, "{printed}");
}

#[test]
fn another_format_is_refused_by_name() {
    let output = run(&["serve", "--id", "n", "--log-format", "xml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("xml") && said.contains("json"), "{said}");
}
