//! What clients ask, and what they are told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{BOUND, Cluster, request, wait_for};

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, raw BLOB)";

#[test]
fn rows_go_to_the_partition_of_their_key_through_any_node() {
    let cluster = Cluster::new(3, 3, 8);
    let nodes = &cluster.nodes;
    let made = nodes[1].ok("POST", "/schema", &json!({ "sql": USERS }));
    assert_eq!(
        (&made["version"], &made["pending"]),
        (&json!(1), &json!([]))
    );
    for id in 0..40 {
        let node = &nodes[id % 3];
        let done = node.sql(
            &format!("user-{id}"),
            "INSERT INTO users VALUES (?, ?, ?)",
            &json!([id, format!("name-{id}"), { "base64": "AP8=" }]),
        );
        assert_eq!(done["changes"], 1);
    }
    for id in 0..40 {
        let path =
            format!("/sql/user-{id}?sql=SELECT+name,+raw+FROM+users+WHERE+id=?&params=[{id}]");
        let read = nodes[(id + 1) % 3].ok("GET", &path, &Value::Null);
        assert_eq!(read["columns"], json!(["name", "raw"]));
        assert_eq!(
            read["rows"],
            json!([[format!("name-{id}"), { "base64": "AP8=" }]])
        );
        let body = json!({ "sql": "SELECT count(*) FROM users WHERE id = ?", "params": [id], "read": true });
        let read = nodes[id % 3].ok("POST", &format!("/sql/user-{id}"), &body);
        assert_eq!(read["rows"], json!([[1]]));
    }
    scattered(&cluster);
    transactions(&cluster);
    odd_keys(&cluster);
    bad_statements(&cluster);
    fences(&cluster);
}

fn scattered(cluster: &Cluster) {
    let node = &cluster.nodes[2];
    let all = node.ok(
        "POST",
        "/query",
        &json!({ "sql": "SELECT id FROM users WHERE id >= ?", "params": [3], "order_by": ["id desc"], "limit": 3 }),
    );
    assert_eq!(all["rows"], json!([[39], [38], [37]]));
    assert_eq!(
        (&all["partitions"], &all["missing"]),
        (&json!(8), &json!([]))
    );
    let merged = node.ok(
        "POST",
        "/query",
        &json!({
            "sql": "SELECT id % 2 AS odd, count(*) AS n, sum(id) AS total, min(id) AS low, max(name) AS high \
                    FROM users GROUP BY odd",
            "merge": [{ "count": "n" }, { "sum": "total" }, { "min": "low" }, { "max": "high" }],
            "order_by": ["odd"],
        }),
    );
    assert_eq!(
        merged["rows"],
        json!([[0, 20, 380, 0, "name-8"], [1, 20, 400, 1, "name-9"]])
    );
    let refused = node.send("POST", "/query", &json!({ "sql": "DELETE FROM users" }));
    assert!(refused.status / 100 == 4, "{}", refused.text());
    assert_eq!(node.query("SELECT id FROM users").len(), 40);
    let refused = node.send(
        "POST",
        "/query",
        &json!({ "sql": "SELECT nothing FROM users" }),
    );
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("partition-0"), "{}", refused.text());
}

fn transactions(cluster: &Cluster) {
    let [one, two, _] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let insert = |id: u64, name: &str| json!({ "sql": "INSERT INTO users (id, name) VALUES (?, ?)", "params": [id, name] });
    let failing = json!([insert(100, "a"), insert(101, "a")]);
    let refused = one.send("POST", "/sql/pair", &failing);
    assert_eq!(refused.status, 409);
    let problem = refused.json();
    assert_eq!(problem["code"], "sql-constraint");
    assert!(problem["detail"].as_str().unwrap().contains("users.name"));
    let count = "SELECT count(*) FROM users WHERE id >= 100";
    assert_eq!(two.sql("pair", count, &json!([]))["rows"], json!([[0]]));
    let done = two.ok(
        "POST",
        "/sql/pair",
        &json!([insert(100, "a"), insert(101, "b")]),
    );
    assert_eq!(done["results"].as_array().unwrap().len(), 2);
    assert_eq!(one.sql("pair", count, &json!([]))["rows"], json!([[2]]));
}

