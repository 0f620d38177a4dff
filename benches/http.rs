//! The surface against a bare hyper service that answers the same bytes.
//!
//! Both run in one process on one thread, over loopback, connections kept open; the caller sends
//! on all of them, then reads all answers, so that the server always has work.
//!
//! `cargo bench -p benches --bench http`
#![allow(missing_docs, reason = "a program, nothing to call")]

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;

use benches::ratio::Report;
use bytes::Bytes;
use ck_control::Config;
use ck_http::fake::Fake;
use ck_http::{Server, Surface, SurfaceConfig, loopback_hosts};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Connections at a time.
const CONNECTIONS: usize = 32;

/// At least 0.7 times as many requests a second as the bare service, turned round into time.
const LIMIT: f64 = 1.0 / 0.7;

/// A look-up by key, and the list of 64 partitions.
const TARGETS: [&str; 2] = ["/partitions/key?key=user:1001", "/partitions"];

/// Connections to one server, and how long each of its answers is.
struct Caller {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    fn connect(address: SocketAddr, target: &str) -> Self {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n\r\n");
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(address).expect("the server listens");
            stream.set_nodelay(true).expect("an open stream");
            streams.push(stream);
        }
        let mut caller = Self {
            streams,
            request: request.into_bytes(),
            answer: Vec::new(),
        };
        let length = caller.first_answer().len();
        caller.answer = vec![0; length];
        // One answer was read on the first connection; the others have not been used yet.
        caller.round();
        caller
    }

    /// One answer, read to the end that its head announces.
    fn first_answer(&mut self) -> Vec<u8> {
        let stream = &mut self.streams[0];
        stream.write_all(&self.request).expect("an open stream");
        let mut read = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            let count = stream.read(&mut chunk).expect("an open stream");
            assert!(count > 0, "the server closed");
            read.extend_from_slice(&chunk[..count]);
            let Some(end) = read.windows(4).position(|at| at == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
            if read.len() >= end + 4 + length {
                return read;
            }
        }
    }

    fn body(&mut self) -> Bytes {
        let answer = self.first_answer();
        let end = answer.windows(4).position(|at| at == b"\r\n\r\n");
        Bytes::from(answer[end.expect("a head") + 4..].to_vec())
    }

    /// One request on each connection. Answers to the same request are equally long.
    fn round(&mut self) {
        for stream in &mut self.streams {
            stream.write_all(&self.request).expect("an open stream");
        }
        for stream in &mut self.streams {
            stream.read_exact(&mut self.answer).expect("a whole answer");
        }
    }
}

/// The surface over a cluster of three nodes and 64 partitions.
fn start_surface(runtime: &Runtime) -> SocketAddr {
    let backend = Arc::new(Fake::with_partitions(Config::default(), 3));
    let config = SurfaceConfig {
        hosts: Some(loopback_hosts([])),
        ..SurfaceConfig::default()
    };
    let surface = Surface::new(config, backend).expect("default limits");
    let server = runtime
        .block_on(Server::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = server.local_address();
    runtime.spawn(server.run(surface, std::future::pending()));
    address
}

/// hyper, and nothing else.
fn start_bare(runtime: &Runtime, body: &Bytes) -> SocketAddr {
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let body = body.clone();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("an open stream");
            let body = body.clone();
            let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
                let kind = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                std::future::ready(Ok::<_, Infallible>(response))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn main() -> ExitCode {
    let mut report = Report::from_arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let surface = start_surface(&runtime);
    for target in TARGETS {
        let mut ours = Caller::connect(surface, target);
        let bare = start_bare(&runtime, &ours.body());
        let mut theirs = Caller::connect(bare, target);
        let name = format!("GET {}", target.split('?').next().unwrap_or(target));
        report.at_most(
            &name,
            LIMIT,
            CONNECTIONS,
            || theirs.round(),
            || ours.round(),
        );
    }
    report.note("as throughput: 1 over the ratio; at least 0.7 is promised");
    report.verdict()
}
