//! To the leader by a redirect, for callers who ask for one; everybody else's operations are passed on
//! inside the server.

use ck_api as api;
use ck_api::Role as Allowed;
use ck_node::Role;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;

use crate::reply::{Reply, done};
use crate::route::Route;
use crate::surface::Core;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What the asked node does itself: plans are kept by the node that made them, orders are a node's own,
/// and a backup is of what it has applied.
const OWN: &[&str] = &["/plans", "/orders", "/backup"];

/// Whether the leader carries it out, whoever is asked.
pub(crate) fn is_passed_on(route: &Route) -> bool {
    let is_own = OWN.iter().any(|own| route.path.starts_with(own));
    route.role > Allowed::Read && !is_own
}

/// Whether the caller asked to be sent to the leader (RFC 7240), as the Go library always does.
fn is_preferred(headers: &HeaderMap) -> bool {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| {
            list.split(',')
                .any(|one| one.trim().eq_ignore_ascii_case("redirect"))
        })
}

/// The way to the leader for a caller who asked for it, unless this node is the leader or knows none.
pub(crate) fn to_leader(core: &Core, route: &Route, head: &Parts) -> Option<Reply> {
    if !is_passed_on(route) || !is_preferred(&head.headers) {
        return None;
    }
    let status = core.backend.status();
    if status.role == Role::Leader {
        return None;
    }
    let view = core.view();
    let leader = view.state().member_by_node(status.leader?.as_str())?;
    let address = &leader.http_address;
    let target = head.uri.path_and_query()?;
    let scheme = if core.config.encrypted {
        "https"
    } else {
        "http"
    };
    let location = HeaderValue::from_str(&format!("{scheme}://{address}{target}")).ok()?;
    let what = if route.path == "/join" {
        "join request to leader"
    } else {
        "request to leader"
    };
    let answer = api::Redirect {
        error: "not the leader".to_owned(),
        leader_id: leader.node.to_string(),
        leader_ip: address.clone(),
        message: format!("Please retry {what} at {address}"),
    };
    let status = StatusCode::TEMPORARY_REDIRECT;
    let mut reply = done(status, Some(view.version()), &answer);
    reply.headers_mut().insert(LOCATION, location);
    Some(reply)
}