fn odd_keys(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let long = "k".repeat(1_024);
    for (at, key) in [
        "%00",
        "..%2F..%2Fetc",
        "a/b",
        "%FF%FE",
        "+",
        "%25",
        "sql",
        long.as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        let sql = "INSERT INTO users (id) VALUES (?)";
        node.sql(key, sql, &json!([200 + at]));
        let sql = "SELECT count(*) FROM users WHERE id = ?";
        let read = cluster.nodes[1].sql(key, sql, &json!([200 + at]));
        assert_eq!(read["rows"], json!([[1]]), "{key}");
    }
    for (path, status) in [("/sql/", 400), ("/sql/%zz", 400)] {
        assert_eq!(
            node.send("POST", path, &json!({ "sql": "SELECT 1" }))
                .status,
            status
        );
    }
    let long = format!("/sql/{}", "k".repeat(1_025));
    assert_eq!(
        node.send("POST", &long, &json!({ "sql": "SELECT 1" }))
            .status,
        414
    );
    // Nothing but files of partitions, whatever the keys were.
    for node in &cluster.nodes {
        let files = cluster.files(&node.id);
        assert!(
            files.iter().all(|name| name.starts_with("partition-")),
            "{files:?}"
        );
    }
}

fn bad_statements(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let before = node.query("SELECT count(*), sum(id) FROM users");
    for (sql, status, code) in [
        ("SELEKT 1", 400, "sql-error"),
        ("", 400, "sql-parameters"),
        ("SELECT ?", 400, "sql-parameters"),
        ("DELETE FROM users; SELECT 1", 400, "sql-error"),
        ("DROP TABLE users", 403, "sql-denied"),
        ("ATTACH 'x' AS y", 403, "sql-denied"),
        ("PRAGMA journal_mode = OFF", 403, "sql-denied"),
        ("DELETE FROM ck_meta", 403, "sql-denied"),
        ("SELECT * FROM ck_meta", 403, "sql-denied"),
        ("SELECT load_extension('x')", 403, "sql-denied"),
        ("ROLLBACK", 403, "sql-denied"),
    ] {
        for key in ["user-1", "user-2", "user-3"] {
            let refused = node.send("POST", &format!("/sql/{key}"), &json!({ "sql": sql }));
            let problem = refused.json();
            assert_eq!(
                (refused.status, problem["code"].as_str()),
                (status, Some(code)),
                "{sql}"
            );
        }
    }
    for body in [
        json!({}),
        json!({ "sql": 1 }),
        json!([]),
        json!({ "sql": "SELECT 1", "x": 1 }),
    ] {
        assert_eq!(node.send("POST", "/sql/k", &body).status, 400, "{body}");
    }
    let refused = node.send(
        "POST",
        "/schema",
        &json!({ "sql": "INSERT INTO users VALUES (1)" }),
    );
    assert_eq!(refused.json()["code"], "schema-refused");
    let refused = node.send(
        "POST",
        "/schema",
        &json!({ "sql": "CREATE UNIQUE INDEX i ON users (raw)" }),
    );
    assert_eq!(
        refused.json()["code"],
        "schema-misfit",
        "{}",
        refused.text()
    );
    assert_eq!(node.send("PUT", "/schema", &json!({})).status, 405);
    // Every answer says how new this node's table is.
    assert!(refused.headers.contains_key("ck-version"));
    assert_eq!(node.ok("GET", "/schema", &Value::Null)["version"], 1);
    assert_eq!(node.query("SELECT count(*), sum(id) FROM users"), before);
}

