mod previous;

use crate::Request;

/// What a spec is refused with: code, field and value.
fn refused(text: &str) -> (String, Option<String>, Option<String>) {
    let refusal = Request::from_text(text).expect_err(text);
    assert!(!refusal.message.is_empty(), "{text}");
    let value = refusal.value.map(|value| value.to_string());
    (refusal.code.to_string(), refusal.field, value)
}

#[track_caller]
fn check(text: &str, code: &str, field: &str, value: &str) {
    let (got_code, got_field, got_value) = refused(text);
    assert_eq!(
        (
            got_code.as_str(),
            got_field.as_deref(),
            got_value.as_deref()
        ),
        (
            code,
            (!field.is_empty()).then_some(field),
            (!value.is_empty()).then_some(value)
        ),
        "{text}"
    );
}

/// A good spec of two partitions with one field replaced, or added.
fn with(field: &str, value: &str) -> String {
    let fields = [
        ("partitions", "2"),
        ("replication_factor", "2"),
        ("nodes", r#"[{"id":"n1"},{"id":"n2"}]"#),
    ];
    let mut text: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    if !value.is_empty() {
        text.push(format!("\"{field}\":{value}"));
    }
    format!("{{{}}}", text.join(","))
}

#[test]
fn a_good_spec_is_read_from_json_and_from_toml() {
    let json = Request::from_text(
        r#" {"partitions":4,"replication_factor":2,"spread":2,"strategy":"ring","hash":"md5-mod",
            "nodes":[{"id":"b","weight":3,"domain":"z1/r2","state":"draining"},{"id":"a"}]}"#,
    )
    .unwrap();
    let toml = Request::from_text(
        "partitions = 4\nreplication_factor = 2\nspread = 2\nstrategy = \"ring\"\n\
         hash = \"md5-mod\"\n[[nodes]]\nid = \"a\"\n[[nodes]]\nid = \"b\"\nweight = 3\n\
         domain = \"z1/r2\"\nstate = \"draining\"\n",
    )
    .unwrap();
    assert_eq!(json.topology, toml.topology);
    assert_eq!(json.spec, toml.spec);
    assert_eq!(json.strategy, toml.strategy);
    assert_eq!(json.hash, toml.hash);
    assert_eq!(json.topology.nodes()[1].weight, 3);
}

