//! The description of the interface: every route is in it, and it says what is so.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::Live;

fn made() -> Value {
    ck_http::openapi::document().unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

/// Written anew by `CK_GOLDEN=write`.
#[tokio::test]
async fn the_description_that_is_served_is_that_of_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let made = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    if std::env::var_os("CK_GOLDEN").is_some_and(|mode| mode == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == made,
        "{path:?} is not what the code describes; write it anew: CK_GOLDEN=write cargo test -p ck-http openapi"
    );
    let live = Live::three().await;
    for path in ["/openapi.json", "/v1/openapi.json"] {
        let got = live.get(path).await;
        assert_eq!(got.header("content-type"), Some("application/json"));
        assert!(got.body == made.as_bytes(), "built before it was written");
    }
}

#[test]
fn every_route_is_described_once() {
    let made = made();
    let paths = made["paths"].as_object().unwrap();
    let count: usize = paths
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    assert_eq!(count, ck_http::routes().count());
    let mut ids = Vec::new();
    for route in ck_http::routes() {
        let described = &paths[&route.path][route.method.as_str().to_lowercase()];
        assert!(
            described["summary"].as_str().unwrap().len() > 5,
            "{route:?}"
        );
        assert_eq!(described["x-ck-role"], route.role.to_string());
        ids.push(described["operationId"].as_str().unwrap());
    }
    ids.sort_unstable();
    let twice = ids.windows(2).find(|two| two[0] == two[1]);
    assert_eq!(twice, None);
}

/// A route that refuses parameters it does not know says which it knows: those are described.
#[tokio::test]
async fn the_parameters_described_are_those_that_are_read() {
    let (live, made) = (Live::three().await, made());
    let mut compared = 0;
    for route in ck_http::routes().filter(|route| route.path.starts_with("/v1")) {
        let described = &made["paths"][&route.path][route.method.as_str().to_lowercase()];
        let parameters = described["parameters"].as_array().unwrap().iter();
        let query = parameters.filter(|one| one["in"] == "query");
        let described: Vec<&str> = query.map(|one| one["name"].as_str().unwrap()).collect();
        let path = [("{id}", "1"), ("{node}", "node-1"), ("{key}", "k")]
            .iter()
            .fold(route.path.clone(), |path, (name, value)| {
                path.replace(name, value)
            });
        let path = if path.contains("/nodes/1") {
            path.replace("/1", "/node-1")
        } else {
            path
        };
        let got = live
            .send(
                route.method.as_str(),
                &format!("{path}?colour=red"),
                &[],
                b"",
            )
            .await;
        let problem: Value = serde_json::from_slice(&got.body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or_default();
        let Some((_, known)) = detail.split_once("is unknown; ") else {
            continue;
        };
        let known = match known.strip_prefix("known here: ") {
            Some(known) => known.split(", ").collect(),
            None => Vec::new(),
        };
        assert_eq!(known, described, "{route:?}");
        compared += 1;
    }
    assert!(compared >= 15, "{compared}");
}
