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
    "content-length: 5\r\ncontent-length: 5\r\n",
    "content-length: 5, 5\r\n",
    "content-length: +5\r\n",
    "content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    "Transfer-ENCODING:\tChunked\r\nx: y\r\nCONTENT-length:5\r\n",
    "content-length: 5\ntransfer-encoding: chunked\n",
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
        assert!(text.starts_with("HTTP/1.1 4"), "{framing:?}: {text}");
        assert_eq!(live.get("/v1/custom/open").await.status, 404, "{framing:?}");
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

/// What is clear is carried out, and whatever stands in a body is no head.
#[tokio::test]
async fn a_body_of_two_lengths_is_found_behind_other_requests_and_in_pieces() {
    let live = Live::three().await;
    let put = |key: &str, framing: &str, body: &str| {
        format!("PUT /v1/custom/{key} HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n{body}")
    };
    let twofold = "content-length: 5\r\nTransfer-Encoding: chunked";
    let looks_like = format!("\r\n\r\nPUT / HTTP/1.1\r\n{twofold}\r\n\r\n");
    let length = format!("content-length: {}", looks_like.len());
    let chunk = format!(
        "{:X};a=b\r\n{looks_like}\r\n00\r\n{twofold}\r\n\r\n",
        looks_like.len()
    );
    let before = [
        "GET /nodes HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        put("length", &length, &looks_like),
        put("chunks", "Transfer-Encoding: chunked", &chunk),
        "\r\nDELETE /v1/custom/none HTTP/1.1\nhost: localhost\ncontent-length: 3\n\nabc".to_owned(),
    ]
    .concat();
    let request = before + &put("open", twofold, "");
    // In pieces nothing is sent behind what is refused: it would meet a closed connection, and the
    // reset would overtake the answer.
    for (piece, rest) in [(4096, "0\r\n\r\n"), (97, ""), (7, "")] {
        let hidden = if rest.is_empty() { "" } else { HIDDEN };
        let request = format!("{request}{rest}{hidden}");
        let mut stream = live.connect().await;
        stream.set_nodelay(true).unwrap();
        for bytes in request.as_bytes().chunks(piece) {
            stream.write_all(bytes).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = read_to_end(&mut stream).await;
        let text = String::from_utf8_lossy(&answer);
        let status = |at: &str| at.get(..3).unwrap_or_default().to_owned();
        let given: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(status).collect();
        assert_eq!(
            given,
            ["200", "200", "200", "404", "400"],
            "{piece}: {text}"
        );
        for key in ["length", "chunks"] {
            let got = live.get(&format!("/v1/custom/{key}")).await;
            assert_eq!(got.body, looks_like.as_bytes(), "{piece}");
        }
        for key in ["open", "hidden"] {
            let got = live.get(&format!("/v1/custom/{key}")).await;
            assert_eq!(got.status, 404, "{piece}: {key}");
        }
    }
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
