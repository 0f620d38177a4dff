//! Partitions that are elsewhere already: a first table that is given.

use ck_http::fake::Fake;
use serde_json::{Value, json};

use crate::support::{Live, captured};

/// A table of 64 rows over three nodes, none in the order a placement would choose.
fn body() -> Value {
    let rows: Vec<_> = (0..64_u32).map(|row| [row % 2, 2, (row + 1) % 2]).collect();
    json!({"table": {"nodes": ["node-1", "node-2", "node-3"], "rows": rows}})
}

#[tokio::test]
async fn a_given_table_is_taken_row_for_row() {
    let live = Live::start(Fake::formed(captured(), 3)).await;
    let got = live
        .json("POST", "/v1/partitions", &body().to_string())
        .await;
    assert_eq!(got.status, 201, "{got:?}");
    let rows = live.get("/partitions").await.json()["partitions"].clone();
    for (number, row) in rows.as_array().unwrap().iter().enumerate() {
        let (first, last) = match number % 2 {
            0 => ("node-1", "node-2"),
            _ => ("node-2", "node-1"),
        };
        assert_eq!(row["primary_node"], first, "{row}");
        assert_eq!(row["replica_nodes"], json!(["node-3", last]), "{row}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_is_refused_and_changes_nothing() {
    let live = Live::start(Fake::formed(captured(), 3)).await;
    let with = |change: fn(&mut Value)| {
        let mut body = body();
        change(&mut body["table"]);
        body.to_string()
    };
    let cases: [(&str, u16, String); 8] = [
        (
            "table.rows",
            400,
            with(|table| table["rows"][3] = json!([0, 0])),
        ),
        (
            "table.rows",
            400,
            with(|table| table["rows"][3] = json!([3])),
        ),
        (
            "table.rows",
            400,
            with(|table| table["rows"][3] = json!(vec![0; 17])),
        ),
        ("table.rows", 400, with(|table| table["rows"] = json!([]))),
        (
            "table.nodes",
            400,
            with(|table| table["nodes"][0] = json!("")),
        ),
        (
            "table.rows",
            400,
            with(|table| table["nodes"][0] = json!("node-4")),
        ),
        ("partition", 409, with(|table| table["rows"][3] = json!([]))),
        (
            "node-9",
            409,
            with(|table| table["nodes"][2] = json!("node-9")),
        ),
    ];
    for (part, status, body) in cases {
        let got = live.json("POST", "/v1/partitions", &body).await;
        let said = String::from_utf8_lossy(&got.body).into_owned();
        assert_eq!(got.status, status, "{said}");
        assert!(said.contains(part), "{part}: {said}");
    }
    let short = r#"{"table":{"nodes":["node-1"],"rows":[[0]]}}"#;
    let got = live.json("POST", "/v1/partitions", short).await;
    assert_eq!(got.status, 409, "{got:?}");
    assert_eq!(live.get("/partitions").await.json()["count"], 0);
}
