//! The one table of routes: method, path, role, handler.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use ck_api::{Code, Role};
use hyper::Method;
use hyper::header::{ALLOW, HeaderValue};
use hyper::http::request::Parts;

use crate::backend::BoxFuture;
use crate::handlers::ROUTES;
use crate::query::decode;
use crate::reply::{Refused, Reply};
use crate::surface::Core;

/// Where everything is served; some paths are served without it as well.
pub(crate) const PREFIX: &str = "/v1";

/// What a handler answers.
pub(crate) type Answer = Result<Reply, Refused>;

/// A request that looks: no body, answered at once from memory.
pub(crate) struct Ask<'a> {
    pub(crate) head: &'a Parts,
    /// The path's variable segments, still encoded.
    pub(crate) segments: [Option<&'a str>; 2],
}

/// A request that changes something, its body read.
pub(crate) struct Order {
    pub(crate) head: Parts,
    pub(crate) segments: [Option<String>; 2],
    pub(crate) body: Bytes,
}

/// An answer that is there, or comes once something has happened.
pub(crate) enum Later {
    Now(Reply),
    /// Ends by itself within a bounded time. Does not count as a request in flight meanwhile.
    Later(BoxFuture<'static, Answer>),
}

/// Carries something out.
pub(crate) type Act = fn(Arc<Core>, Order) -> BoxFuture<'static, Answer>;

/// What a route does.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Answers from memory.
    Look(fn(&Core, &Ask<'_>) -> Answer),
    /// Answers from memory, now or when something has changed; or begins a stream.
    Wait(fn(&Arc<Core>, &Ask<'_>) -> Result<Later, Refused>),
    /// Carries an operation out, or looks at what takes a moment. Its body is JSON, or may be absent.
    Act(Act),
    /// Carries an operation out. Its body is bytes.
    ActRaw(Act),
}

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Path without the prefix, variable segments in braces.
    pub(crate) path: &'static str,
    pub(crate) role: Role,
    /// Whether it is served without the prefix, too, for clients of the Go library.
    pub(crate) bare: bool,
    pub(crate) handler: Handler,
}

/// Paths that never ask for a token to look: whether a node lives and is ready is asked by what starts
/// and stops it, and says nothing of what the cluster holds.
const OPEN: &[&str] = &["/health", "/ready"];

impl Route {
    /// Whether it is answered without a token, whatever tokens there are.
    pub(crate) fn is_open(&self) -> bool {
        self.role == Role::Read && OPEN.contains(&self.path)
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A route as others may know it: what it is called by and who may call it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteInfo {
    /// Method.
    pub method: Method,
    /// Path, variable segments in braces.
    pub path: String,
    /// What the caller must be allowed to do.
    pub role: Role,
    /// Whether it is answered without a token even where looking needs one.
    pub open: bool,
}

/// Every route that is served, those without the prefix included.
///
/// ```
/// // Whoever subscribes to the orders becomes the application: that is no mere look.
/// let looks = |route: &ck_http::RouteInfo| route.method == "GET" && route.path != "/v1/orders";
/// let open = |route: &ck_http::RouteInfo| route.role == ck_api::Role::Read;
/// assert!(ck_http::routes().all(|route| open(&route) == looks(&route)));
/// ```
pub fn routes() -> impl Iterator<Item = RouteInfo> {
    ROUTES.iter().flat_map(|route| {
        paths(route).map(|path| RouteInfo {
            method: route.method.clone(),
            path,
            role: route.role,
            open: route.is_open(),
        })
    })
}

fn paths(route: &Route) -> impl Iterator<Item = String> + use<> {
    let prefixed = format!("{PREFIX}{}", route.path);
    std::iter::once(prefixed).chain(route.bare.then(|| route.path.to_owned()))
}

/// Finds the route of a request.
pub(crate) struct Router {
    paths: matchit::Router<usize>,
    /// The routes of each path.
    routes: Vec<Vec<&'static Route>>,
}

/// What a path and a method lead to.
pub(crate) enum Found<'r, 'p> {
    Route(&'static Route, [Option<&'p str>; 2]),
    /// The path exists, with other methods.
    OtherMethods(&'r [&'static Route]),
    /// No such path.
    Nothing,
}

impl Router {
    /// The router of all routes.
    ///
    /// # Panics
    /// When two paths of the table contradict each other, which a test would have shown.
    pub(crate) fn new() -> Self {
        let mut paths = matchit::Router::new();
        let mut known: Vec<String> = Vec::new();
        let mut routes: Vec<Vec<&'static Route>> = Vec::new();
        for route in ROUTES {
            for path in self::paths(route) {
                if let Some(at) = known.iter().position(|known| *known == path) {
                    routes[at].push(route);
                } else {
                    paths
                        .insert(path.clone(), known.len())
                        .expect("the table has no conflict");
                    known.push(path);
                    routes.push(vec![route]);
                }
            }
        }
        Self { paths, routes }
    }

    pub(crate) fn find<'r, 'p>(&'r self, method: &Method, path: &'p str) -> Found<'r, 'p> {
        let Ok(matched) = self.paths.at(path) else {
            return Found::Nothing;
        };
        let routes = &self.routes[*matched.value];
        // HEAD is GET without the body, which is left out further down.
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        match routes.iter().find(|route| route.method == *method) {
            Some(route) => {
                let mut values = matched.params.iter().map(|pair| pair.1);
                Found::Route(route, [values.next(), values.next()])
            }
            None => Found::OtherMethods(routes),
        }
    }
}

/// 405 with the methods there are.
pub(crate) fn other_methods(method: &Method, path: &str, routes: &[&Route]) -> Reply {
    let mut allow = String::new();
    for route in routes {
        let comma = if allow.is_empty() { "" } else { ", " };
        write!(allow, "{comma}{}", route.method).expect("writing to a string does not fail");
        if route.method == Method::GET {
            allow.push_str(", HEAD");
        }
    }
    let detail = format!("{path} does not take {method}; it takes {allow}");
    let mut reply = Refused::new(Code::MethodNotAllowed, detail).reply();
    let allow = HeaderValue::from_str(&allow).expect("methods are visible ASCII");
    reply.headers_mut().insert(ALLOW, allow);
    reply
}

/// 404, with the remedy where the prefix was forgotten.
pub(crate) fn nothing(router: &Router, method: &Method, path: &str) -> Refused {
    let shown: String = path.chars().take(256).collect();
    let prefixed = format!("{PREFIX}{path}");
    let remedy = match router.find(method, &prefixed) {
        Found::Nothing => "see GET /v1/cluster, /v1/partitions, /v1/nodes".to_owned(),
        _ => format!("it is {PREFIX}{shown}"),
    };
    Refused::new(
        Code::NotFound,
        format!("there is no path {shown:?}; {remedy}"),
    )
}

impl Ask<'_> {
    /// The raw query.
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// Whether unknown parameters are refused: under the prefix they are; without it, clients of
    /// the Go library may send some that mean nothing.
    pub(crate) fn is_strict(&self) -> bool {
        self.head.uri.path().starts_with(PREFIX)
    }

    /// The path's first variable segment, decoded.
    pub(crate) fn name(&self) -> Result<String, Refused> {
        name(self.segments[0])
    }

    /// The path's second variable segment, decoded.
    pub(crate) fn second(&self) -> Result<String, Refused> {
        name(self.segments[1])
    }
}

impl Order {
    /// As [`Ask::name`].
    pub(crate) fn name(&self) -> Result<String, Refused> {
        name(self.segments[0].as_deref())
    }

    /// The raw query.
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

fn name(segment: Option<&str>) -> Result<String, Refused> {
    String::from_utf8(decode(segment.unwrap_or_default(), false).into_owned())
        .map_err(|_| crate::query::invalid("path", "", "holds a segment that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_that_changes_something_has_a_role_above_read() {
        for route in routes() {
            let looks = route.method == Method::GET && route.path != "/v1/orders";
            assert_eq!(route.role > Role::Read, !looks, "{route:?}");
        }
    }

    #[test]
    fn no_route_is_listed_twice_and_each_is_found() {
        let router = Router::new();
        let all: Vec<_> = routes().collect();
        for (at, route) in all.iter().enumerate() {
            let same =
                |other: &&RouteInfo| (&other.method, &other.path) == (&route.method, &route.path);
            assert!(!all[..at].iter().any(|other| same(&other)), "{route:?}");
            let path = ["{id}", "{key}", "{node}"]
                .iter()
                .fold(route.path.clone(), |path, name| path.replace(name, "x"));
            let Found::Route(found, _) = router.find(&route.method, &path) else {
                panic!("{route:?} is not found");
            };
            assert_eq!(found.role, route.role);
        }
    }

    #[test]
    fn an_encoded_slash_stays_in_its_segment() {
        let router = Router::new();
        let Found::Route(_, segments) = router.find(&Method::GET, "/v1/custom/a%2Fb") else {
            panic!("one segment");
        };
        assert_eq!(name(segments[0]).unwrap(), "a/b");
        assert_eq!(segments[1], None);
        assert!(matches!(
            router.find(&Method::GET, "/v1/custom/a/b"),
            Found::Nothing
        ));
        assert!(matches!(
            router.find(&Method::GET, "/v1/../v1/nodes"),
            Found::Nothing
        ));
    }
}
