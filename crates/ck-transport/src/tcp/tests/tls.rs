//! The suite between peers that prove who they are, and peers that cannot.

use std::path::Path;
use std::time::Duration;

use ck_tls::issue::Authority;
use ck_tls::{PeerFiles, PeerTls};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::hostile::frames;
use super::*;
use crate::codec::{self, Frame};

/// An authority with a directory for what it issues.
struct Issuer {
    authority: Authority,
    directory: TempDir,
}

impl Issuer {
    fn new() -> Self {
        Self {
            authority: Authority::new(1).unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Files of a certificate of `node`.
    fn files(&self, node: &NodeId) -> PeerFiles {
        let hosts = ["127.0.0.1".to_owned()];
        let issued = self.authority.issue(node, &hosts, 1).unwrap();
        let put = |name: &str, text: &str| {
            let file = self.directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        PeerFiles {
            certificate: put("node.pem", &issued.certificate),
            key: put("node-key.pem", &issued.key),
            authority: put("ca.pem", self.authority.certificate()),
        }
    }

    fn peer(&self, node: &str) -> PeerTls {
        PeerTls::read(&self.files(&NodeId::new(node).unwrap())).unwrap()
    }
}

/// Peers of one authority, each with a certificate of the node it is.
struct Certified(Mutex<Issuer>);

impl Certified {
    fn new() -> Self {
        Self(Mutex::new(Issuer::new()))
    }
}

impl Fixture for Certified {
    fn start(
        &self,
        address: Option<String>,
        me: PeerId,
        service: Arc<dyn Service>,
    ) -> BoxFuture<'_, Result<Arc<dyn Transport>, TransportError>> {
        let listen = address.unwrap_or_else(|| "127.0.0.1:0".into());
        let tls = self.0.lock().peer(me.node.as_str());
        Box::pin(async move {
            let config = TcpConfig {
                limits: limits(),
                tls: Some(tls),
                ..TcpConfig::listening_at(listen)
            };
            TcpTransport::bind(config, me, service)
                .await
                .map(|transport| transport as _)
        })
    }

    fn nowhere(&self) -> String {
        Loopback::new().0
    }
}

crate::conformance_tests!(
    tokio::test(flavor = "multi_thread", worker_threads = 2),
    Certified::new()
);

fn with(tls: PeerTls) -> TcpConfig {
    TcpConfig {
        tls: Some(tls),
        hello_timeout: Duration::from_millis(500),
        ..TcpConfig::default()
    }
}

/// What a peer sends first.
fn hello(node: &str) -> bytes::BytesMut {
    let mut out = bytes::BytesMut::from(&codec::greeting()[..]);
    let me = id(node, 9);
    out.extend_from_slice(&frames(&[Frame::Hello { me, expects: None }]));
    out
}

#[tokio::test]
async fn a_peer_that_says_it_is_another_node_is_refused_with_both_named() {
    let issuer = Issuer::new();
    // It accepts with a certificate of node-7, and says that it is node-2.
    let (listener, address) = listener().await;
    let liar = issuer.peer("node-7");
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let (mut socket, _) = liar.accept(socket).await.unwrap();
        socket.write_all(&hello("node-2")).await.unwrap();
        socket.flush().await.unwrap();
        let _ = socket.read_u8().await;
    });
    let one = bind(with(issuer.peer("node-1")), 1).await;
    let refused = ask(&one, &address).await.unwrap_err();
    let said = refused.to_string();
    assert!(
        refused.is_fatal() && said.contains("node-7") && said.contains("node-2"),
        "{said}"
    );
}

/// Counts what it is told; nothing may reach it here.
#[derive(Default)]
struct Untouched(std::sync::atomic::AtomicUsize);

impl Service for Untouched {
    fn handle(&self, _: PeerId, _: Request) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async { Ok(Reply::new("")) })
    }

    fn stranger(&self, _: &PeerId, _: Option<u64>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Dials with a certificate of node-7, says what is given, and reads to the end.
async fn dialled(issuer: &Issuer, address: &str, says: &[u8]) -> Vec<u8> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = issuer.peer("node-7").connect(socket).await.unwrap();
    socket.write_all(says).await.unwrap();
    socket.flush().await.unwrap();
    let mut read = Vec::new();
    // It may be closed without a word of farewell.
    let reading = socket.read_to_end(&mut read);
    let _ = timeout(PATIENCE, reading).await.expect("closed in time");
    read
}

