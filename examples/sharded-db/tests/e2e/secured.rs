//! Tokens, and no certificates: nodes show the admin's to one another.

use serde_json::{Value, json};

use crate::moving::NOTES;
use crate::support::{ADMIN, BOUND, Cluster, wait_for};

const TOKENS: &str = "admin 4dm1n\noperate 0perate\nread r3ad\n";

#[test]
fn rows_are_asked_for_and_moved_by_who_has_a_token() {
    let mut cluster = Cluster::guarded(3, 2, 6, ["fast", "5s"], TOKENS);
    let one = &cluster.nodes[0];
    let schema = json!({ "statements": [NOTES], "expected": 0 });
    one.ok("POST", "/schema", &schema);
    for key in 0..12 {
        let insert = "INSERT INTO notes VALUES (?, 'x')";
        one.sql(&format!("key-{key}"), insert, &json!([key]));
    }
    let rows = |cluster: &Cluster, at: usize| cluster.nodes[at].query("SELECT n FROM notes").len();
    assert_eq!((rows(&cluster, 0), rows(&cluster, 1)), (12, 12));
    let insert = json!({ "sql": "INSERT INTO notes VALUES (99, 'y')" }).to_string();
    let query = json!({ "sql": "SELECT n FROM notes" }).to_string();
    let run = json!({ "read": true, "statements": [] }).to_string();
    for (method, path, body, admitted) in [
        ("POST", "/sql/key-0", &insert, "0perate"),
        ("POST", "/query", &query, "r3ad"),
        ("POST", "/sql-peer/0/run", &run, ADMIN),
        ("GET", "/schema", &String::new(), "r3ad"),
    ] {
        let status = |token| {
            let reply = cluster.nodes[0].try_send_as(token, method, path, body);
            reply.expect("an answer").status
        };
        assert_eq!(status(None), 401, "{path}");
        let tokens = ["r3ad", "0perate", ADMIN];
        let role = tokens.iter().position(|token| *token == admitted).unwrap();
        for token in &tokens[..role] {
            assert_eq!(status(Some(token)), 403, "{path} with {token}");
        }
        let done = status(Some(admitted));
        assert!(
            ![401, 403].contains(&done),
            "{path} with {admitted}: {done}"
        );
    }
    // A file crosses, too.
    cluster.nodes[2].start();
    wait_for("the third node is ready", BOUND, || {
        cluster.nodes[2].is_ready().then_some(())
    });
    cluster.rebalance();
    wait_for("it has its share", BOUND, || {
        let held = cluster.nodes[0].rows();
        (held.iter().filter(|row| row.1 == "node-3").count() == 2).then_some(())
    });
    let all = cluster.nodes[2].ok("GET", "/schema", &Value::Null);
    assert!(!all.is_null());
    assert_eq!(rows(&cluster, 2), 13);
}
