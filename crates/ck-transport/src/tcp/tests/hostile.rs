//! Peers that break the protocol, deliberately or not. Each case ends with an honest peer that is
//! served as before.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::codec::{self, FRAME_BYTES_MAX, Frame, GREETING_BYTES};
use crate::{Limits, WireError};

pub(super) fn frames(frames: &[Frame]) -> BytesMut {
    let mut out = BytesMut::new();
    for frame in frames {
        codec::encode(frame, &mut out).unwrap();
    }
    out
}

fn hello(member: u64) -> BytesMut {
    let mut out = BytesMut::from(&codec::greeting()[..]);
    out.extend_from_slice(&frames(&[Frame::Hello {
        me: id("raw", member),
        expects: None,
    }]));
    out
}

pub(super) fn request(id: u64, payload_bytes: u64, first: &'static [u8]) -> Frame {
    let first = Bytes::from_static(first);
    Frame::Request {
        id,
        kind: 1,
        deadline_ms: 60_000,
        payload_bytes,
        body: false,
        first,
    }
}

/// A socket that has said hello and has been answered.
pub(super) async fn greeted(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&hello(99)).await.unwrap();
    let mut greeting = [0; GREETING_BYTES];
    socket.read_exact(&mut greeting).await.unwrap();
    assert!(matches!(next(&mut socket).await, Some(Frame::Hello { .. })));
    socket
}

/// The next frame but pings; none when the connection has ended.
pub(super) async fn next(socket: &mut TcpStream) -> Option<Frame> {
    loop {
        let read = async {
            let mut prefix = [0; 4];
            socket.read_exact(&mut prefix).await.ok()?;
            let mut bytes = vec![0; codec::frame_length(prefix).unwrap()];
            socket.read_exact(&mut bytes).await.ok()?;
            Some(codec::decode(&bytes).unwrap())
        };
        match timeout(PATIENCE, read)
            .await
            .expect("a frame or the end, in time")
        {
            Some(Frame::Ping) => {}
            other => return other,
        }
    }
}

pub(super) async fn is_closed(mut socket: TcpStream) {
    let ended = async {
        let mut room = [0; 4096];
        // A reset is an end as well.
        while !matches!(socket.read(&mut room).await, Ok(0) | Err(_)) {}
    };
    timeout(PATIENCE, ended)
        .await
        .expect("the connection is closed in time");
}

/// A server that has little patience, and an honest peer to ask it.
pub(super) async fn server() -> (Arc<TcpTransport>, String, Arc<TcpTransport>) {
    let config = TcpConfig {
        limits: limits(),
        hello_timeout: Duration::from_millis(200),
        silence_max: Duration::from_millis(800),
        ..TcpConfig::default()
    };
    let server = bind(config, 2).await;
    let address = server.local_address();
    (server, address, bind(TcpConfig::default(), 1).await)
}

#[tokio::test]
async fn garbage_instead_of_a_greeting_ends_the_connection() {
    let (_server, address, honest) = server().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 10_000], &[0xff; 64]] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        // It may be closed before all of it is written.
        let _ = socket.write_all(garbage).await;
        is_closed(socket).await;
    }
    ask(&honest, &address).await.unwrap();
}

#[tokio::test]
async fn silence_and_half_a_hello_end_with_the_hello_timeout() {
    let (_server, address, honest) = server().await;
    let silent = TcpStream::connect(&address).await.unwrap();
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(&hello(9)[..20]).await.unwrap();
    is_closed(silent).await;
    is_closed(half).await;
    ask(&honest, &address).await.unwrap();
}

#[tokio::test]
async fn half_a_frame_and_then_silence_ends_the_connection() {
    let (_server, address, honest) = server().await;
    let mut socket = greeted(&address).await;
    socket
        .write_all(&frames(&[request(1, 5, b"hello")])[..9])
        .await
        .unwrap();
    is_closed(socket).await;
    ask(&honest, &address).await.unwrap();
}

#[tokio::test]
async fn an_announced_4_gib_frame_ends_the_connection_at_its_length() {
    let (_server, address, honest) = server().await;
    for length in [u32::MAX, FRAME_BYTES_MAX as u32 + 1] {
        let mut socket = greeted(&address).await;
        // Nothing follows, so only the length can be the reason.
        socket.write_all(&length.to_be_bytes()).await.unwrap();
        let ended = timeout(Duration::from_millis(500), is_closed(socket)).await;
        ended.expect("closed at once, not after the silence");
    }
    ask(&honest, &address).await.unwrap();
}

