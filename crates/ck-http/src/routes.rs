//! The application's own routes, beside the surface's.

use hyper::Request;
use hyper::body::Incoming;

use crate::backend::BoxFuture;
use crate::reply::Reply;

/// What an application answers on the port of its node.
///
/// A request whose path the surface does not serve, and that is for one of the server's own names, is
/// offered here. The limits of the server hold: on connections, on heads, on requests in flight, on
/// the time an answer may take (that of a body and that of an operation together, then 504). What it
/// asks of callers beyond that, tokens for instance, is the application's concern.
///
/// Every answer is given the header `CK-Version`, so that a client knows when its table is old.
pub trait Routes: Send + Sync + 'static {
    /// Whether a path, still percent-encoded, is the application's. Default none.
    fn serves(&self, path: &str) -> bool {
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