#[tokio::test]
async fn who_dials_as_another_node_is_closed_out_before_it_is_heard() {
    let issuer = Issuer::new();
    let service = Arc::new(Untouched::default());
    let config = with(issuer.peer("node-2"));
    let two = TcpTransport::bind(config, id("node-2", 2), Arc::clone(&service) as _);
    let address = two.await.unwrap();
    let address = address.local_address();
    let call = frames(&[super::hostile::request(1, 2, b"ok")]);
    let mut lie = hello("node-1");
    lie.extend_from_slice(&call);
    assert!(
        dialled(&issuer, &address, &lie).await.is_empty(),
        "not even a hello"
    );
    // Of another cluster, too, which is what would end a node that is told of it.
    let mut stranger = id("node-1", 9);
    stranger.cluster = Some(ClusterId(99));
    let mut out = bytes::BytesMut::from(&codec::greeting()[..]);
    out.extend_from_slice(&frames(&[Frame::Hello {
        me: stranger,
        expects: Some(2),
    }]));
    assert!(dialled(&issuer, &address, &out).await.is_empty());
    // And one that changes its name once it is known.
    let mut turncoat = hello("node-7");
    turncoat.extend_from_slice(&frames(&[Frame::Identify(id("node-1", 9))]));
    turncoat.extend_from_slice(&call);
    dialled(&issuer, &address, &turncoat).await;
    assert_eq!(service.0.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_at_both_ends() {
    let (ours, others) = (Issuer::new(), Issuer::new());
    let two = bind(with(ours.peer("node-2")), 2).await;
    let stray = bind(with(others.peer("node-1")), 1).await;
    let refused = ask(&stray, &two.local_address()).await.unwrap_err();
    assert!(
        matches!(refused, TransportError::Unreachable { .. }),
        "{refused}"
    );
    let refused = ask(&two, &stray.local_address()).await.unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("certificate"), "{said}");
    let one = bind(with(ours.peer("node-1")), 1).await;
    assert!(ask(&one, &two.local_address()).await.is_ok());
}

#[tokio::test]
async fn plain_and_encrypted_peers_part_in_time() {
    let issuer = Issuer::new();
    let two = bind(with(issuer.peer("node-2")), 2).await;
    let plain = bind(
        TcpConfig {
            hello_timeout: Duration::from_millis(500),
            ..TcpConfig::default()
        },
        1,
    )
    .await;
    assert!(ask(&plain, &two.local_address()).await.is_err());
    assert!(ask(&two, &plain.local_address()).await.is_err());
    // One that says nothing at all has its time, too.
    let mut silent = tokio::net::TcpStream::connect(two.local_address())
        .await
        .unwrap();
    let mut read = Vec::new();
    let reading = silent.read_to_end(&mut read);
    let _ = timeout(PATIENCE, reading).await.expect("closed in time");
    let one = bind(with(issuer.peer("node-1")), 1).await;
    assert!(ask(&one, &two.local_address()).await.is_ok());
}

#[tokio::test]
async fn a_certificate_of_another_node_is_noticed_at_the_start() {
    let issuer = Issuer::new();
    let config = with(issuer.peer("node-2"));
    let refused = TcpTransport::bind(config, id("node-1", 1), Arc::new(Echo)).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("node-2") && said.contains("node-1"), "{said}");
}

#[tokio::test]
async fn connections_from_now_on_use_the_certificate_that_was_read_last() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let node = NodeId::new("node-2").unwrap();
    let files = first.files(&node);
    let tls = PeerTls::read(&files).unwrap();
    let two = bind(with(tls.clone()), 2).await;
    let one = bind(with(first.peer("node-1")), 1).await;
    assert!(ask(&one, &two.local_address()).await.is_ok());
    move_over(&second.files(&node), first.directory.path());
    tls.read_again(&files).unwrap();
    // The connection there is goes on; a new one is of the other authority.
    assert!(ask(&one, &two.local_address()).await.is_ok());
    let late = bind(with(second.peer("node-3")), 3).await;
    assert!(ask(&late, &two.local_address()).await.is_ok());
}

fn move_over(files: &PeerFiles, directory: &Path) {
    for file in [&files.certificate, &files.key, &files.authority] {
        std::fs::copy(file, directory.join(file.file_name().unwrap())).unwrap();
    }
}
