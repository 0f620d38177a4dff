use super::{Request, check, refused, with};

fn previous(rows: &str) -> String {
    with("previous", &format!(r#"{{"partitions":[{rows}]}}"#))
}

#[test]
fn a_previous_table_is_read_in_any_order_of_rows_and_fields() {
    let request = Request::from_text(&previous(
        r#"{"replica_nodes":["gone","n1"],"id":"partition-1","primary_node":"n2","epoch":4},
           {"id":"0","state":"stable","primary_node":"n1","replica_nodes":[]}"#,
    ))
    .unwrap();
    let table = request.previous.unwrap();
    let rows: Vec<Vec<&str>> = table
        .rows()
        .map(|row| row.nodes().map(ck_core::NodeId::as_str).collect())
        .collect();
    assert_eq!(rows, [vec!["n1"], vec!["n2", "gone", "n1"]]);
}

#[test]
fn an_empty_row_is_written_with_null_or_nothing() {
    let request = Request::from_text(&previous(
        r#"{"id":"partition-1","primary_node":null,"replica_nodes":[]},{"id":"partition-0"}"#,
    ))
    .unwrap();
    assert!(
        request
            .previous
            .unwrap()
            .rows()
            .all(|row| row.primary().is_none())
    );
}

#[test]
fn a_previous_table_that_is_not_one_row_a_partition_is_refused() {
    let row = r#"{"id":"partition-0","primary_node":"n1"}"#;
    check(
        &previous(row),
        "partition-count",
        "previous.partitions",
        "1",
    );
    check(
        &previous(&format!("{row},{row}")),
        "duplicate-partition",
        "previous.partitions[1].id",
        "\"partition-0\"",
    );
    check(
        &previous(&format!(r#"{row},{{"id":"partition-2"}}"#)),
        "out-of-range",
        "previous.partitions[1].id",
        "\"partition-2\"",
    );
    check(
        &previous(&format!(r#"{row},{{"id":"partition-01"}}"#)),
        "invalid-value",
        "previous.partitions[1].id",
        "\"partition-01\"",
    );
}

#[test]
fn a_previous_row_with_a_fault_is_refused_by_name() {
    let at = |fields: &str| previous(&format!(r#"{{"id":"partition-0"}},{{"id":"1",{fields}}}"#));
    check(
        &at(r#""primary_node":"a","replica_nodes":["b","a"]"#),
        "duplicate-node",
        "previous.partitions[1].replica_nodes",
        "\"a\"",
    );
    check(
        &at(r#""primary_node":"a\u0007""#),
        "invalid-value",
        "previous.partitions[1].primary_node",
        r#""a\u0007""#,
    );
    check(
        &at(r#""primary_node":"a","replica_nodes":["b",7]"#),
        "invalid-value",
        "previous.partitions[1].replica_nodes[1]",
        "7",
    );
    check(
        &at(r#""primary_node":"a","zone":1"#),
        "unknown-field",
        "previous.partitions[1].zone",
        "1",
    );
    check(
        &at(r#""primary_node":"a","primary_node":"b""#),
        "duplicate-field",
        "previous.partitions[1].primary_node",
        "\"b\"",
    );
    let (code, field, _) = refused(&at(r#""replica_nodes":["a"]"#));
    assert_eq!(
        (code.as_str(), field.as_deref()),
        ("invalid-value", Some("previous.partitions[1]"))
    );
    let many: Vec<String> = (0..17).map(|n| format!("\"m{n}\"")).collect();
    let (code, field, _) = refused(&at(&format!(
        r#""primary_node":"a","replica_nodes":[{}]"#,
        many.join(",")
    )));
    assert_eq!(code, "invalid-value");
    assert_eq!(
        field.as_deref(),
        Some("previous.partitions[1].replica_nodes")
    );
}
