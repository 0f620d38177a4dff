//! Requests that break the protocol, or go over its limits, on a connection that has said hello.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::hostile::{frames, greeted, is_closed, next, request, server};
use super::*;
use crate::codec::{Frame, Refusal};
use crate::limits::BODY_WINDOW;

#[tokio::test]
async fn an_announced_payload_over_the_limit_is_refused_and_the_connection_goes_on() {
    let (_server, address, _honest) = server().await;
    let mut socket = greeted(&address).await;
    let limit = limits().payload_bytes_max as u64;
    socket
        .write_all(&frames(&[request(1, u64::MAX, b"x"), request(2, 2, b"ok")]))
        .await
        .unwrap();
    let refused = next(&mut socket).await.unwrap();
    let refusal = Refusal::TooLarge {
        got: u64::MAX,
        limit,
    };
    assert_eq!(refused, Frame::Refusal { id: 1, refusal });
    assert!(matches!(
        next(&mut socket).await,
        Some(Frame::Reply { id: 2, .. })
    ));
}

/// Request 1, with a body; it is never answered.
fn stuck() -> Frame {
    Frame::Request {
        id: 1,
        kind: 2,
        deadline_ms: 60_000,
        payload_bytes: 0,
        body: true,
        first: Bytes::new(),
    }
}

/// What is sent, and the frames.
fn hello_again() -> Frame {
    Frame::Hello {
        me: id("raw", 9),
        expects: None,
    }
}

fn misplaced() -> Vec<(&'static str, Vec<Frame>)> {
    let data = Bytes::from_static(b"x");
    let flood = (0..=BODY_WINDOW + 8).map(|_| Frame::Chunk {
        id: 1,
        data: data.clone(),
    });
    vec![
        ("a second hello", vec![hello_again()]),
        (
            "an answer",
            vec![Frame::Reply {
                id: 1,
                payload_bytes: 0,
                body: false,
                first: Bytes::new(),
            }],
        ),
        (
            "an id in use",
            vec![request(1, 9, b"x"), request(1, 9, b"x")],
        ),
        ("a longer beginning", vec![request(1, 1, b"xy")]),
        (
            "a longer payload",
            vec![
                request(1, 2, b"x"),
                Frame::Piece {
                    id: 1,
                    data: "yz".into(),
                },
            ],
        ),
        (
            "a piece of a whole",
            vec![
                stuck(),
                Frame::Piece {
                    id: 1,
                    data: data.clone(),
                },
            ],
        ),
        (
            "a body too early",
            vec![
                request(1, 9, b"x"),
                Frame::Chunk {
                    id: 1,
                    data: data.clone(),
                },
            ],
        ),
        (
            "chunks without credit",
            std::iter::once(stuck()).chain(flood).collect(),
        ),
        (
            "credit for nothing",
            vec![
                stuck(),
                Frame::Credit {
                    id: 1,
                    chunks: u32::MAX,
                },
            ],
        ),
        ("a stop", vec![Frame::Stop { id: 1 }]),
    ]
}

#[tokio::test]
async fn frames_that_have_no_place_end_the_connection() {
    let (_server, address, honest) = server().await;
    for (what, sent) in misplaced() {
        let mut socket = greeted(&address).await;
        // It may be closed before all of it is written.
        let _ = socket.write_all(&frames(&sent)).await;
        let closed = timeout(Duration::from_millis(500), is_closed(socket)).await;
        assert!(closed.is_ok(), "{what}: the connection is still open");
    }
    ask(&honest, &address).await.unwrap();
}

#[tokio::test]
async fn frames_for_requests_that_are_over_are_discarded() {
    let (_server, address, _honest) = server().await;
    let mut socket = greeted(&address).await;
    let (id, data) = (77, Bytes::from_static(b"late"));
    let late = [
        Frame::Piece {
            id,
            data: data.clone(),
        },
        Frame::Chunk { id, data },
        Frame::End { id },
        Frame::Abort { id },
        Frame::Credit { id, chunks: 1 },
        Frame::Cancel { id },
        request(78, 2, b"ok"),
    ];
    socket.write_all(&frames(&late)).await.unwrap();
    assert!(matches!(
        next(&mut socket).await,
        Some(Frame::Reply { id: 78, .. })
    ));
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_and_payloads_that_stop_expire() {
    let (_server, address, _honest) = server().await;
    let mut socket = greeted(&address).await;
    let many = limits().calls_per_connection_max as u64;
    // Each announces two bytes and sends one, with a short deadline.
    let begun: Vec<Frame> = (1..=many)
        .map(|id| match request(id, 2, b"x") {
            Frame::Request {
                kind,
                payload_bytes,
                body,
                first,
                ..
            } => Frame::Request {
                id,
                kind,
                deadline_ms: 50,
                payload_bytes,
                body,
                first,
            },
            other => other,
        })
        .collect();
    socket.write_all(&frames(&begun)).await.unwrap();
    socket
        .write_all(&frames(&[request(500, 2, b"ok")]))
        .await
        .unwrap();
    let refusal = Refusal::Busy { limit: many };
    assert_eq!(
        next(&mut socket).await,
        Some(Frame::Refusal { id: 500, refusal })
    );
    // Pings, as a live peer sends them, until the abandoned ones have made room.
    let admitted = async {
        for id in 501.. {
            socket
                .write_all(&frames(&[Frame::Ping, request(id, 2, b"ok")]))
                .await
                .unwrap();
            if let Some(Frame::Reply { .. }) = next(&mut socket).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, admitted).await.expect("room again");
}
