//! The least a server can do: hyper, on one thread, with the same 128 bytes for every path. What a
//! client costs is measured against it.
//!
//! `cargo run --release -p ck-load --example trivial -- 127.0.0.1:9000`

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::ETAG;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("name an address to listen on")?;
    let listener = TcpListener::bind(address).await?;
    let value = Bytes::from(vec![b'x'; 128]);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let value = value.clone();
        let service = service_fn(move |request| answer(request, value.clone()));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client that goes away is no error of the server's.
        tokio::spawn(async { drop(connection.await) });
    }
}

async fn answer(
    request: Request<Incoming>,
    value: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // Read to its end, so that the connection goes on.
    drop(body.collect().await);
    let is_read = head.method == Method::GET;
    let mut response = Response::new(Full::new(if is_read { value } else { Bytes::new() }));
    if !is_read {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    let tag = hyper::header::HeaderValue::from_static("\"1.1\"");
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}
