//! The surface with many callers: how soon a change reaches those who watch, what connections at rest
//! cost, and how requests fare beside them.
//!
//! The server is a process of its own, this same program with `--serve`, so that its memory is its own.
//! Times are taken here: from asking for a change until its bytes have been read.
//!
//! `cargo bench -p benches --bench watch`
#![allow(missing_docs, reason = "a program, nothing to call")]
#![allow(clippy::print_stdout, reason = "the report is what a bench is run for")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_control::{Config, MemberChange};
use ck_http::fake::Fake;
use ck_http::{Limits, Server, Surface, SurfaceConfig, loopback_hosts};
use ck_node::Operation;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// The node that is changed: its weight is the number of the change.
const CHANGED: &str = "node-2";

/// Longest that anything here is waited for.
const BOUND: Duration = Duration::from_secs(60);

/// Threads that ask beside the connections at rest, and requests of each.
const ASKERS: usize = 8;

/// What is promised: a change has reached 99 of 100 watchers.
const REACHED_WITHIN: Duration = Duration::from_millis(200);

/// What is promised of one connection at rest, in bytes of the server's memory.
const REST_BYTES: f64 = 16.0 * 1024.0;

/// What is promised of 99 of 100 requests beside ten thousand connections at rest.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1500);

/// How much of everything there is.
struct Size {
    watchers: usize,
    changes: u32,
    rest: usize,
    requests: usize,
}

const MEASURED: Size = Size {
    watchers: 1000,
    changes: 40,
    rest: 10_000,
    requests: 250,
};

/// Shows that the program still runs.
const TRIED: Size = Size {
    watchers: 20,
    changes: 3,
    rest: 50,
    requests: 5,
};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--serve") {
        return serve();
    }
    let is_trial = !std::env::args().any(|argument| argument == "--bench");
    let size = if is_trial { TRIED } else { MEASURED };
    let runtime = runtime();
    let mut broken = 0;
    let mut judge = |name: &str, got: f64, most: f64, unit: &str| {
        let verdict = match got <= most {
            _ if is_trial => "tried, not judged",
            true => "kept",
            false => "BROKEN",
        };
        broken += usize::from(verdict == "BROKEN");
        println!("{name:<44} {got:>9.1} {unit}  (at most {most} {unit}: {verdict})");
    };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;

    let mut server = Process::start();
    let mut reached = runtime.block_on(changes(&mut server, &size));
    let name = format!("a change reaches {} watchers, p99", size.watchers);
    judge(
        &name,
        milliseconds(p99(&mut reached)),
        milliseconds(REACHED_WITHIN),
        "ms",
    );
    println!(
        "{:<44} {:>9.1} ms",
        "  the median",
        milliseconds(reached[reached.len() / 2])
    );
    drop(server);

    let server = Process::start();
    let before = server.memory();
    let kept = runtime.block_on(rest(server.address, size.rest));
    let each = (server.memory() - before) / size.rest as f64;
    judge(
        &format!("each of {} connections at rest", size.rest),
        each,
        REST_BYTES,
        "bytes",
    );
    let mut answered = requests(server.address, size.requests);
    judge(
        "a request beside them, p99",
        milliseconds(p99(&mut answered)),
        milliseconds(ANSWERED_WITHIN),
        "ms",
    );
    drop(kept);
    ExitCode::from(u8::from(broken > 0))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The other program: serves, and makes a change for each number it reads.
fn serve() -> ExitCode {
    let runtime = runtime();
    let fake = Arc::new(Fake::with_partitions(Config::default(), 3));
    let limits = Limits {
        connections_max: 12_000,
        watchers_max: 2000,
        idle_timeout: Duration::from_secs(600),
        ..Limits::default()
    };
    let config = SurfaceConfig {
        hosts: Some(loopback_hosts([])),
        limits,
        ..SurfaceConfig::default()
    };
    let surface = Surface::new(config, Arc::clone(&fake) as _).expect("limits that fit");
    let server = runtime
        .block_on(Server::bind("127.0.0.1:0"))
        .expect("a free port");
    println!("{}", server.local_address());
    runtime.spawn(server.run(surface, std::future::pending()));
    for line in std::io::stdin().lines() {
        let weight = line.ok().and_then(|line| line.parse().ok());
        let change = MemberChange {
            weight,
            ..MemberChange::default()
        };
        let node = CHANGED.parse().expect("a node id");
        fake.operate(Operation::Update { node, change })
            .expect("a change");
    }
    ExitCode::SUCCESS
}

