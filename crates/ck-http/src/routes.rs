//! The application's own routes, beside the surface's.

use ck_api::Role;
use hyper::body::Incoming;
use hyper::{Method, Request};

use crate::backend::BoxFuture;
use crate::reply::Reply;

/// What an application answers on the port of its node.
///
/// A request whose path the surface does not serve, and that is for one of the server's own names, is
/// offered here. The limits of the server hold: on connections, on heads, on requests in flight, on
/// the time an answer may take (that of a body and that of an operation together, then 504); and so do
/// the tokens of the server, for the role that [`role`](Self::role) names.
///
/// Every answer is given the header `CK-Version`, so that a client knows when its table is old.
pub trait Routes: Send + Sync + 'static {
    /// Whether a path, still percent-encoded, is the application's. Default none.
    fn serves(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// What a caller must be allowed to do to be answered, in the roles of the server's tokens; `None` for
    /// a path that the application guards itself, or that is open. Asked for each request whose path it
    /// [`serves`](Self::serves), before the body is read. Default: [`Role::Read`] for methods that look,
    /// [`Role::Operate`] for all others.
    ///
    /// As on the server's own routes, no token is asked for while the server has none, and none for
    /// looking while it has none for [`Role::Read`].
    fn role(&self, method: &Method, path: &str) -> Option<Role> {
        let _ = path;
        Some(match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Role::Read,
            _ => Role::Operate,
        })
    }

    /// Whether a path is for the cluster's nodes among themselves. [`role`](Self::role) is not asked then:
    /// the caller has to be a member by its certificate ([`calling_node`](crate::calling_node) says which),
    /// and where the server asks for no certificates, show a token for [`Role::Admin`], as nodes do.
    /// Asked before `role`, and before the body is read. Default none.
    ///
    /// A member is let in to all other paths, too: a node that passes a request on has asked for its
    /// caller's token.
    fn is_between_nodes(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Answers a request, whose body [`read_body`](crate::read_body) reads. Default 404.
    ///
    /// The future is dropped when its caller goes away or its time is over: what has to be finished
    /// once it has begun is spawned.
    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        let detail = format!("there is no path {:?}", request.uri().path());
        let problem = ck_api::Problem::new(ck_api::Code::NotFound, detail);
        Box::pin(async move { crate::problem(&problem) })
    }
}
