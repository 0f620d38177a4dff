use std::io::Read as _;

use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};

use super::*;

/// Most that the whole dashboard may weigh on its way to a browser.
const GZIP_BYTES_MAX: usize = 100 << 10;

fn ask(method: &str, path: &str, headers: &[(HeaderName, &str)]) -> Option<Reply> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    answer(&request.body(()).unwrap().into_parts().0)
}

async fn body(reply: Reply) -> Bytes {
    reply.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn each_file_is_sent_packed_to_whoever_reads_that_and_whole_to_others() {
    let mut bytes = 0;
    for asset in &ASSETS {
        let whole = ask("GET", asset.path, &[]).unwrap();
        assert_eq!(whole.headers()[CONTENT_TYPE], asset.kind);
        assert!(!whole.headers().contains_key(CONTENT_ENCODING));
        let packed = ask("GET", asset.path, &[(ACCEPT_ENCODING, "br, gzip")]).unwrap();
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(packed.headers()[VARY], "accept-encoding");
        assert_ne!(packed.headers()[ETAG], whole.headers()[ETAG]);
        let packed = body(packed).await;
        bytes += packed.len();
        let mut text = String::new();
        GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
        assert_eq!(text.as_bytes(), body(whole).await, "{}", asset.path);
        assert_eq!(text, asset.body);
    }
    assert!(bytes <= GZIP_BYTES_MAX, "{bytes} bytes in all");
}

#[test]
fn what_is_known_is_not_sent_again() {
    for encoding in ["gzip", "identity"] {
        let first = ask("GET", "/ui/app.js", &[(ACCEPT_ENCODING, encoding)]).unwrap();
        let tag = first.headers()[ETAG].to_str().unwrap();
        let asked = [(ACCEPT_ENCODING, encoding), (IF_NONE_MATCH, tag)];
        let again = ask("GET", "/ui/app.js", &asked).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("HEAD", "/ui/app.css", &asked).unwrap().status(), 200);
    }
}

#[test]
fn every_answer_carries_the_policy_and_none_allows_inline_code_or_another_origin() {
    for path in ["/ui", "/ui/", "/ui/app.js", "/ui/app.css", "/ui/icon.svg"] {
        let reply = ask("GET", path, &[]).unwrap();
        for (name, value) in &GUARDS {
            assert_eq!(reply.headers()[name], value, "{path}");
        }
    }
    let policy = POLICY;
    let policy = policy.to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';"));
    for word in ["unsafe", "http", "*", "data:", "blob:"] {
        assert!(!policy.contains(word), "{word}");
    }
    let page = ASSETS[0].body;
    for inline in [
        "<style", "style=", "onload", "onclick", "http://", "https://",
    ] {
        assert!(!page.contains(inline), "{inline}");
    }
    assert_eq!(page.matches("<script").count(), 1);
}

#[test]
fn other_paths_and_methods_are_none_of_its() {
    for path in ["/", "/u", "/ui/x", "/ui/app.js/", "/v1/ui", "/ui/../ui"] {
        assert!(!serves(path) && ask("GET", path, &[]).is_none(), "{path}");
    }
    let reply = ask("POST", "/ui", &[]).unwrap();
    assert_eq!(reply.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.headers()[ALLOW], "GET, HEAD");
    let reply = ask("GET", "/ui/", &[]).unwrap();
    assert_eq!(reply.headers()[LOCATION], "../ui");
}

#[test]
fn the_coding_follows_what_the_caller_says() {
    let takes = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        takes_gzip(&headers)
    };
    for yes in ["gzip", "deflate, GZIP;q=0.5", "*", "br;q=1, *;q=0.1"] {
        assert!(takes(yes), "{yes}");
    }
    for no in ["", "br", "gzip;q=0", "*;q=0", "gzip;q=0.0, *", "identity"] {
        assert!(!takes(no), "{no}");
    }
    assert!(!takes_gzip(&HeaderMap::new()));
}
