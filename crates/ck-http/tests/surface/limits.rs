//! One caller reaches a limit; the others notice nothing.

use std::time::{Duration, Instant};

use ck_http::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Live, PATIENCE, parse, read_to_end};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_over_the_limits_is_refused_by_what_is_too_large() {
    let live = Live::three().await;
    let long = "v".repeat(40 << 10);
    let got = live.send("GET", "/nodes", &[("x-long", &long)], b"").await;
    assert_eq!(
        (got.status, got.code().as_str()),
        (431, "headers-too-large")
    );
    let names: Vec<_> = (0..70).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let got = live.send("GET", "/nodes", &many, b"").await;
    assert_eq!(
        (got.status, got.code().as_str()),
        (431, "headers-too-large")
    );
    let names: Vec<_> = (0..3000).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    assert_eq!(live.send("GET", "/nodes", &many, b"").await.status, 431);
    let huge = "v".repeat(8 << 20);
    let answer = live
        .raw(format!("GET /nodes HTTP/1.1\r\nx: {huge}\r\n\r\n").as_bytes())
        .await;
    assert!(answer.is_empty() || parse(&answer).status == 431);
    assert_eq!(live.get("/nodes").await.status, 200);
}

#[tokio::test]
async fn a_declared_body_over_the_limit_is_refused_before_it_is_sent() {
    let live = Live::three().await;
    for path in ["PUT /v1/custom/a", "POST /join", "POST /rebalance"] {
        let head = format!(
            "{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 10737418240\r\n\r\n"
        );
        let got = parse(&live.raw(head.as_bytes()).await);
        assert_eq!(
            (got.status, got.code().as_str()),
            (413, "body-too-large"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn endless_chunks_are_cut_off() {
    let live = Live::three().await;
    let mut stream = live.connect().await;
    let head = "PUT /v1/custom/a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // 64 MiB would be sent; it ends much earlier.
    for _ in 0..1024 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = read_to_end(&mut stream).await;
    // The answer may be lost when the server closes while more is under way.
    assert!(answer.is_empty() || parse(&answer).status == 413);
    assert_eq!(live.get("/v1/custom/a").await.code(), "custom-unknown");
}

#[tokio::test]
async fn a_slow_head_is_cut_off_and_so_is_a_silent_connection() {
    let live = Live::with_limits(Limits {
        header_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let started = Instant::now();
    let mut silent = live.connect().await;
    let mut slow = live.connect().await;
    let drip = async {
        for byte in b"GET /nodes HTTP/1.1\r\nhost: localhost\r\n".iter().cycle() {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drip)
        .await
        .expect("a dripping head is cut off");
    assert_eq!(read_to_end(&mut silent).await, b"");
    assert!(started.elapsed() >= SHORT, "not before its time");
    assert_eq!(live.get("/nodes").await.status, 200);
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    let live = Live::with_limits(Limits {
        body_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let head = "PUT /v1/custom/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf";
    let mut stream = live.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let got = parse(&read_to_end(&mut stream).await);
    assert_eq!((got.status, got.code().as_str()), (408, "body-timeout"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let live = Live::with_limits(Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut stream = live.connect().await;
    let started = Instant::now();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let got = parse(&read_to_end(&mut stream).await);
    assert_eq!(got.status, 200);
    assert!(started.elapsed() >= SHORT, "not before its time");
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_cut_off() {
    let live = Live::with_limits(Limits {
        write_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut stream = live.connect().await;
    let request = "GET /partitions HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    // More answers than the buffers of both sides hold.
    let ask = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ask)
        .await
        .expect("the server closes");
    assert_eq!(live.get("/nodes").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_takes_too_little_at_a_time_is_cut_off() {
    // It takes some megabytes a second, never nothing for as long as the time-out, and far too little.
    let live = Live::with_limits(Limits {
        write_timeout: 2 * SHORT,
        write_bytes_per_second_min: 1 << 30,
        ..Limits::default()
    })
    .await;
    let (mut read, mut write) = live.connect().await.into_split();
    let request = "GET /partitions HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let asking = async { while write.write_all(request.as_bytes()).await.is_ok() {} };
    let reading = async {
        let mut some = vec![0; 64 << 10];
        while read.read(&mut some).await.is_ok_and(|count| count > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let both = async { tokio::join!(asking, reading) };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("the server closes");
    assert_eq!(live.get("/nodes").await.status, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let live = Live::with_limits(Limits {
        connections_max: 2,
        ..Limits::default()
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = live.connect().await;
        ask_health(&mut stream).await;
        kept.push(stream);
    }
    for _ in 0..3 {
        let mut refused = live.connect().await;
        let got = parse(&read_to_end(&mut refused).await);
        assert_eq!((got.status, got.code().as_str()), (503, "overloaded"));
        assert_eq!(got.header("retry-after"), Some("1"));
    }
    for stream in &mut kept {
        ask_health(stream).await;
    }
    drop(kept.pop());
    // The place is free as soon as the server has seen the close.
    let freed = async {
        loop {
            let mut stream = live.connect().await;
            stream
                .write_all(b"GET /health HTTP/1.0\r\n\r\n")
                .await
                .unwrap();
            if parse(&read_to_end(&mut stream).await).status == 200 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, freed)
        .await
        .expect("a place is freed");
}

/// One request on a connection that stays open.
async fn ask_health(stream: &mut TcpStream) {
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"}") {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..count]);
    }
    assert_eq!(parse(&read).status, 200);
}

#[tokio::test]
async fn one_request_too_many_is_told_when_to_come_back() {
    let live = Live::with_limits(Limits {
        requests_max: 1,
        ..Limits::default()
    })
    .await;
    let mut slow = live.connect().await;
    let head = "PUT /v1/custom/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-length: 4\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    // Refused once the slow request has taken the only place.
    let refused = async {
        loop {
            let got = live.get("/health").await;
            if got.status == 503 {
                return got;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("a refusal");
    assert_eq!(
        (refused.code().as_str(), refused.header("retry-after")),
        ("overloaded", Some("1"))
    );
    slow.write_all(b"body").await.unwrap();
    assert_eq!(parse(&read_to_end(&mut slow).await).status, 200);
    assert_eq!(live.get("/health").await.status, 200);
}

#[tokio::test]
async fn fifty_requests_in_one_write_are_answered_in_order() {
    let live = Live::three().await;
    let mut request = String::new();
    for number in 0..50 {
        let close = if number == 49 {
            "connection: close\r\n"
        } else {
            ""
        };
        request += &format!("GET /partitions/{number} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n");
    }
    let answer = String::from_utf8(live.raw(request.as_bytes()).await).unwrap();
    let mut from = 0;
    for number in 0..50 {
        let id = format!("\"id\":\"partition-{number}\"");
        from += answer[from..]
            .find(&id)
            .unwrap_or_else(|| panic!("no {id} behind {from}"));
    }
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 50);
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_closes_the_rest() {
    let live = Live::three().await;
    let mut idle = live.connect().await;
    ask_health(&mut idle).await;
    let mut busy = live.connect().await;
    let head = "PUT /v1/custom/a HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                content-length: 4\r\n\r\n";
    busy.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body, so the request is being worked on.
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    let (address, fake) = (live.address, std::sync::Arc::clone(&live.fake));
    let stopping = tokio::spawn(live.stop());
    assert_eq!(read_to_end(&mut idle).await, b"");
    assert!(TcpStream::connect(address).await.is_err());
    busy.write_all(b"body").await.unwrap();
    assert_eq!(parse(&read_to_end(&mut busy).await).status, 200);
    stopping.await.unwrap();
    assert!(ck_http::Backend::state(&*fake).custom("a").is_some());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let live = Live::with_limits(Limits {
        stop_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut stuck = live.connect().await;
    let head = "PUT /v1/custom/a HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                content-length: 4\r\n\r\n";
    stuck.write_all(head.as_bytes()).await.unwrap();
    stuck.read_exact(&mut [0; 25]).await.unwrap();
    live.stop().await;
    assert_eq!(read_to_end(&mut stuck).await, b"");
}