fn fences(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let key = node.ok("GET", "/partitions/key?key=user-1", &Value::Null);
    let (id, epoch) = (key["id"].as_str().unwrap(), key["epoch"].as_u64().unwrap());
    let incarnation = node.ok("GET", "/partitions", &Value::Null)["incarnation"].clone();
    let number = id.rsplit('-').next().unwrap();
    let primary = key["primary_node"].as_str().unwrap();
    let ask = |node: &crate::support::Node, epoch: u64| {
        let fence = format!("{incarnation}.{number}.{epoch}");
        let headers = [("CK-Fence", fence.as_str())];
        let body = json!({ "sql": "SELECT 1" }).to_string();
        request(
            node.http,
            "POST",
            "/sql/user-1",
            &headers,
            body.as_bytes(),
            Duration::from_secs(5),
        )
        .unwrap()
    };
    for node in &cluster.nodes {
        let reply = ask(node, epoch);
        if node.id == primary {
            assert_eq!(reply.status, 200);
            let old = ask(node, epoch - 1);
            assert_eq!(
                (old.status, &old.json()["code"]),
                (409, &json!("epoch-old"))
            );
            let newer = ask(node, epoch + 1);
            assert_eq!(
                (newer.status, &newer.json()["code"]),
                (503, &json!("moving"))
            );
        } else {
            assert_eq!(reply.status, 421);
            let newest = &reply.json()["newest"];
            assert_eq!(
                (&newest["primary_node"], &newest["epoch"]),
                (&json!(primary), &json!(epoch))
            );
        }
    }
}

#[test]
fn a_node_that_is_down_takes_its_partitions_along_and_brings_them_back() {
    let mut cluster = Cluster::patient(3, 3, 6, "700ms");
    cluster.nodes[0].ok("POST", "/schema", &json!({ "sql": USERS }));
    for id in 0..30 {
        cluster.nodes[0].sql(
            &id.to_string(),
            "INSERT INTO users (id) VALUES (?)",
            &json!([id]),
        );
    }
    let rows = cluster.nodes[0].rows();
    let lost: Vec<_> = rows.iter().filter(|row| row.1 == "node-3").collect();
    assert!(!lost.is_empty() && lost.len() < rows.len());
    cluster.node("node-3").kill();
    let one = &cluster.nodes[0];
    let sql = json!({ "sql": "SELECT id FROM users" });
    let refused = one.send("POST", "/query", &sql);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["value"], json!(lost[0].0));
    let partial = json!({ "sql": "SELECT id FROM users", "partial": true });
    let partial = one.ok("POST", "/query", &partial);
    let missing: Vec<_> = partial["missing"].as_array().unwrap().iter().collect();
    let named: Vec<_> = missing
        .iter()
        .map(|one| one["partition"].as_str().unwrap())
        .collect();
    assert_eq!(
        named,
        lost.iter().map(|row| row.0.as_str()).collect::<Vec<_>>()
    );
    // The schema goes on meanwhile; whoever was away catches up before it serves.
    let changed = one.ok(
        "POST",
        "/schema",
        &json!({ "sql": "ALTER TABLE users ADD mail TEXT" }),
    );
    let pending: Vec<_> = changed["pending"].as_array().unwrap().iter().collect();
    assert_eq!(pending.len(), lost.len(), "{changed}");
    cluster.node("node-3").start();
    cluster.wait_until_served(3);
    let one = &cluster.nodes[0];
    let found = one.query("SELECT id, mail FROM users");
    assert_eq!(found.len(), 30);
    let schema = wait_for("the schema is everywhere", BOUND, || {
        let schema = one.ok("GET", "/schema", &Value::Null);
        (schema["pending"] == json!([])).then_some(schema)
    });
    assert_eq!(schema["version"], 2);
    for (before, after) in rows.iter().zip(cluster.nodes[1].rows()) {
        let raised = u64::from(before.1 == "node-3");
        assert_eq!((&before.1, before.2 + raised), (&after.1, after.2));
    }
}

#[test]
fn more_than_one_copy_is_refused() {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_ck-sql"))
        .args(["--id", "node-1", "--replication-factor", "3"])
        .output()
        .unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("keeps one copy"), "{said}");
}
