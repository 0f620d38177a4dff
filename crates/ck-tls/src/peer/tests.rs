//! Handshakes over real sockets, with certificates made here.

use std::path::Path;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::issue::{Authority, IssueError, Issued};
use crate::{ClientTls, ServerFiles, ServerTls};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(10);

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn issued(authority: &Authority, id: &str) -> Issued {
    let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    authority.issue(&node(id), &hosts, 1).unwrap()
}

/// Writes what a node needs.
fn written(directory: &Path, authority: &Authority, id: &str, of: &Authority) -> PeerFiles {
    let issued = issued(of, id);
    let put = |name: String, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    PeerFiles {
        certificate: put(format!("{id}.pem"), &issued.certificate),
        key: put(format!("{id}-key.pem"), &issued.key),
        authority: put(format!("{id}-ca.pem"), authority.certificate()),
    }
}

fn peer(directory: &Path, authority: &Authority, id: &str) -> PeerTls {
    PeerTls::read(&written(directory, authority, id, authority)).unwrap()
}

/// What each end makes of a connection: the dialling one has read a byte, which it is sent only once
/// it was accepted.
async fn meet(dialling: &PeerTls, accepting: &PeerTls) -> (io::Result<NodeId>, io::Result<NodeId>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await?;
        let (mut stream, node) = accepting.accept(stream).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        Ok(node)
    };
    let dial = async {
        let stream = TcpStream::connect(address).await?;
        let (mut stream, node) = dialling.connect(stream).await?;
        stream.read_u8().await?;
        Ok(node)
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(dial, accept) })
        .await
        .expect("a handshake ends")
}

#[tokio::test]
async fn each_end_knows_which_node_the_other_is() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(1).unwrap();
    let one = peer(directory.path(), &authority, "node-1");
    let two = peer(directory.path(), &authority, "rack 7 node-2");
    let (dialled, accepted) = meet(&one, &two).await;
    assert_eq!(dialled.unwrap(), node("rack 7 node-2"));
    assert_eq!(accepted.unwrap(), node("node-1"));
}

/// How a connection came about, for the end that dials.
async fn shaken(dialling: &Arc<ClientConfig>, accepting: &Arc<ServerConfig>) -> HandshakeKind {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(accepting));
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
    };
    let dial = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::clone(dialling));
        let mut stream = connector.connect(peer_name(), stream).await.unwrap();
        // What it is given to resume by comes before.
        stream.read_u8().await.unwrap();
        stream.get_ref().1.handshake_kind().unwrap()
    };
    let both = async { tokio::join!(dial, accept).0 };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("a handshake ends")
}

#[tokio::test]
async fn certificates_are_looked_at_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(1).unwrap();
    let one = peer(directory.path(), &authority, "node-1")
        .sides
        .load_full();
    let two = peer(directory.path(), &authority, "node-2")
        .sides
        .load_full();
    // Neither end depends on the other for it.
    let mut willing = ClientConfig::clone(&one.dialling);
    willing.resumption = rustls::client::Resumption::default();
    let mut offering = ServerConfig::clone(&two.accepting);
    offering.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
    offering.send_tls13_tickets = 2;
    let (willing, offering) = (Arc::new(willing), Arc::new(offering));
    for (dialling, accepting, kind) in [
        (&willing, &offering, HandshakeKind::Resumed),
        (&willing, &two.accepting, HandshakeKind::Full),
        (&one.dialling, &offering, HandshakeKind::Full),
    ] {
        shaken(dialling, accepting).await;
        assert_eq!(shaken(dialling, accepting).await, kind);
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_either_end() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new(1).unwrap(), Authority::new(1).unwrap());
    let one = peer(directory.path(), &ours, "node-1");
    // Trusts ours, and shows one of its own: the check at the start is not what protects.
    let stray = PeerFiles {
        authority: written(directory.path(), &others, "node-3", &others).authority,
        ..written(directory.path(), &others, "node-2", &others)
    };
    let stray = PeerTls::read(&stray).unwrap();
    let trusting = PeerTls {
        node: stray.node.clone(),
        sides: Arc::new(ArcSwap::from_pointee(Sides {
            accepting: Arc::clone(&stray.sides.load().accepting),
            dialling: trusts_anyway(directory.path(), &ours, &others),
        })),
    };
    let (dialled, accepted) = meet(&trusting, &one).await;
    assert!(dialled.is_err() && accepted.is_err(), "it dialled");
    let (dialled, accepted) = meet(&one, &stray).await;
    assert!(dialled.is_err() && accepted.is_err(), "it was dialled");
}