#[tokio::test]
async fn a_peer_of_another_cluster_is_told_who_we_are_and_closed() {
    let (_server, address, honest) = server().await;
    let stranger = PeerId {
        cluster: Some(ClusterId(8)),
        ..id("raw", 9)
    };
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(&codec::greeting()).await.unwrap();
    let sent = frames(&[
        Frame::Hello {
            me: stranger,
            expects: None,
        },
        request(1, 2, b"ok"),
    ]);
    socket.write_all(&sent).await.unwrap();
    let mut greeting = [0; GREETING_BYTES];
    socket.read_exact(&mut greeting).await.unwrap();
    assert_eq!(
        next(&mut socket).await,
        Some(Frame::Hello {
            me: id("node-2", 2),
            expects: None
        })
    );
    // Well before the silence would end it, and without an answer.
    let ended = timeout(Duration::from_millis(500), next(&mut socket)).await;
    assert_eq!(ended.expect("closed at once"), None);
    ask(&honest, &address).await.unwrap();
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so_and_the_others_go_on() {
    let config = TcpConfig {
        connections_max: 3,
        ..TcpConfig::default()
    };
    let server = bind(config, 2).await;
    let address = server.local_address();
    let honest = bind(TcpConfig::default(), 1).await;
    ask(&honest, &address).await.unwrap();
    let kept = [greeted(&address).await, greeted(&address).await];
    let late = bind(TcpConfig::default(), 3).await;
    let refused = ask(&late, &address).await;
    assert!(
        matches!(refused, Err(TransportError::Busy { limit: 3 })),
        "{refused:?}"
    );
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(TcpStream::connect(&address).await.unwrap());
    }
    ask(&honest, &address).await.unwrap();
    drop((kept, flood));
    let admitted = async {
        while let Err(error) = ask(&late, &address).await {
            assert!(error.is_retryable(), "{error:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, admitted).await.expect("room again");
}

#[tokio::test]
async fn a_newer_version_is_refused_by_either_side_naming_both() {
    let (_server, address, honest) = server().await;
    let mut newer = hello(9);
    newer[GREETING_BYTES - 1] = 2;
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(&newer).await.unwrap();
    let mut greeting = [0; GREETING_BYTES];
    timeout(PATIENCE, socket.read_exact(&mut greeting))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        codec::read_greeting(&greeting),
        Ok(1),
        "the newer side learns what we speak"
    );
    is_closed(socket).await;

    let (listener, address) = listener().await;
    let answering = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&newer).await.unwrap();
        socket
    };
    let (refused, _socket) = tokio::join!(ask(&honest, &address), answering);
    let error = refused.unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::Version {
                got: 2,
                supported: 1,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_fatal());
    assert!(
        error.to_string().contains("version 2, this node speaks 1"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_the_protocol_fails_the_call_and_its_connection() {
    let honest = bind(
        TcpConfig {
            limits: Limits::default(),
            ..TcpConfig::default()
        },
        1,
    )
    .await;
    let (listener, address) = listener().await;
    let answering = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut answer = hello(2);
        answer.extend_from_slice(&frames(&[
            Frame::Reply {
                id: 5,
                payload_bytes: 1,
                body: false,
                first: "late".into(),
            },
            Frame::Reply {
                id: 1,
                payload_bytes: 1,
                body: false,
                first: "long".into(),
            },
        ]));
        // The request is waited for, or its answer would be one to nothing.
        let mut greeting = [0; GREETING_BYTES];
        socket.read_exact(&mut greeting).await.unwrap();
        socket.write_all(&answer[..hello(2).len()]).await.unwrap();
        assert!(matches!(next(&mut socket).await, Some(Frame::Hello { .. })));
        assert!(matches!(
            next(&mut socket).await,
            Some(Frame::Request { id: 1, .. })
        ));
        socket.write_all(&answer[hello(2).len()..]).await.unwrap();
        is_closed(socket).await;
    };
    let (failed, ()) = tokio::join!(ask(&honest, &address), answering);
    assert!(
        matches!(
            &failed,
            Err(TransportError::Malformed {
                source: WireError::Overrun { got: 4, .. },
                ..
            })
        ),
        "{failed:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever arrives, in whatever portions: frames or an error, and never more memory than a
    /// frame and one read.
    #[test]
    fn random_streams_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        whole in prop::collection::vec(0_u64..3, 0..5),
        portion in 1_usize..64,
    ) {
        let mut stream = frames(&whole.iter().map(|id| request(*id, 2, b"ok")).collect::<Vec<_>>());
        stream.extend_from_slice(&bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (read, ended) = runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(portion);
            let mut reader = FrameReader::new(near, "random".into());
            let feeding = async {
                // The reader may have seen enough before all of it is written.
                let _ = far.write_all(&stream).await;
                drop(far);
            };
            let reading = async {
                let mut read = 0;
                loop {
                    match reader.next(PATIENCE).await {
                        Ok(_) => read += 1,
                        Err(error) => {
                            drop(reader);
                            return (read, error);
                        }
                    }
                }
            };
            tokio::join!(reading, feeding).0
        });
        prop_assert!(read >= whole.len());
        let expected = matches!(ended, TransportError::Closed | TransportError::Malformed { .. });
        prop_assert!(expected, "{ended:?}");
    }
}
