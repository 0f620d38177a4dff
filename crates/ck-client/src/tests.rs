//! Failover and its limits, against scripted servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ck_api::{Code, Problem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What a scripted server does with each request.
#[derive(Clone)]
enum Script {
    Answer(u16, &'static str, String),
    /// Closes the connection once the request has been read.
    HangUp,
    /// Reads the request and never answers.
    Silence,
}

struct Scripted {
    address: String,
    requests: Arc<AtomicUsize>,
    last: Arc<std::sync::Mutex<String>>,
}

impl Scripted {
    /// Answers the first requests by `scripts` in turn, then for ever by the last of them.
    async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(std::sync::Mutex::new(String::new()));
        let (counter, text) = (Arc::clone(&requests), Arc::clone(&last));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = Vec::new();
                let mut chunk = [0; 4096];
                while !read.windows(4).any(|at| at == b"\r\n\r\n") {
                    match stream.read(&mut chunk).await {
                        Ok(count) if count > 0 => read.extend_from_slice(&chunk[..count]),
                        _ => break,
                    }
                }
                *text.lock().unwrap() = String::from_utf8_lossy(&read).into_owned();
                let at = counter.fetch_add(1, Ordering::SeqCst);
                match scripts[at.min(scripts.len() - 1)].clone() {
                    Script::HangUp => {}
                    Script::Silence => {
                        tokio::spawn(async move {
                            // Held open until the client gives up.
                            let _ = stream.read(&mut [0; 1]).await;
                        });
                    }
                    Script::Answer(status, kind, body) => {
                        let head = format!(
                            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\
                             content-length: {}\r\n\r\n",
                            body.len()
                        );
                        let _ = stream.write_all((head + &body).as_bytes()).await;
                    }
                }
            }
        });
        Self {
            address,
            requests,
            last,
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn healthy() -> Script {
    Script::Answer(
        200,
        "application/json",
        r#"{"success":true,"message":"healthy"}"#.into(),
    )
}

fn problem(code: Code) -> Script {
    let problem = Problem::new(code, "for the test").with_retry_after_ms(20);
    Script::Answer(
        code.status(),
        ck_api::PROBLEM_JSON,
        serde_json::to_string(&problem).unwrap(),
    )
}

fn client(servers: &[&str]) -> Client {
    let config = ClientConfig::new(servers.iter().copied()).with_timeout(Duration::from_secs(5));
    Client::new(config).unwrap()
}

/// An address that refuses connections: it was free a moment ago.
async fn dead() -> String {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn a_read_goes_on_to_the_next_server_and_stays_there() {
    let dead = dead().await;
    let broken = Scripted::start(vec![Script::HangUp]).await;
    let good = Scripted::start(vec![healthy()]).await;
    let client = client(&[&dead, &broken.address, &good.address]);
    for _ in 0..3 {
        assert!(client.health().await.unwrap().success);
    }
    assert_eq!((broken.requests(), good.requests()), (1, 3));
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_names_every_server() {
    let (one, two) = (dead().await, dead().await);
    let error = client(&[&one, &two]).health().await.unwrap_err();
    let ClientError::Unreachable { tried } = &error else {
        panic!("{error}")
    };
    assert_eq!(tried.len(), 2);
    assert_eq!(error.exit_code(), 3);
    assert!(
        error.to_string().contains(&one) && error.to_string().contains(&two),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_server_leaves_time_for_the_next() {
    let silent = Scripted::start(vec![Script::Silence]).await;
    let good = Scripted::start(vec![healthy()]).await;
    let config = ClientConfig::new([&*silent.address, &*good.address])
        .with_timeout(Duration::from_millis(400));
    assert!(Client::new(config).unwrap().health().await.unwrap().success);
}

#[tokio::test]
async fn silence_everywhere_is_a_time_out() {
    let silent = Scripted::start(vec![Script::Silence]).await;
    let config = ClientConfig::new([&*silent.address]).with_timeout(Duration::from_millis(100));
    let error = Client::new(config).unwrap().health().await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
async fn a_change_that_was_sent_is_not_repeated_elsewhere() {
    let broken = Scripted::start(vec![Script::HangUp]).await;
    let good = Scripted::start(vec![healthy()]).await;
    let error = client(&[&broken.address, &good.address])
        .rebalance(false)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    assert!(error.is_outcome_unknown());
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn a_change_that_was_not_taken_on_is_tried_again() {
    let server = Scripted::start(vec![problem(Code::NoLeader), problem(Code::TooFewNodes)]).await;
    let error = client(&[&server.address])
        .create_partitions()
        .await
        .unwrap_err();
    assert_eq!(error.problem().unwrap().code, "too-few-nodes");
    assert_eq!(error.exit_code(), 4);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_change_of_unknown_outcome_is_not_tried_again() {
    let server = Scripted::start(vec![problem(Code::OutcomeUnknown)]).await;
    let error = client(&[&server.address])
        .create_partitions()
        .await
        .unwrap_err();
    assert_eq!((error.exit_code(), error.is_outcome_unknown()), (3, true));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_refusal_is_final_for_reads_too() {
    let refusing = Scripted::start(vec![problem(Code::PartitionUnknown)]).await;
    let good = Scripted::start(vec![healthy()]).await;
    let error = client(&[&refusing.address, &good.address])
        .partition("999")
        .await
        .unwrap_err();
    assert_eq!((error.exit_code(), good.requests()), (1, 0));
}

#[tokio::test]
async fn the_token_is_sent_and_keys_are_bytes() {
    let server = Scripted::start(vec![problem(Code::Unauthorized)]).await;
    let config = ClientConfig::new([&*server.address]).with_token("s3cret".parse().unwrap());
    let client = Client::new(config).unwrap();
    let error = client.partition_for_key(b"a b\xff").await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    let request = server.last.lock().unwrap().clone();
    assert!(
        request.starts_with("GET /v1/partitions/key?key=a%20b%FF HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: Bearer s3cret\r\n"),
        "{request}"
    );
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[tokio::test]
async fn another_kind_of_server_is_malformed() {
    for (status, kind, body) in [
        (200, "text/html", "<html>"),
        (404, "text/html", "<html>"),
        (409, ck_api::PROBLEM_JSON, "{"),
    ] {
        let server = Scripted::start(vec![Script::Answer(status, kind, body.into())]).await;
        let error = client(&[&server.address]).health().await.unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_read_to_its_end() {
    let server = Scripted::start(vec![healthy()]).await;
    let mut config = ClientConfig::new([&*server.address]);
    config.answer_bytes_max = 8;
    let error = Client::new(config).unwrap().health().await.unwrap_err();
    assert!(error.to_string().contains("longer than 8 bytes"), "{error}");
}

#[tokio::test]
async fn not_ready_is_an_answer() {
    let body = r#"{"message":"cluster not ready","nodes":1,"partitions":0,"ready":false,
        "valid_partitions":0,"reasons":["the partitions have not been created"]}"#;
    let server = Scripted::start(vec![Script::Answer(503, "application/json", body.into())]).await;
    let Readiness::NotReady(answer) = client(&[&server.address]).ready().await.unwrap() else {
        panic!("a 503 is not ready");
    };
    assert_eq!(answer.reasons.len(), 1);
}

#[test]
fn a_client_without_servers_or_time_is_refused() {
    let none = ClientConfig::new(Vec::<String>::new());
    assert_eq!(Client::new(none).unwrap_err(), ConfigError::NoServers);
    let hasty = ClientConfig::new(["h:1"]).with_timeout(Duration::ZERO);
    assert_eq!(
        Client::new(hasty).unwrap_err(),
        ConfigError::Zero { field: "timeout" }
    );
}
