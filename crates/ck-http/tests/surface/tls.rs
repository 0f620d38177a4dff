//! Encrypted, and what reaches a port that speaks something else.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ck_client::{Client, ClientConfig, ClientError, ClientTls};
use ck_http::{Limits, ServerFiles, ServerTls, SurfaceConfig};
use ck_tls::issue::Authority;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Live, PATIENCE, captured, read_to_end};

const SHORT: Duration = Duration::from_millis(200);

/// A certificate for this machine, with its authority.
struct Kept {
    directory: TempDir,
    authority: Authority,
}

impl Kept {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            authority: Authority::new(1).unwrap(),
        }
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    fn server(&self) -> ServerTls {
        let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let node = ck_core::NodeId::new("node-1").unwrap();
        let issued = self.authority.issue(&node, &hosts, 1).unwrap();
        let files = ServerFiles {
            certificate: self.put("node-1.pem", &issued.certificate),
            key: self.put("node-1-key.pem", &issued.key),
            callers: None,
        };
        ServerTls::read(&files).unwrap()
    }

    fn trusted(&self) -> ClientTls {
        let file = self.put("ca.pem", self.authority.certificate());
        ClientTls::trusting(&file).unwrap()
    }

    async fn live(&self, limits: Limits) -> Live {
        let config = SurfaceConfig {
            limits,
            encrypted: true,
            ..SurfaceConfig::default()
        };
        Live::encrypted(config, self.server()).await
    }
}

fn short() -> Limits {
    Limits {
        handshake_timeout: SHORT,
        header_timeout: SHORT,
        ..Limits::default()
    }
}

fn client(live: &Live, tls: ClientTls) -> Client {
    let config = ClientConfig::new([live.address.to_string()]).with_tls(tls);
    Client::new(config.with_timeout(PATIENCE)).unwrap()
}

#[tokio::test]
async fn what_is_asked_over_tls_is_answered() {
    let kept = Kept::new();
    let live = kept.live(Limits::default()).await;
    let client = client(&live, kept.trusted());
    for _ in 0..3 {
        let cluster = client.cluster().await.unwrap();
        assert_eq!(cluster.cluster.nodes.len(), 3);
    }
    // A change whose body is larger than what one record holds.
    let value = vec![b'x'; 60_000];
    client
        .set_custom("big", value.clone().into(), None)
        .await
        .unwrap();
    assert_eq!(client.custom("big").await.unwrap().value, value);
    live.stop().await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_spoken_to() {
    let (kept, others) = (Kept::new(), Kept::new());
    let live = kept.live(Limits::default()).await;
    let refused = client(&live, others.trusted()).cluster().await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{said}");
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn a_certificate_for_other_hosts_is_refused() {
    let kept = Kept::new();
    let node = ck_core::NodeId::new("node-1").unwrap();
    let hosts = ["elsewhere.example".to_owned()];
    let issued = kept.authority.issue(&node, &hosts, 1).unwrap();
    let files = ServerFiles {
        certificate: kept.put("node-1.pem", &issued.certificate),
        key: kept.put("node-1-key.pem", &issued.key),
        callers: None,
    };
    let tls = ServerTls::read(&files).unwrap();
    let live = Live::encrypted(SurfaceConfig::default(), tls).await;
    let refused = client(&live, kept.trusted()).cluster().await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

/// The beginning of a handshake: a record that says it is one, and how long it is.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03clienthello";

#[tokio::test]
async fn a_handshake_on_the_plain_port_is_closed_in_time_and_hurts_nobody() {
    let live = Live::with_limits(short()).await;
    let begun = Instant::now();
    let answer = live.raw(HELLO).await;
    assert!(begun.elapsed() < PATIENCE);
    let text = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || text.starts_with("HTTP/1.1 4"),
        "{text}"
    );
    let tls = ClientTls::default();
    let config = ClientConfig::new([format!("https://{}", live.address)]).with_tls(tls);
    let refused = Client::new(config).unwrap().cluster().await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Unreachable { .. }),
        "{refused}"
    );
    assert_eq!(live.get("/v1/nodes").await.status, 200);
}

#[tokio::test]
async fn what_is_no_handshake_is_closed_in_time_and_hurts_nobody() {
    let kept = Kept::new();
    let one = Limits {
        connections_max: 1,
        ..short()
    };
    let live = kept.live(one).await;
    let plain = b"GET /v1/nodes HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let record_too_long = b"\x16\x03\x01\xff\xff";
    // Nothing, half a handshake, and what is none: each has the only place there is.
    for bytes in [&b""[..], &HELLO[..20], plain, record_too_long, &[0; 5000]] {
        let answer = live.raw(bytes).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("HTTP/1.1 2"), "{text}");
    }
    let trusted = kept.trusted();
    let asked = async {
        // The place is given back a moment after the connection is closed.
        loop {
            if client(&live, trusted.clone()).cluster().await.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_trickles_has_its_time_alone() {
    let kept = Kept::new();
    let live = kept.live(short()).await;
    let mut stream = live.connect().await;
    let trickling = async {
        for byte in HELLO.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    // Each byte comes in time, and the whole does not.
    tokio::time::timeout(PATIENCE, trickling)
        .await
        .expect("closed in time");
}

#[tokio::test]
async fn a_stop_waits_for_no_handshake() {
    let kept = Kept::new();
    let live = kept
        .live(Limits {
            handshake_timeout: PATIENCE * 6,
            stop_timeout: PATIENCE * 6,
            ..Limits::default()
        })
        .await;
    let mut stream = live.connect().await;
    stream.write_all(&HELLO[..10]).await.unwrap();
    live.stop().await;
    assert!(read_to_end(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_redirect_says_that_the_leader_speaks_tls() {
    let fake = ck_http::fake::Fake::with_partitions(captured(), 3);
    fake.is_asked_at("node-3");
    let config = SurfaceConfig {
        encrypted: true,
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(fake, config).await;
    let body = r#"{"node":{"id":"node-9","ip":"127.0.0.1","port":8090}}"#;
    let headers = [("prefer", "redirect"), ("content-type", "application/json")];
    let got = live.send("POST", "/join", &headers, body.as_bytes()).await;
    assert_eq!(got.status, 307);
    assert!(got.header("location").unwrap().starts_with("https://"));
}
