//! Spans of real nodes, as a collector gets them.
#![cfg(feature = "otlp")]

mod collector;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ck_http::{BoxFuture, Incoming, Reply, Request, Routes};
use ck_node::Handle;
use ck_serve::{Announce, Application, ApplicationError, ServeArgs, ServeError};
use clap::Parser;
use collector::{Collector, Does};
use nix::sys::signal::{Signal, raise};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A trace of a caller: its id, and the id of the span that it asks in.
const TRACE: [&str; 2] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

/// An application that says when its node has started, and answers one path.
struct Started(Sender<Handle>);

impl Routes for Started {
    fn serves(&self, path: &str) -> bool {
        path == "/hello"
    }
    fn answer(&self, _: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async { Reply::new("hello".into()) })
    }
}

impl Application for Started {
    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        let sent = self.0.send(node).map_err(Into::into);
        Box::pin(async { sent })
    }
}

/// Runs a node in a thread, and waits until it is ready.
fn node(data: &Path, flags: &[&str]) -> (JoinHandle<Result<(), ServeError>>, Handle) {
    let data = data.join(flags[1]).display().to_string();
    let all = ["app", "--http", "127.0.0.1:0", "--data", &data];
    let args = Args::try_parse_from(all.iter().chain(flags)).unwrap();
    let (tell, told) = channel();
    let started = Arc::new(Started(tell));
    let running = std::thread::spawn(move || ck_serve::run(&args.serve, Announce::Json, started));
    let node = told.recv_timeout(PATIENCE).unwrap();
    until("it is ready", || node.unready().is_empty());
    (running, node)
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Status of a request within the caller's trace.
fn ask(node: &Handle, line: &str) -> u16 {
    let http = node.status().http_address;
    let mut stream = TcpStream::connect(&http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let [trace, span] = TRACE;
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\ncontent-length: 0\r\n\
         traceparent: 00-{trace}-{span}-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn requests_moves_and_calls_are_told_to_a_collector_and_its_absence_costs_nothing() {
    let collector = Collector::start(Does::Refuse);
    let data = tempfile::tempdir().unwrap();
    let endpoint = ["--otlp-endpoint", &collector.endpoint];
    let flags = [
        "--id",
        "a",
        "--replication-factor",
        "1",
        "--partitions",
        "8",
    ];
    let (first, a) = node(data.path(), &[&flags[..], &endpoint].concat());
    until("spans are sent, though refused", || collector.posted() > 0);
    assert_eq!(ask(&a, "GET /v1/nodes/a"), 200, "nobody waits for it");
    assert!(collector.spans().is_empty());
    collector.does(Does::Take);

    until("a request is told of in its caller's trace", || {
        assert_eq!(ask(&a, "GET /v1/nodes/a"), 200);
        let spans = collector.spans();
        let mut told = spans.iter().filter(|span| span.name == "GET /nodes/{id}");
        told.any(|span| [&span.trace[..], &span.parent] == TRACE)
    });
    assert_eq!(ask(&a, "GET /hello"), 200);
    assert_eq!(ask(&a, "GET /nothing-of-this-name"), 404);
    let has = |name: &str| collector.spans().iter().any(|span| span.name == name);
    until("so is the application", || has("- application"));
    until("and what is refused, without its path", || has("- none"));

    let join = a.status().http_address;
    let (second, _b) = node(
        data.path(),
        &[&["--id", "b", "--join", &join], &endpoint[..]].concat(),
    );
    until("moves begin", || ask(&a, "POST /v1/rebalance") == 200);
    until("a move is told of with its stages", || {
        let spans = collector.spans();
        let mut told = spans.iter().filter(|span| span.name == "handoff");
        told.any(|span| span.events > 0)
    });
    until("and the calls of it", || {
        has("become-primary") && has("release")
    });

    // One that takes bytes and answers nothing holds nobody up, not even at the end.
    collector.does(Does::Hang);
    assert_eq!(ask(&a, "GET /v1/nodes/a"), 200);
    let begun = Instant::now();
    raise(Signal::SIGTERM).unwrap();
    // The other one waits for a majority, which it has no more.
    drop(second);
    until("it ends", || first.is_finished());
    first.join().unwrap().unwrap();
    eprintln!("stopped after {:?}", begun.elapsed());
}
