//! The command of the README.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{BOUND, ports, request, wait_for};

#[test]
fn one_command_starts_a_cluster_and_an_interrupt_ends_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let base = ports::block(3);
    let mut dev = Command::new(env!("CARGO_BIN_EXE_ck-sql"))
        .args(["dev", "--http-base", &base.to_string(), "--data"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // As a terminal does it: an interrupt is for all of them.
        .process_group(0)
        .spawn()
        .unwrap();
    let ask = |at: u16, path: &str, body: &serde_json::Value| {
        let address = SocketAddr::from(([127, 0, 0, 1], base + at));
        let body = body.to_string();
        let bound = Duration::from_secs(15);
        let reply = request(address, "POST", path, &[], body.as_bytes(), bound).ok()?;
        (reply.status == 200).then(|| reply.json())
    };
    let schema = json!({ "sql": "CREATE TABLE orders (id INTEGER PRIMARY KEY, cents INTEGER)" });
    wait_for("all nodes serve", BOUND, || {
        ask(0, "/query", &json!({ "sql": "SELECT 1" }))?;
        ask(2, "/query", &json!({ "sql": "SELECT 1" }))
    });
    ask(1, "/schema", &schema).unwrap();
    let insert = json!({ "sql": "INSERT INTO orders (cents) VALUES (?)", "params": [1250] });
    ask(2, "/sql/ada", &insert).unwrap();
    let sum =
        json!({ "sql": "SELECT sum(cents) AS total FROM orders", "merge": [{ "sum": "total" }] });
    assert_eq!(ask(0, "/query", &sum).unwrap()["rows"], json!([[1250]]));
    let group = format!("-{}", dev.id());
    let told = Command::new("kill")
        .args(["-s", "INT", "--", &group])
        .status();
    assert!(told.unwrap().success());
    let ended = wait_for("it ends", BOUND, || dev.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
    for at in 0..3 {
        assert!(
            ask(at, "/query", &sum).is_none(),
            "node-{} is still there",
            at + 1
        );
    }
}
