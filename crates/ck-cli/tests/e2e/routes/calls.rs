//! Calls to the nodes of a cluster, written down by the route each leads to.

use std::collections::BTreeSet;
use std::time::Duration;

use ck_http::RouteInfo;
use serde_json::Value;

use crate::support::{Cluster, Reply, request};

const WITHIN: Duration = Duration::from_secs(20);

/// What does not depend on the table, and so does not say of which version it was made.
const WITHOUT_VERSION: &[&str] = &[
    "/health",
    "/metrics",
    "/consensus/stats",
    "/peer",
    "/openapi.json",
    "/orders",
];

pub(super) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The calls made so far, and the cluster they were made to.
pub(super) struct Calls<'c> {
    pub(super) cluster: &'c Cluster,
    pub(super) called: BTreeSet<(String, String)>,
}

/// The route that a request leads to: of several that match, the one with the fewest variables.
fn route(method: &str, target: &str) -> Option<RouteInfo> {
    let path = target.split('?').next().unwrap_or_default();
    let is_of = |route: &RouteInfo| {
        let (ours, theirs) = (route.path.split('/'), path.split('/'));
        let alike = |(ours, theirs): (&str, &str)| ours == theirs || ours.starts_with('{');
        ours.clone().count() == theirs.clone().count() && ours.zip(theirs).all(alike)
    };
    ck_http::routes()
        .filter(|route| route.method.as_str() == method && is_of(route))
        .min_by_key(|route| route.path.matches('{').count())
}

/// `incarnation.version`.
fn is_version(text: &str) -> bool {
    let parts = text.split_once('.');
    parts.is_some_and(|(one, other)| one.parse::<u64>().is_ok() && other.parse::<u64>().is_ok())
}

impl Calls<'_> {
    /// One request to one of the nodes, with what must hold of every answer.
    #[track_caller]
    pub(super) fn ask(
        &mut self,
        at: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let counted = if method == "HEAD" { "GET" } else { method };
        let route = route(counted, path).unwrap_or_else(|| panic!("{method} {path} is no route"));
        let http = self.cluster.servers[at].http;
        let reply = request(http, method, path, headers, body.as_bytes(), WITHIN)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let said = reply.text();
        assert!(
            reply.status < 500 || reply.status == 503,
            "{method} {path}: {said}"
        );
        let bare = route.path.trim_start_matches("/v1");
        if reply.status < 400 && !WITHOUT_VERSION.contains(&bare) {
            let version = reply.headers.get("ck-version");
            assert!(
                version.is_some_and(|text| is_version(text)),
                "{method} {path}: {reply:?}"
            );
        }
        if reply.status >= 400 && method != "HEAD" && bare != "/ready" {
            assert_eq!(
                reply.headers["content-type"], "application/problem+json",
                "{said}"
            );
            let problem = reply.json();
            assert_eq!(problem["status"], reply.status, "{said}");
            assert!(
                problem["code"].is_string() && problem["detail"].is_string(),
                "{said}"
            );
        }
        self.called.insert((counted.to_owned(), route.path));
        reply
    }

    /// Looks at a path of the first node, without the prefix and for the head alone as well.
    #[track_caller]
    pub(super) fn look(&mut self, path: &str) -> Reply {
        let prefixed = format!("/v1{path}");
        let reply = self.ask(0, "GET", &prefixed, &[], "");
        let head = self.ask(0, "HEAD", &prefixed, &[], "");
        assert_eq!(
            (head.status, head.text().as_str()),
            (reply.status, ""),
            "HEAD {path}"
        );
        assert_eq!(
            head.headers["content-type"], reply.headers["content-type"],
            "HEAD {path}"
        );
        if route("GET", path).is_some() {
            assert_eq!(
                self.ask(0, "GET", path, &[], "").status,
                reply.status,
                "GET {path}"
            );
        }
        reply
    }

    /// Changes something by way of the first node, and expects that status.
    #[track_caller]
    pub(super) fn change(&mut self, method: &str, path: &str, body: &Value, status: u16) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let reply = self.ask(0, method, path, &[JSON], &body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        reply
    }

    /// The nodes that follow, by place.
    pub(super) fn follower(&mut self) -> usize {
        let leader = self.look("/consensus/leader").json()["leader_id"].clone();
        let servers = self.cluster.servers.iter();
        servers
            .into_iter()
            .position(|server| leader != server.id.as_str())
            .expect("two follow")
    }
}
