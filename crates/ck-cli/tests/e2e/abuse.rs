//! Bad input by the hundred against a real process: each is refused in time, others are answered
//! meanwhile, and afterwards the process holds no more memory than before.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{BOUND, Cluster, request, wait_for};

/// Callers at a time, each sending all there is in every round.
const CALLERS: usize = 12;

/// Rounds after which memory is looked at for the first time: allocator and runtime have what they keep.
const ROUNDS_BEFORE: usize = 2;

/// Rounds after that.
const ROUNDS: usize = 3;

/// More memory than this is something that grows: the last rounds send hundreds of bad requests.
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// Most time a caller is left hanging. The node's own time-outs are some hundred milliseconds.
const PROMPT: Duration = Duration::from_secs(10);

/// A request with a body as long as it says.
fn whole(line: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What is refused by itself. Each is answered with 4xx, or the connection is closed.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let key = "k".repeat(64 << 10);
    let huge = "v".repeat(8 << 20);
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(517, 0);
    let head =
        |rest: &str| format!("PUT /v1/custom/a HTTP/1.1\r\nHost: localhost\r\n{rest}").into_bytes();
    vec![
        (
            "10 GiB declared",
            head("Content-Length: 10737418240\r\n\r\n"),
        ),
        (
            "header of 8 MiB",
            format!("GET / HTTP/1.1\r\nx: {huge}\r\n\r\n").into_bytes(),
        ),
        (
            "depth of 100,000",
            whole("POST /v1/rebalance", &"[".repeat(100_000)),
        ),
        (
            "number out of all range",
            whole("POST /v1/rebalance", r#"{"dry_run":1e99999}"#),
        ),
        (
            "field given twice",
            whole("POST /v1/rebalance", r#"{"dry_run":true,"dry_run":false}"#),
        ),
        ("hello of TLS", hello),
        (
            "forged host",
            b"GET /nodes HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        (
            "two lengths",
            head("Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
        ),
        ("empty key", whole("GET /partitions/key?key=", "")),
        (
            "key of 64 KiB",
            whole(&format!("GET /partitions/key?key={key}"), ""),
        ),
        (
            "path out of the tree",
            whole("GET /ui/../../etc/passwd", ""),
        ),
        ("no request at all", vec![b'x'; 4 << 10]),
    ]
}

/// What is cut off for the time it takes.
fn slow() -> Vec<(&'static str, Vec<u8>)> {
    let head = "PUT /v1/custom/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    let ask = "GET /v1/table HTTP/1.1\r\nHost: localhost\r\n\r\n";
    vec![
        ("slow head", b"GET /nodes HTTP/1.1\r\nHost: loc".to_vec()),
        ("slow body", head.as_bytes().to_vec()),
        ("nothing", Vec::new()),
        ("answers that nobody takes", ask.repeat(1_000).into_bytes()),
    ]
}

fn connect(http: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&http, PROMPT).expect("it accepts connections");
    stream
        .set_read_timeout(Some(PROMPT))
        .expect("an open socket");
    stream
        .set_write_timeout(Some(PROMPT))
        .expect("an open socket");
    stream
}

/// Everything until the server closes, which it does in time. An answer may be lost when it closes
/// while more is under way.
#[track_caller]
fn rest(what: &str, stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!late, "{what}: neither answered nor closed in {PROMPT:?}");
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[track_caller]
fn send(what: &str, http: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(http);
    // The server may well close before it has read all of it.
    let _ = stream.write_all(bytes);
    let answer = rest(what, &mut stream);
    let fine = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
    assert!(fine, "{what}: {answer}");
}

fn send_endless_chunks(http: SocketAddr) {
    let mut stream = connect(http);
    let head = "PUT /v1/custom/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = stream.write_all(head.as_bytes());
    // 64 MiB at most; it ends much earlier.
    for _ in 0..1_024 {
        if sent.is_err() {
            break;
        }
        sent = stream.write_all(chunk.as_bytes());
    }
    let answer = rest("endless chunks", &mut stream);
    let fine = answer.is_empty() || answer.starts_with("HTTP/1.1 413");
    assert!(fine, "endless chunks: {answer}");
}

/// All of it, once.
fn misbehave(http: SocketAddr, refused: &[(&str, Vec<u8>)], slow: &[(&str, Vec<u8>)]) {
    let mut waiting = Vec::new();
    for (what, bytes) in slow {
        let mut stream = connect(http);
        let _ = stream.write_all(bytes);
        waiting.push((what, stream));
    }
    for (what, bytes) in refused {
        send(what, http, bytes);
    }
    send_endless_chunks(http);
    for (what, mut stream) in waiting {
        rest(what, &mut stream);
    }
}

/// Memory of a process that is its own and resident, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn bad_input_by_the_hundred_is_refused_and_leaves_no_memory_behind() {
    let flags = [
        "--replication-factor",
        "1",
        "--http-header-timeout",
        "300ms",
        "--http-body-timeout",
        "300ms",
        "--http-idle-timeout",
        "300ms",
        "--http-write-timeout",
        "300ms",
    ];
    let mut cluster = Cluster::ready(1, &flags);
    let (http, pid) = (cluster.servers[0].http, cluster.servers[0].process().pid());
    let (refused, slow) = (refused(), slow());
    let over = AtomicBool::new(false);
    let answered = std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut answered = 0;
            while !over.load(Ordering::SeqCst) {
                let path = "/partitions/key?key=user:1001";
                let got = request(http, "GET", path, &[], b"", PROMPT);
                assert_eq!(got.expect("it is answered").status, 200);
                answered += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            answered
        });
        let round = || {
            std::thread::scope(|scope| {
                for _ in 0..CALLERS {
                    scope.spawn(|| misbehave(http, &refused, &slow));
                }
            });
            resident_kib(pid)
        };
        let before = (0..ROUNDS_BEFORE).map(|_| round()).max().expect("a round");
        let after: Vec<u64> = (0..ROUNDS).map(|_| round()).collect();
        over.store(true, Ordering::SeqCst);
        let grown = || resident_kib(pid).saturating_sub(before);
        // The last connections may be closing.
        wait_for(
            &format!("no growth: {before} KiB, {after:?}"),
            BOUND,
            || (grown() <= GROWTH_KIB_MAX).then_some(()),
        );
        eprintln!("{before} KiB before, {after:?} after");
        honest.join().expect("everybody else is answered")
    });
    assert!(answered > 0);
    assert_eq!(
        cluster.servers[0].get("/v1/custom/a").status,
        404,
        "nothing was kept"
    );
}