/// The server, ended when dropped.
struct Process {
    child: Child,
    asks: ChildStdin,
    address: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program starts");
        let mut line = String::new();
        let printed = child.stdout.take().expect("its output");
        BufReader::new(printed)
            .read_line(&mut line)
            .expect("a line");
        let asks = child.stdin.take().expect("its input");
        let address = line.trim().parse().expect("an address");
        Self {
            child,
            asks,
            address,
        }
    }

    /// Memory in use, in bytes.
    fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kib.expect("kibibytes") * 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long each change took to each watcher.
async fn changes(server: &mut Process, size: &Size) -> Vec<Duration> {
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..size.watchers {
        tokio::spawn(watch(server.address, tell.clone()));
    }
    arrivals(&mut told, size.watchers, 1).await;
    let mut took = Vec::new();
    for number in 2..2 + size.changes {
        let began = Instant::now();
        writeln!(server.asks, "{number}").expect("it reads");
        let at = arrivals(&mut told, size.watchers, number).await;
        took.extend(at.into_iter().map(|at| at - began));
    }
    took
}

/// When each watcher has read that change.
async fn arrivals(
    told: &mut UnboundedReceiver<(u32, Instant)>,
    watchers: usize,
    number: u32,
) -> Vec<Instant> {
    let mut arrived = Vec::new();
    while arrived.len() < watchers {
        let next = tokio::time::timeout(BOUND, told.recv()).await;
        let (got, at) = next.expect("every watcher is told").expect("they watch");
        assert_eq!(got, number, "one change after another");
        arrived.push(at);
    }
    arrived
}

/// Follows the table and tells of each change.
async fn watch(address: SocketAddr, tell: UnboundedSender<(u32, Instant)>) {
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let ask = "GET /v1/watch HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("it reads");
    let (mut kept, mut piece) = (Vec::new(), vec![0; 4096]);
    // Fails when the server is ended.
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        let at = Instant::now();
        kept.extend_from_slice(&piece[..count]);
        if let Some(number) = weight(&kept) {
            kept.clear();
            if tell.send((number, at)).is_err() {
                return;
            }
        }
    }
}

/// The weight of the changed node, where all of it has come.
fn weight(bytes: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(bytes);
    let (_, entry) = text.split_once(&format!("\"id\":\"{CHANGED}\""))?;
    let (_, rest) = entry.split_once("\"weight\":")?;
    let (digits, _) = rest.split_once([',', '}'])?;
    digits.parse().ok()
}

/// Connections that have asked once.
async fn rest(address: SocketAddr, count: usize) -> Vec<tokio::net::TcpStream> {
    let ask = "GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut kept = Vec::with_capacity(count);
    let mut piece = [0; 1024];
    for _ in 0..count {
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("it listens");
        stream.write_all(ask.as_bytes()).await.expect("it reads");
        let answer = tokio::time::timeout(BOUND, stream.read(&mut piece)).await;
        let count = answer.expect("an answer in time").expect("an answer");
        assert!(
            piece[..count].starts_with(b"HTTP/1.1 200"),
            "one of them was refused"
        );
        kept.push(stream);
    }
    kept
}

/// How long requests take, each on a connection of its own.
fn requests(address: SocketAddr, count: usize) -> Vec<Duration> {
    let ask =
        "GET /v1/partitions/key?key=a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let asking = move || {
        let one = |_| {
            let began = Instant::now();
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream
                .set_read_timeout(Some(BOUND))
                .expect("an open stream");
            stream.write_all(ask.as_bytes()).expect("it reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer in time");
            assert!(answer.starts_with(b"HTTP/1.1 200"), "it was refused");
            began.elapsed()
        };
        (0..count).map(one).collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..ASKERS).map(|_| std::thread::spawn(asking)).collect();
    let took = threads
        .into_iter()
        .map(|thread| thread.join().expect("it asks"));
    took.flatten().collect()
}

/// What 99 of 100 are within; sorts them.
fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}