/// A dialling end that trusts `ours` and shows a certificate of `others`.
fn trusts_anyway(directory: &Path, ours: &Authority, others: &Authority) -> Arc<ClientConfig> {
    let files = written(directory, ours, "node-2", others);
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(files::roots(&files.authority).unwrap())
        .with_client_auth_cert(
            files::chain(&files.certificate).unwrap(),
            files::key(&files.key).unwrap(),
        );
    Arc::new(config.unwrap())
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(1).unwrap();
    let one = peer(directory.path(), &authority, "node-1");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, authority.certificate()).unwrap();
    let bare = PeerTls {
        node: node("node-2"),
        sides: Arc::new(ArcSwap::from_pointee(Sides {
            accepting: Arc::clone(&one.sides.load().accepting),
            dialling: ClientTls::trusting(&file).unwrap().config(),
        })),
    };
    let (dialled, accepted) = meet(&bare, &one).await;
    assert!(dialled.is_err() && accepted.is_err());
}

#[test]
fn what_others_would_refuse_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new(1).unwrap(), Authority::new(1).unwrap());
    let stray = written(directory.path(), &ours, "node-1", &others);
    let refused = PeerTls::read(&stray).unwrap_err();
    assert!(matches!(refused, TlsError::Refused { .. }), "{refused}");
    let good = written(directory.path(), &ours, "node-2", &ours);
    let mixed = PeerFiles {
        key: written(directory.path(), &ours, "node-3", &ours).key,
        ..good.clone()
    };
    let refused = PeerTls::read(&mixed).unwrap_err();
    assert!(matches!(refused, TlsError::Pair { .. }), "{refused}");
    let unnamed = PeerFiles {
        certificate: good.authority.clone(),
        ..good.clone()
    };
    let refused = PeerTls::read(&unnamed).unwrap_err();
    assert!(
        refused.to_string().contains("urn:clusterkit:node:node-1"),
        "{refused}"
    );
    for (files, what) in [
        (
            PeerFiles {
                key: good.certificate.clone(),
                ..good.clone()
            },
            "no private key",
        ),
        (
            PeerFiles {
                authority: good.key.clone(),
                ..good.clone()
            },
            "no certificate",
        ),
        (
            PeerFiles {
                key: directory.path().join("absent"),
                ..good.clone()
            },
            "cannot read",
        ),
    ] {
        let refused = PeerTls::read(&files).unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
    }
}

#[test]
fn a_renewed_certificate_is_of_the_same_node() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(1).unwrap();
    let files = written(directory.path(), &authority, "node-1", &authority);
    let one = PeerTls::read(&files).unwrap();
    let before = Arc::clone(&one.sides.load());
    written(directory.path(), &authority, "node-1", &authority);
    one.read_again(&files).unwrap();
    assert!(!Arc::ptr_eq(&before, &one.sides.load()));
    let other = written(directory.path(), &authority, "node-2", &authority);
    let refused = one.read_again(&other).unwrap_err().to_string();
    assert!(
        refused.contains("node-2") && refused.contains("node-1"),
        "{refused}"
    );
    assert_eq!(*one.node(), node("node-1"));
}

#[test]
fn an_authority_is_read_again_and_anothers_key_is_none() {
    let (ours, others) = (Authority::new(1).unwrap(), Authority::new(1).unwrap());
    let again = Authority::from_pem(ours.certificate(), ours.key()).unwrap();
    issued(&again, "node-1");
    let mixed = Authority::from_pem(ours.certificate(), others.key());
    assert!(matches!(mixed, Err(IssueError::Authority)));
    let hosts = ["a b".to_owned()];
    let refused = ours.issue(&node("n"), &hosts, 1).unwrap_err().to_string();
    assert!(refused.contains("a b"), "{refused}");
    assert!(matches!(
        ours.issue(&node("n"), &[], 1),
        Err(IssueError::Hosts { got: 0 })
    ));
    assert!(matches!(
        Authority::new(0),
        Err(IssueError::Days { days: 0 })
    ));
}

#[tokio::test]
async fn a_server_shows_what_was_read_last() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(1).unwrap();
    let files = written(directory.path(), &authority, "node-1", &authority);
    let shown = ServerFiles {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        callers: None,
    };
    let server = ServerTls::read(&shown).unwrap();
    let client = ClientTls::trusting(&files.authority).unwrap();
    let certificate = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            server.accept(stream).await.unwrap()
        };
        let dial = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let dialled = TlsConnector::from(client.config())
                .connect(name, stream)
                .await;
            let dialled = dialled.unwrap();
            dialled.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        };
        tokio::join!(accept, dial).1
    };
    let first = certificate().await;
    assert_eq!(first, certificate().await);
    written(directory.path(), &authority, "node-1", &authority);
    server.read_again(&shown).unwrap();
    let second = certificate().await;
    assert_ne!(first, second);
    std::fs::write(&shown.key, "nothing").unwrap();
    assert!(server.read_again(&shown).is_err());
    assert_eq!(certificate().await, second, "a broken file changes nothing");
}