#[test]
fn every_value_out_of_range_is_refused_by_name() {
    check(&with("partitions", "0"), "out-of-range", "partitions", "0");
    check(
        &with("partitions", "16777217"),
        "out-of-range",
        "partitions",
        "16777217",
    );
    check(
        &with("replication_factor", "0"),
        "out-of-range",
        "replication_factor",
        "0",
    );
    check(
        &with("replication_factor", "17"),
        "out-of-range",
        "replication_factor",
        "17",
    );
    check(
        &with("replication_factor", "300"),
        "out-of-range",
        "replication_factor",
        "300",
    );
    check(&with("spread", "3"), "out-of-range", "spread", "3");
    check(
        &with("tolerance_permille", "1001"),
        "out-of-range",
        "tolerance_permille",
        "1001",
    );
    check(&with("spread", "0"), "out-of-range", "spread", "0");
    check(
        &with("nodes", r#"[{"id":"a","weight":0}]"#),
        "out-of-range",
        "nodes[0].weight",
        "0",
    );
    check(
        &with("nodes", r#"[{"id":"a","weight":4294967296}]"#),
        "out-of-range",
        "nodes[0].weight",
        "4294967296",
    );
}

#[test]
fn ways_to_be_even_that_exclude_one_another_are_refused_by_name() {
    for (fields, field, value) in [
        (r#"50,"strict":true"#, "tolerance_permille", "50"),
        (r#"50,"least_maximum":true"#, "tolerance_permille", "50"),
        (
            r#"0,"strict":true,"least_maximum":true"#,
            "least_maximum",
            "true",
        ),
    ] {
        let text = with("tolerance_permille", fields);
        check(&text, "invalid-value", field, value);
    }
    let loose = Request::from_text(&with("tolerance_permille", "50")).unwrap();
    assert_eq!(loose.spec.tolerance_permille(), 50);
}

#[test]
fn every_value_of_the_wrong_kind_is_refused_by_name() {
    check(
        &with("partitions", "-1"),
        "out-of-range",
        "partitions",
        "-1",
    );
    check(
        &with("partitions", "1.5"),
        "invalid-value",
        "partitions",
        "1.5",
    );
    check(
        &with("partitions", "1e99999"),
        "out-of-range",
        "partitions",
        "\"1e99999\"",
    );
    check(
        &with("partitions", "null"),
        "invalid-value",
        "partitions",
        "null",
    );
    check(&with("spread", "[]"), "invalid-value", "spread", "[]");
    check(
        &with("strategy", "\"best\""),
        "invalid-value",
        "strategy",
        "\"best\"",
    );
    check(
        &with("hash", "\"sha1\""),
        "invalid-value",
        "hash",
        "\"sha1\"",
    );
    check(
        &with("nodes", r#"[{"id":"a"},{"id":7}]"#),
        "invalid-value",
        "nodes[1].id",
        "7",
    );
    check(
        &with("nodes", r#"[{"id":"a","state":"asleep"}]"#),
        "invalid-value",
        "nodes[0].state",
        "\"asleep\"",
    );
}

#[test]
fn unknown_missing_and_repeated_fields_are_refused_by_name() {
    check(&with("zone", "\"a\""), "unknown-field", "zone", "\"a\"");
    check(
        &with("nodes", r#"[{"id":"a","x":[1]}]"#),
        "unknown-field",
        "nodes[0].x",
        "[1]",
    );
    check(&with("nodes", ""), "missing-field", "nodes", "");
    check(
        &with("nodes", r#"[{"weight":1}]"#),
        "missing-field",
        "nodes[0].id",
        "",
    );
    check(
        r#"{"partitions":1,"partitions":2}"#,
        "duplicate-field",
        "partitions",
        "2",
    );
    check(
        &with("nodes", r#"[{"id":"a","id":"b"}]"#),
        "duplicate-field",
        "nodes[0].id",
        "\"b\"",
    );
    check(
        &with("previous", r#"{"rows":[]}"#),
        "unknown-field",
        "previous.rows",
        "[]",
    );
    check(
        &with("previous", "{}"),
        "missing-field",
        "previous.partitions",
        "",
    );
}

#[test]
fn node_ids_are_checked() {
    check(
        &with("nodes", r#"[{"id":"a"},{"id":"b"},{"id":"a"}]"#),
        "duplicate-node",
        "nodes[2].id",
        "\"a\"",
    );
    check(
        &with("nodes", r#"[{"id":""}]"#),
        "invalid-value",
        "nodes[0].id",
        "\"\"",
    );
    check(
        &with("nodes", r#"[{"id":"a\n"}]"#),
        "invalid-value",
        "nodes[0].id",
        r#""a\n""#,
    );
    let long = "x".repeat(129);
    check(
        &with("nodes", &format!(r#"[{{"id":"{long}"}}]"#)),
        "invalid-value",
        "nodes[0].id",
        &format!("\"{long}\""),
    );
    check(
        &with("nodes", r#"[{"id":"a","domain":"a//b"}]"#),
        "invalid-value",
        "nodes[0].domain",
        "\"a//b\"",
    );
}

#[test]
fn a_long_value_is_cut_when_it_is_quoted_back() {
    let refusal =
        Request::from_text(&with("strategy", &format!("\"{}\"", "é".repeat(5000)))).unwrap_err();
    assert!(refusal.value.unwrap().as_str().unwrap().len() < 300);
}

#[test]
fn broken_syntax_is_an_error_and_never_a_crash() {
    check("{", "malformed-json", "", "");
    check(
        &format!("{} x", with("spread", "1")),
        "malformed-json",
        "",
        "",
    );
    check(&"[".repeat(100_000), "malformed-toml", "", "");
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert_eq!(refused(&deep).0, "unknown-field");
    let deep = with(
        "partitions",
        &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    );
    assert_eq!(refused(&deep).1.as_deref(), Some("partitions"));
    let deep = with(
        "previous",
        &format!("{{\"stats\":{}", "{\"a\":".repeat(100_000)),
    );
    assert_eq!(refused(&deep).0, "malformed-json");
    check("partitions = ", "malformed-toml", "", "");
    check("partitions = 1\npartitions = 2", "malformed-toml", "", "");
    check("", "missing-field", "partitions", "");
}

#[test]
fn toml_faults_are_refused_by_name() {
    let nodes = "replication_factor = 1\n[[nodes]]\nid = \"a\"\n";
    check(
        &format!("partitions = 0\n{nodes}"),
        "out-of-range",
        "partitions",
        "0",
    );
    check(
        &format!("partitions = \"x\"\n{nodes}"),
        "invalid-value",
        "partitions",
        "\"x\"",
    );
    check(
        &format!("partitions = 1\n{nodes}zone = \"z\"\n"),
        "unknown-field",
        "nodes[0].zone",
        "\"z\"",
    );
}

#[test]
fn a_list_where_an_object_is_meant_is_refused() {
    let list = r#"[4,2,1,"ring","xxh3",[{"id":"a"}],null]"#;
    let refusal = Request::from_json(list).unwrap_err();
    assert_eq!((refusal.code, refusal.field), ("invalid-value", None));
    assert!(
        refusal.message.contains("use an object"),
        "{}",
        refusal.message
    );
    check(
        &with("nodes", r#"[["a",1,null,null]]"#),
        "invalid-value",
        "nodes[0]",
        r#"["a",1,null,null]"#,
    );
    check(
        &with("previous", "[[]]"),
        "invalid-value",
        "previous",
        "[[]]",
    );
    check(
        &with("previous", r#"{"partitions":[["0","a",[]]]}"#),
        "invalid-value",
        "previous.partitions[0]",
        r#"["0","a",[]]"#,
    );
    check(&with("strategy", "[]"), "invalid-value", "strategy", "[]");
    check(&with("hash", "{}"), "invalid-value", "hash", "{}");
}

#[test]
fn no_message_names_a_rust_type() {
    for text in [
        "[]".to_owned(),
        "7".to_owned(),
        with("partitions", "1.5"),
        with("partitions", "-1"),
        with("spread", "\"x\""),
        with("nodes", "{}"),
        with("nodes", "[7]"),
        with("nodes", "[[]]"),
        with("nodes", r#"[{"id":[]}]"#),
        with("strategy", "7"),
        with("hash", "7"),
        with("previous", "7"),
        with("previous", r#"{"partitions":7}"#),
        with("previous", r#"{"partitions":[{"id":7}]}"#),
    ] {
        let message = Request::from_json(&text).unwrap_err().message;
        for name in [
            "struct", "Raw", "u64", "floating", "enum", "sequence", "expected",
        ] {
            assert!(!message.contains(name), "{text}: {message}");
        }
    }
}
