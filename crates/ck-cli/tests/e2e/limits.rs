//! The limits of HTTP callers, as flags of a real process.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{BOUND, Cluster, Reply, Server, request, run, said, wait_for};

/// Most time for what a limit of some hundred milliseconds ends; far below every default.
const PROMPT: Duration = Duration::from_secs(8);

#[track_caller]
fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    request(server.http, method, path, headers, body, PROMPT)
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    let got = (reply.status, reply.json()["code"].clone());
    assert_eq!(got, (status, code.into()), "{}", reply.text());
}

/// A connection over which that much of a request was sent.
fn sent(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(PROMPT)).unwrap();
    stream.set_write_timeout(Some(PROMPT)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// What comes until the server closes, which is soon.
#[track_caller]
fn until_closed(mut stream: TcpStream) -> String {
    let (mut all, begun) = (Vec::new(), Instant::now());
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => drop(read.expect("it is closed")),
    }
    assert!(begun.elapsed() < PROMPT);
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn sizes_and_times_hold_that_are_given_as_flags() {
    let flags = [
        "--replication-factor",
        "1",
        "--http-header-bytes-max",
        "2048",
        "--http-header-count-max",
        "5",
        "--http-body-bytes-max",
        "100",
        "--http-header-timeout",
        "300ms",
        "--http-body-timeout",
        "300ms",
        "--http-idle-timeout",
        "300ms",
        "--http-write-timeout",
        "300ms",
        "--http-write-bytes-per-second-min",
        "1000000000",
    ];
    let cluster = Cluster::ready(1, &flags);
    let server = &cluster.servers[0];
    let long = "v".repeat(2_100);
    let got = ask(server, "GET", "/nodes", &[("x", &long)], b"");
    refused(&got, 431, "headers-too-large");
    assert!(got.text().contains("2048"), "{}", got.text());
    let four = [("a", ""), ("b", ""), ("c", ""), ("d", "")];
    let got = ask(server, "GET", "/nodes", &four, b"");
    refused(&got, 431, "headers-too-large");
    assert!(got.text().contains("at most 5"), "{}", got.text());
    let got = ask(server, "PUT", "/v1/custom/a", &[], &[0; 101]);
    refused(&got, 413, "body-too-large");
    assert_eq!(
        ask(server, "PUT", "/v1/custom/a", &[], &[0; 100]).status,
        200
    );
    assert_eq!(
        until_closed(sent(server, "GET /nodes HTTP/1.1\r\n")),
        "",
        "slow head"
    );
    let half = "PUT /v1/custom/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    assert!(until_closed(sent(server, half)).starts_with("HTTP/1.1 408"));
    let one = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(
        until_closed(sent(server, one)).starts_with("HTTP/1.1 200"),
        "then it rests"
    );
    // Fast for people, and far below what is asked for here.
    let (mut slow, begun) = (sent(server, ""), Instant::now());
    let mut asking = slow.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while asking
                .write_all("GET /v1/table HTTP/1.1\r\nHost: localhost\r\n\r\n".as_bytes())
                .is_ok()
            {}
        });
        let mut some = vec![0; 64 << 10];
        while slow.read(&mut some).is_ok_and(|count| count > 0) {
            assert!(begun.elapsed() < BOUND, "a slow reader is not cut off");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn numbers_hold_that_come_from_the_environment_and_the_file() {
    let mut cluster = Cluster::of(1, &["--replication-factor", "1"]);
    let file = cluster.directory.path().join("ck.toml");
    std::fs::write(
        &file,
        "[http_limits]\nrequests_max = 1\nwatchers_max = 1\nconnections_max = 9\n",
    )
    .unwrap();
    let server = &mut cluster.servers[0];
    server
        .flags
        .extend(["--config".to_owned(), file.display().to_string()]);
    server
        .environment
        .push(("CK_HTTP_CONNECTIONS_MAX".to_owned(), "4".to_owned()));
    server.start();
    server.wait_until_ready();
    let watching = sent(server, "GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut first = [0; 64];
    (&watching).read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));
    refused(&server.get("/v1/watch"), 503, "too-many-watchers");
    drop(watching);
    let half = "PUT /v1/custom/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nha";
    let working = sent(server, half);
    wait_for("it is worked on", BOUND, || {
        let got = server.try_get("/health").filter(|got| got.status == 503)?;
        assert!(
            got.text().contains("1 requests are being worked on"),
            "{}",
            got.text()
        );
        Some(())
    });
    let more: Vec<_> = (0..3).map(|_| sent(server, "")).collect();
    wait_for("four connections are open", BOUND, || {
        let got = server.try_get("/health").filter(|got| got.status == 503)?;
        got.text().contains("too many connections").then_some(())
    });
    drop((working, more));
    wait_for("a place is free", BOUND, || {
        server.try_get("/health").filter(|got| got.status == 200)
    });
}

#[test]
fn nonsense_is_a_usage_error_that_says_what_to_write() {
    for (flags, told) in [
        (
            ["--http-connections-max", "0"],
            "--http-connections-max 0 is out of range; use 1 to 1048576",
        ),
        (
            ["--http-header-timeout", "0s"],
            "--http-header-timeout is zero; give it at least a millisecond",
        ),
        (
            ["--http-idle-timeout", "75"],
            "write it as 500ms, 10s, 2m or 1h",
        ),
        (
            ["--http-watchers-max", "1024"],
            "lower the one or raise the other",
        ),
    ] {
        let output = run(&[&["serve", "--id", "n"], &flags[..]].concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{flags:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(told), "{}", said(&output));
    }
}
