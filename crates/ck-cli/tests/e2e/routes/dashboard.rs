//! The dashboard, which is no route of the contract: its page, and whatever file that names.

use crate::support::{Reply, Server};

/// The files that a page names, as links and as sources.
fn named(page: &str) -> Vec<&str> {
    let values = |name: &'static str| page.split(name).skip(1);
    values(" href=\"")
        .chain(values(" src=\""))
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[track_caller]
fn guarded(reply: &Reply, path: &str, kind: &str) {
    let header = |name: &str| reply.headers.get(name).map_or("", String::as_str);
    assert_eq!(
        (reply.status, header("content-type")),
        (200, kind),
        "{path}"
    );
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    let policy: Vec<&str> = header("content-security-policy").split("; ").collect();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(
            policy.contains(&rule),
            "{path}: {rule} is not in {policy:?}"
        );
    }
    assert!(!reply.body.is_empty(), "{path}");
}

/// A node hands out the page and all that it needs, and takes nothing there.
#[track_caller]
pub(super) fn handed_out(server: &Server) {
    let page = server.get("/ui");
    guarded(&page, "/ui", "text/html; charset=utf-8");
    let page = page.text();
    assert!(page.contains("id=\"app\""), "{page}");
    let files = named(&page);
    assert!(files.contains(&"ui/app.js"), "{files:?}");
    for file in files {
        let kind = match file.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => panic!("{file} is of no kind that is known"),
        };
        // Beside the page, wherever that is.
        let path = format!("/{file}");
        let reply = server.get(&path);
        guarded(&reply, &path, kind);
        let head = server.send("HEAD", &path, "");
        guarded_head(&head, &reply, &path);
    }
    assert_eq!(server.get("/ui/").status, 308);
    assert_eq!(server.get("/ui/absent.js").status, 404);
    let refused = server.send("POST", "/ui", "");
    assert_eq!(
        (refused.status, refused.headers["allow"].as_str()),
        (405, "GET, HEAD")
    );
}

#[track_caller]
fn guarded_head(head: &Reply, whole: &Reply, path: &str) {
    assert!(head.status == 200 && head.body.is_empty(), "HEAD {path}");
    for name in ["content-type", "content-length", "content-security-policy"] {
        assert_eq!(
            head.headers.get(name),
            whole.headers.get(name),
            "HEAD {path}: {name}"
        );
    }
}
