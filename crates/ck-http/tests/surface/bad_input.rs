//! Requests that nobody should send.

use ck_http::fake::Fake;
use ck_http::{SurfaceConfig, loopback_hosts};

use crate::support::{Live, captured, parse};

#[tokio::test]
async fn malformed_json_is_named_by_line_and_column() {
    let live = Live::three().await;
    for body in ["{\"dry_run\":", "{\n\"dry_run\": tru}", "nonsense", "{}{}"] {
        let got = live.json("POST", "/rebalance", body).await;
        let detail = got.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(
            (got.status, got.code().as_str()),
            (400, "malformed-json"),
            "{detail}"
        );
        assert!(
            detail.contains("line ") && detail.contains("column "),
            "{detail}"
        );
    }
    for body in [
        r#"{"dry_run":1e99999}"#,
        r#"{"dry_run":1}"#,
        "[]",
        "[true]",
        "null",
        r#""x""#,
        &"[".repeat(100_000),
    ] {
        assert_eq!(
            live.json("POST", "/rebalance", body).await.status,
            400,
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_unknown_or_repeated_field_is_named() {
    let live = Live::three().await;
    for (body, field) in [
        (r#"{"dryrun":true}"#, "dryrun"),
        (r#"{"dry_run":true,"dry_run":true}"#, "dry_run"),
    ] {
        let got = live.json("POST", "/rebalance", body).await;
        assert_eq!(got.code(), "invalid-body");
        assert_eq!(got.json()["field"], field);
    }
    for (method, path, body, field) in [
        (
            "PATCH",
            "/v1/nodes/node-2",
            r#"{"labels":{"a":"1","b":"2","a":"1"}}"#,
            "labels.a",
        ),
        (
            "PATCH",
            "/v1/nodes/node-2",
            r#"{"services":{"s":"1","\u0073":"2"}}"#,
            "services.s",
        ),
        (
            "POST",
            "/v1/join",
            r#"{"node":{"id":"a","ip":"h:1","services":{"kv":"1","kv":"2"}}}"#,
            "node.services.kv",
        ),
    ] {
        let got = live.json(method, path, body).await;
        assert_eq!((got.status, got.code().as_str()), (400, "invalid-body"));
        assert_eq!(got.json()["field"], field, "{body}");
    }
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused() {
    let live = Live::three().await;
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/json",
    ] {
        let got = live
            .send("POST", "/rebalance", &[("content-type", kind)], b"{}")
            .await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (415, "unsupported-media-type"),
            "{kind}"
        );
    }
    let gzip = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(
        live.send("POST", "/rebalance", &gzip, b"{}").await.status,
        415
    );
    assert_eq!(
        live.send("PUT", "/v1/custom/a", &gzip, b"{}").await.status,
        415
    );
}

#[tokio::test]
async fn every_path_takes_its_own_methods_only() {
    let live = Live::three().await;
    let routes: Vec<_> = ck_http::routes().collect();
    for path in routes.iter().map(|route| &route.path) {
        let methods: Vec<_> = routes.iter().filter(|route| route.path == *path).collect();
        let target = path.replace("{id}", "1").replace("{key}", "k");
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if methods.iter().any(|route| route.method.as_str() == method) {
                continue;
            }
            let got = live.send(method, &target, &[], b"").await;
            assert_eq!(
                (got.status, got.code().as_str()),
                (405, "method-not-allowed"),
                "{target}"
            );
            let allow = got.header("allow").unwrap();
            for route in &methods {
                assert!(
                    allow.contains(route.method.as_str()),
                    "{method} {target}: {allow}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_is_none_is_a_problem() {
    let live = Live::three().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/nodes",
        "/partitions/",
        "//partitions",
        "/v1/../v1/nodes",
        "/v1/%2e%2e/nodes",
        "/v1/custom/../nodes",
        "/partitions/1/2",
        "/etc/passwd",
    ] {
        let got = live.get(path).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (404, "not-found"),
            "{path}"
        );
    }
    let hint = live.get("/confg").await.json()["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(hint.contains("see GET"), "{hint}");
    let hint = live.get("/peer").await.json()["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(hint.contains("it is /v1/peer"), "{hint}");
}

#[tokio::test]
async fn a_key_is_given_once_and_not_empty() {
    let live = Live::three().await;
    for (query, code) in [
        ("", "missing-parameter"),
        ("?key", "missing-parameter"),
        ("?key=", "missing-parameter"),
        ("?keys=a", "missing-parameter"),
        ("?key=a&key=a", "repeated-parameter"),
    ] {
        let got = live.get(&format!("/partitions/key{query}")).await;
        assert_eq!((got.status, got.code().as_str()), (400, code), "{query}");
    }
    let longest = format!("/partitions/key?key={}", "%61".repeat(8 << 10));
    assert_eq!(live.get(&longest).await.status, 200);
    for length in [(8 << 10) + 1, 30 << 10, 64 << 10] {
        let got = live
            .get(&format!("/partitions/key?key={}", "k".repeat(length)))
            .await;
        assert_eq!(got.status, 414, "{length}");
    }
}

#[tokio::test]
async fn a_key_of_any_bytes_is_the_same_key_everywhere() {
    let live = Live::three().await;
    let hash = captured().hash;
    let all: Vec<u8> = (0..=255).collect();
    for key in [
        &all[..],
        b"\xff\xfe",
        b"\0",
        b"+ %",
        b"a&b=c",
        "z\u{fc}rich".as_bytes(),
    ] {
        let encoded: String = key.iter().map(|byte| format!("%{byte:02X}")).collect();
        let got = live.get(&format!("/v1/partitions/key?key={encoded}")).await;
        let expected = hash.partition(key, 64).to_string();
        assert_eq!(got.json()["id"], expected, "{encoded}");
    }
    // Bytes that should have been encoded are themselves, or are refused; never another key.
    let raw = b"GET /v1/partitions/key?key=\xff\xfe HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let got = parse(&live.raw(raw).await);
    let same = || got.json()["id"] == hash.partition(b"\xff\xfe", 64).to_string();
    assert!(
        got.status == 400 || (got.status == 200 && same()),
        "{got:?}"
    );
    for (path, status) in [
        ("/v1/custom/%FF", 400),
        ("/v1/nodes/%FF%00", 400),
        ("/v1/custom/..%2F..%2Fetc%2Fpasswd", 404),
        ("/v1/plans/..%2F..%2Fhealth", 404),
    ] {
        let got = live.get(path).await;
        assert_eq!(got.status, status, "{path}");
        got.code();
    }
}

#[tokio::test]
async fn numbers_that_are_none_change_nothing() {
    let live = Live::three().await;
    let before = live.version();
    for number in [
        "1e99999",
        "-1",
        "1.5",
        "18446744073709551616",
        "\"1\"",
        "[1]",
        "NaN",
        "01",
    ] {
        for (method, path, body) in [
            (
                "PATCH",
                "/v1/nodes/node-2",
                format!("{{\"weight\":{number}}}"),
            ),
            ("PATCH", "/v1/config", format!("{{\"voters\":{number}}}")),
        ] {
            let got = live.json(method, path, &body).await;
            assert_eq!(got.status, 400, "{method} {path} {body}");
            got.code();
        }
        for query in [
            "nodes?limit=",
            "partitions?limit=",
            "table?wait=",
            "history?from=",
        ] {
            let got = live
                .get(&format!("/v1/{query}{}", number.replace('"', "%22")))
                .await;
            // `1.5` is a version, and `01` is 1, where text is read and not JSON.
            let is_version = number == "1.5" && query.starts_with("history");
            let is_number = is_version || number == "01";
            assert!(is_number || got.status == 400, "{query}{number}");
        }
    }
    assert_eq!(live.version(), before);
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let config = SurfaceConfig {
        hosts: Some(loopback_hosts(["node-1.local"])),
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(Fake::with_partitions(captured(), 3), config).await;
    for host in ["localhost:8080", "127.0.0.1", "[::1]:1", "NODE-1.local:99"] {
        let got = live.send("GET", "/nodes", &[("host", host)], b"").await;
        assert_eq!(got.status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "",
    ] {
        let got = live.send("GET", "/nodes", &[("host", host)], b"").await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (421, "host-not-allowed"),
            "{host}"
        );
    }
    let absolute = live
        .send(
            "GET",
            "http://evil.example/nodes",
            &[("host", "localhost")],
            b"",
        )
        .await;
    assert_eq!(absolute.status, 421);
    let none = parse(
        &live
            .raw(b"GET /nodes HTTP/1.1\r\nconnection: close\r\n\r\n")
            .await,
    );
    assert_eq!(none.code(), "bad-request");
    let two = b"GET /nodes HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\nconnection: close\r\n\r\n";
    assert_eq!(parse(&live.raw(two).await).status, 400);
    let old = parse(&live.raw(b"GET /nodes HTTP/1.0\r\n\r\n").await);
    assert_eq!(old.status, 200);
}

#[tokio::test]
async fn what_is_not_http_is_cut_off() {
    let live = Live::three().await;
    let tls_hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03rest of a hello\r\n\r\n";
    for bytes in [
        &tls_hello[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /nodes HTTP/9.9\r\n\r\n",
        b"GET /no des HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET /nodes HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n",
        b"GET /nodes HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
    ] {
        let answer = live.raw(bytes).await;
        let text = String::from_utf8_lossy(&answer);
        let refused = answer.is_empty() || text.starts_with("HTTP/1.1 4");
        assert!(refused, "{text}");
    }
    assert_eq!(live.get("/nodes").await.status, 200);
}

#[tokio::test]
async fn a_condition_in_a_header_is_refused_and_never_ignored() {
    let live = Live::three().await;
    live.send("PUT", "/v1/custom/a", &[], b"first").await;
    for (name, value) in [
        ("if-match", "\"1\""),
        ("if-match", "*"),
        ("if-none-match", "*"),
    ] {
        for method in ["PUT", "DELETE"] {
            let got = live
                .send(method, "/v1/custom/a", &[(name, value)], b"")
                .await;
            let problem = got.json();
            assert_eq!(
                (got.status, got.code().as_str()),
                (400, "condition-unsupported"),
                "{method} {name}"
            );
            assert_eq!(problem["field"], name);
            assert!(
                got.json()["detail"]
                    .as_str()
                    .unwrap()
                    .contains("?expected=VERSION")
            );
        }
    }
    assert_eq!(live.get("/v1/custom/a").await.body, b"first");
}
