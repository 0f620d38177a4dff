//! Connections that are dialled, kept, lost and found again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::Body;

/// Counts the connections that pass through it to a transport.
async fn relay(to: String) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let (listener, address) = listener().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let relaying = tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, count, relaying)
}

#[tokio::test]
async fn calls_that_start_together_share_one_connection() {
    let server = bind(TcpConfig::default(), 2).await;
    let (address, count, _relaying) = relay(server.local_address()).await;
    let client = bind(TcpConfig::default(), 1).await;
    let calls = futures_util::future::join_all((0..50).map(|_| ask(&client, &address))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_dial_outlives_the_call_that_began_it() {
    let server = bind(TcpConfig::default(), 2).await;
    let (address, count, _relaying) = relay(server.local_address()).await;
    let client = bind(TcpConfig::default(), 1).await;
    let to = Address::anyone(&address);
    let mut cut_short = client.call(&to, Request::new(1, ""), PATIENCE);
    // Begun, and dropped before anything can have happened.
    assert!((&mut cut_short).now_or_never().is_none());
    drop(cut_short);
    ask(&client, &address).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_the_next_call_dials_again() {
    let server = bind(TcpConfig::default(), 2).await;
    let (address, count, _relaying) = relay(server.local_address()).await;
    let config = TcpConfig {
        idle_max: Duration::from_millis(50),
        silence_max: Duration::from_millis(400),
        ..TcpConfig::default()
    };
    let client = bind(config, 1).await;
    ask(&client, &address).await.unwrap();
    let mut tasks = client.core.tasks.subscribe();
    timeout(PATIENCE, tasks.wait_for(|count| *count == 0))
        .await
        .expect("closed in time")
        .unwrap();
    ask(&client, &address).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_quiet_connection_stays_open_by_its_pings() {
    let config = TcpConfig {
        silence_max: Duration::from_millis(400),
        ..TcpConfig::default()
    };
    let server = bind(config.clone(), 2).await;
    let (address, count, _relaying) = relay(server.local_address()).await;
    let client = bind(config, 1).await;
    let to = Address::anyone(&address);
    // Three times the silence that would close it, with a call waiting all the while.
    let waited = client
        .call(&to, Request::new(2, ""), Duration::from_millis(1200))
        .await;
    assert!(
        matches!(waited, Err(TransportError::Timeout { .. })),
        "{waited:?}"
    );
    ask(&client, &address).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up_before_the_deadline() {
    let (listener, address) = listener().await;
    let config = TcpConfig {
        silence_max: Duration::from_millis(300),
        ..TcpConfig::default()
    };
    let client = bind(config, 1).await;
    let silent = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut out = bytes::BytesMut::from(&crate::codec::greeting()[..]);
        crate::codec::encode(
            &crate::codec::Frame::Hello {
                me: id("raw", 2),
                expects: None,
            },
            &mut out,
        )
        .unwrap();
        socket.write_all(&out).await.unwrap();
        // Reads, as a kernel does for a frozen process, and says nothing.
        let mut room = [0; 4096];
        while !matches!(socket.read(&mut room).await, Ok(0) | Err(_)) {}
    };
    let both = async { tokio::join!(ask(&client, &address), silent).0 };
    let given_up = timeout(PATIENCE / 2, both)
        .await
        .expect("before the deadline");
    assert!(
        matches!(given_up, Err(TransportError::Timeout { .. })),
        "{given_up:?}"
    );
}

#[tokio::test]
async fn a_dial_that_is_never_answered_ends_with_the_hello_timeout() {
    let (_listener, address) = listener().await;
    let config = TcpConfig {
        hello_timeout: Duration::from_millis(100),
        ..TcpConfig::default()
    };
    let client = bind(config, 1).await;
    let ended = ask(&client, &address).await;
    assert!(
        matches!(ended, Err(TransportError::Timeout { .. })),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_failed_dial_is_remembered_but_not_for_long() {
    let config = TcpConfig {
        redial_after: Duration::from_millis(200),
        ..TcpConfig::default()
    };
    let client = bind(config, 1).await;
    let (listener, address) = listener().await;
    drop(listener);
    assert!(matches!(
        ask(&client, &address).await,
        Err(TransportError::Unreachable { .. })
    ));
    let back = bind(TcpConfig::listening_at(&address), 2).await;
    let begun = Instant::now();
    let found = async {
        while let Err(error) = ask(&client, &address).await {
            assert!(
                matches!(error, TransportError::Unreachable { .. }),
                "{error:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(2), found)
        .await
        .expect("found soon");
    assert!(
        begun.elapsed() >= Duration::from_millis(100),
        "the failure was remembered"
    );
    drop(back);
}

#[tokio::test]
async fn a_name_is_resolved_and_one_that_does_not_resolve_is_unreachable() {
    let server = bind(TcpConfig::default(), 2).await;
    let port = server
        .local_address()
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    let client = bind(TcpConfig::default(), 1).await;
    ask(&client, &format!("localhost:{port}")).await.unwrap();
    for nowhere in ["no-port", "127.0.0.1:notaport", ""] {
        let failed = ask(&client, nowhere).await;
        assert!(
            matches!(failed, Err(TransportError::Unreachable { .. })),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_taken_address_is_named_and_a_shutdown_frees_it() {
    let first = bind(TcpConfig::default(), 1).await;
    let address = first.local_address();
    let config = TcpConfig::listening_at(&address);
    let taken = TcpTransport::bind(config.clone(), id("node-2", 2), Arc::new(Echo)).await;
    let error = taken.map(drop).unwrap_err();
    assert!(
        matches!(&error, TransportError::Bind { address: a, .. } if *a == address),
        "{error}"
    );
    assert!(error.to_string().contains(&address), "{error}");
    first.shutdown().await;
    bind(config, 2).await;
}

#[tokio::test]
async fn a_dropped_transport_closes_its_connections() {
    let server = bind(TcpConfig::default(), 2).await;
    let address = server.local_address();
    let client = bind(TcpConfig::default(), 1).await;
    ask(&client, &address).await.unwrap();
    let to = Address::anyone(&address);
    let call = client.call(&to, Request::new(2, ""), PATIENCE);
    let (ended, ()) = tokio::join!(call, async { drop(server) });
    let error = ended.unwrap_err();
    assert!(
        error.is_retryable() && !matches!(error, TransportError::Timeout { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn dials_over_the_limit_are_refused() {
    let client = bind(
        TcpConfig {
            connections_max: 1,
            ..TcpConfig::default()
        },
        1,
    )
    .await;
    let servers = [
        bind(TcpConfig::default(), 2).await,
        bind(TcpConfig::default(), 3).await,
    ];
    ask(&client, &servers[0].local_address()).await.unwrap();
    let refused = ask(&client, &servers[1].local_address()).await;
    assert!(
        matches!(refused, Err(TransportError::Busy { limit: 1 })),
        "{refused:?}"
    );
    ask(&client, &servers[0].local_address()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_calls_go_on_beside_large_ones() {
    let server = bind(TcpConfig::default(), 2).await;
    let address = server.local_address();
    let client = bind(TcpConfig::default(), 1).await;
    let to = Address::anyone(&address);
    let large: Bytes = vec![9; 16 * 1024 * 1024].into();
    let transfer = async {
        let calls = (0..3).map(|_| client.call(&to, Request::new(1, large.clone()), 6 * PATIENCE));
        let body = Body::from_bytes(large.clone());
        let upload = client.call(&to, Request::new(1, "").with_body(body), 6 * PATIENCE);
        let (calls, upload) = tokio::join!(futures_util::future::join_all(calls), upload);
        upload.unwrap();
        assert!(
            calls
                .iter()
                .all(|call| call.as_ref().is_ok_and(|(_, r)| r.payload == large))
        );
    };
    tokio::pin!(transfer);
    let mut small = 0;
    loop {
        tokio::select! {
            () = &mut transfer => break,
            answered = ask(&client, &address) => {
                answered.unwrap();
                small += 1;
            }
        }
    }
    // How many is up to the buffers of the sockets; behind the large ones there were one at most.
    assert!(
        small >= 2,
        "only {small} small calls were answered beside the large ones"
    );
}
