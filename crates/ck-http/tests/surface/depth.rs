//! Bodies that are nested too deep.

use crate::support::Live;

/// Closed in order, so that nothing but the depth is wrong, or what stands at that place.
#[tokio::test]
async fn a_body_a_hundred_thousand_deep_is_refused() {
    let live = Live::three().await;
    let before = live.version();
    let lists = "[".repeat(100_000) + &"]".repeat(100_000);
    let objects = |depth| r#"{"":"#.repeat(depth) + "1" + &"}".repeat(depth);
    // So many objects are refused for their bytes, and fewer for their depth.
    for deep in [&lists, &objects(100_000), &objects(40_000)] {
        for (method, path, body) in [
            ("PATCH", "/v1/nodes/node-2", format!(r#"{{"x":{deep}}}"#)),
            (
                "PATCH",
                "/v1/nodes/node-2",
                format!(r#"{{"labels":{deep}}}"#),
            ),
            (
                "PATCH",
                "/v1/nodes/node-2",
                format!(r#"{{"labels":{{"a":{deep}}}}}"#),
            ),
            ("PATCH", "/v1/config", format!(r#"{{"voters":{deep}}}"#)),
            (
                "POST",
                "/v1/join",
                format!(r#"{{"node":{{"id":"a","ip":"h:1","x":{deep}}}}}"#),
            ),
            (
                "POST",
                "/v1/join",
                format!(r#"{{"node":{{"id":"a","ip":"h:1","services":{{"kv":{deep}}}}}}}"#),
            ),
            (
                "POST",
                "/v1/partitions",
                format!(r#"{{"table":{{"nodes":["a"],"rows":[{deep}]}}}}"#),
            ),
        ] {
            let got = live.json(method, path, &body).await;
            let expected = if body.len() > 256 << 10 { 413 } else { 400 };
            assert_eq!(got.status, expected, "{method} {path} {}", &body[..60]);
            got.code();
        }
    }
    assert_eq!(live.version(), before);
    assert_eq!(live.get("/v1/nodes").await.status, 200);
}
