//! The surface against a bare hyper service that answers the same bytes.
//!
//! Both run in one process on one thread, over loopback, connections kept open; the caller sends
//! on all of them, then reads all answers, so that the server always has work. The longest times are
//! taken at half of the load that the surface can carry, the same load for both.
//!
//! `cargo bench -p benches --bench http`
#![allow(missing_docs, reason = "a program, nothing to call")]

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

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

/// At least 0.85 times as many requests a second as the bare service, turned round into time.
const LIMIT: f64 = 1.0 / 0.85;

/// At half load, the 99th percentile is at most so many times that of the bare service.
const LIMIT_P99: f64 = 2.0;

/// Connections at half load, each with one request at a time.
const PACED: u32 = 8;

/// How long one run at half load lasts.
const SPAN: Duration = Duration::from_secs(1);

/// Runs of each side at half load; the best counts.
const RUNS: usize = 9;

/// A look-up by key, and the list of all partitions.
const TARGETS: [&str; 2] = ["/partitions/key?key=user:1001", "/partitions"];

/// How many partitions there are.
const PARTITIONS: [u32; 2] = [64, 4_096];

/// Connections to one server, and how long each of its answers is.
struct Caller {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    fn connect(address: SocketAddr, target: &str, connections: usize) -> Self {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n\r\n");
        let mut streams = Vec::new();
        for _ in 0..connections {
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

/// One connection that is used at a given rate.
struct Paced {
    caller: Caller,
    every: Duration,
    first: Instant,
}

impl Paced {
    /// How long each answer took in `span`: from when it was due where the answer before it was late, and
    /// else from when it was sent, so that a timer's slack is nobody's.
    fn run(mut self, span: Duration) -> Vec<Duration> {
        let mut took = Vec::new();
        let mut due = self.first;
        while due < self.first + span {
            let now = Instant::now();
            let since = if now < due {
                thread::sleep(due - now);
                Instant::now()
            } else {
                due
            };
            self.caller.round();
            took.push(since.elapsed());
            due += self.every;
        }
        took
    }
}

/// The 99th percentile of what answers take when so many a second are due.
fn p99(address: SocketAddr, target: &str, rate: f64, span: Duration) -> Duration {
    let between = Duration::from_secs_f64(1.0 / rate);
    let connect = |_| Caller::connect(address, target, 1);
    let callers: Vec<Caller> = (0..PACED).map(connect).collect();
    let first = Instant::now();
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let runs = callers.into_iter().zip(0..).map(|(caller, number)| {
            let paced = Paced {
                caller,
                every: between * PACED,
                first: first + between * number,
            };
            scope.spawn(move || paced.run(span))
        });
        let runs: Vec<_> = runs.collect();
        let ended = runs.into_iter().map(|run| run.join().expect("it ends"));
        ended.flatten().collect()
    });
    took.sort_unstable();
    took[(took.len() - 1) * 99 / 100]
}

/// Requests a second that a server answers when it always has work.
fn capacity(caller: &mut Caller) -> f64 {
    let (begin, mut rounds) = (Instant::now(), 0_usize);
    while begin.elapsed() < SPAN / 2 {
        caller.round();
        rounds += 1;
    }
    (rounds * CONNECTIONS) as f64 / begin.elapsed().as_secs_f64()
}

/// Holds the longest times at half load against those of the bare service.
fn at_half_load(report: &mut Report, name: &str, target: &str, ours: SocketAddr, bare: SocketAddr) {
    if report.is_trial() {
        p99(ours, target, 100.0, Duration::from_millis(100));
        return;
    }
    let rate = capacity(&mut Caller::connect(ours, target, CONNECTIONS)) / 2.0;
    let mut best = [Duration::MAX; 2];
    for _ in 0..RUNS {
        for (best, address) in best.iter_mut().zip([bare, ours]) {
            *best = p99(address, target, rate, SPAN).min(*best);
        }
    }
    let [theirs, ours] = best;
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    report.ratio(&format!("p99 of {name}"), ratio, LIMIT_P99);
    report.note(&format!(
        "{ours:?} against {theirs:?} at {rate:.0} requests a second"
    ));
}

/// The surface over a cluster of three nodes.
fn start_surface(runtime: &Runtime, partitions: u32) -> SocketAddr {
    let config = Config {
        partitions,
        ..Config::default()
    };
    let backend = Arc::new(Fake::with_partitions(config, 3));
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
    for partitions in PARTITIONS {
        let surface = start_surface(&runtime, partitions);
        for target in TARGETS {
            let mut ours = Caller::connect(surface, target, CONNECTIONS);
            let bare = start_bare(&runtime, &ours.body());
            let mut theirs = Caller::connect(bare, target, CONNECTIONS);
            let path = target.split('?').next().unwrap_or(target);
            let name = format!("{path} of {partitions}");
            report.at_most(
                &name,
                LIMIT,
                CONNECTIONS,
                || theirs.round(),
                || ours.round(),
            );
            at_half_load(&mut report, &name, target, surface, bare);
        }
    }
    report.note("as throughput: 1 over the ratio; at least 0.85 is promised");
    report.verdict()
}
