//! Where a request ends, when it says so in two ways or for ever.

use std::time::Duration;

use ck_http::Limits;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Live, PATIENCE, parse, read_to_end};

/// A request that hides in, or behind, the body of another one.
const HIDDEN: &str = "PUT /v1/custom/hidden HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                      content-length: 1\r\n\r\nx";

/// How a body is framed that ends with `0\r\n\r\n`, or five bytes later.
const AMBIGUOUS: &[&str] = &[
    "content-length: 3\r\ncontent-length: 5\r\n",
    "content-length: 5, 5\r\n",
    "content-length: +5\r\n",
    "content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding: chunked, chunked\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding : chunked\r\n",
    "transfer-encoding:\u{b}chunked\r\n",
    "transfer-encoding:\r\n chunked\r\n",
    "x: a\rtransfer-encoding: chunked\r\n",
];

#[tokio::test]
async fn what_hides_behind_a_body_of_two_lengths_is_never_carried_out() {
    let live = Live::three().await;
    for framing in AMBIGUOUS {
        let head = "PUT /v1/custom/open HTTP/1.1\r\nhost: localhost\r\n";
        let request = format!("{head}{framing}\r\n0\r\n\r\n{HIDDEN}");
        let answer = live.raw(request.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{framing:?}: {text}");
        assert!(!text.contains("HTTP/1.1 5"), "{framing:?}: {text}");
        // Of two framings that contradict each other, chunks count and the connection ends.
        let both = framing.contains("content-length") && framing.contains("chunked");
        assert!(
            both || text.starts_with("HTTP/1.1 4"),
            "{framing:?}: {text}"
        );
        assert_eq!(
            live.get("/v1/custom/hidden").await.status,
            404,
            "{framing:?}"
        );
    }
    let plain = format!("GET /nodes HTTP/1.1\r\nhost: localhost\r\n\r\n{HIDDEN}");
    live.raw(plain.as_bytes()).await;
    assert_eq!(
        live.get("/v1/custom/hidden").await.body,
        b"x",
        "this one was not hidden"
    );
}

#[tokio::test]
async fn chunks_that_are_none_end_the_connection() {
    let live = Live::three().await;
    let huge = format!("1{}\r\nx", "0".repeat(16));
    for chunks in [
        "0x0\r\n\r\n",
        "-1\r\n\r\n",
        "+0\r\n\r\n",
        "0\n\n",
        "1\r\nxy\r\n0\r\n\r\n",
        &huge,
    ] {
        let head =
            "PUT /v1/custom/open HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n";
        let answer = live
            .raw(format!("{head}\r\n{chunks}{HIDDEN}").as_bytes())
            .await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 4"), "{chunks:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{chunks:?}: {text}");
    }
    for path in ["open", "hidden"] {
        assert_eq!(live.get(&format!("/v1/custom/{path}")).await.status, 404);
    }
}

/// What is no body and may go on for ever: words beside a chunk, fields behind the last one.
#[tokio::test]
async fn endless_words_around_chunks_are_cut_off() {
    let live = Live::with_limits(Limits {
        body_timeout: Duration::from_secs(5),
        ..Limits::default()
    })
    .await;
    for (begin, piece) in [
        ("1;", "word".repeat(4096)),
        ("0\r\n", "x: y\r\n".repeat(4096)),
    ] {
        let mut stream = live.connect().await;
        let head =
            "PUT /v1/custom/open HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n";
        stream
            .write_all(format!("{head}\r\n{begin}").as_bytes())
            .await
            .unwrap();
        let mut sent = 0;
        let sending = async {
            while stream.write_all(piece.as_bytes()).await.is_ok() {
                sent += piece.len();
            }
        };
        tokio::time::timeout(PATIENCE, sending)
            .await
            .expect("it is cut off");
        assert!(sent < 64 << 20, "{sent} bytes of {begin:?} were read");
        let answer = read_to_end(&mut stream).await;
        assert!(answer.is_empty() || parse(&answer).status / 100 == 4);
        assert_eq!(live.get("/v1/custom/open").await.status, 404);
    }
}
