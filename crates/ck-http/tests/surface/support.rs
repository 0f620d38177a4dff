//! A server on a free port, and a caller that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ck_control::Config;
use ck_core::KeyHash;
use ck_http::fake::Fake;
use ck_http::{Limits, Routes, Server, ServerTls, Surface, SurfaceConfig, loopback_hosts};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longest wait for anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration of the captured cluster: 64 partitions, three copies, md5.
pub(crate) fn captured() -> Config {
    Config {
        hash: KeyHash::Md5Mod,
        ..Config::default()
    }
}

/// A server over a fake. Stops when dropped.
pub(crate) struct Live {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// Whether the body holds a text.
    pub(crate) fn body_has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }

    /// The problem's code; panics when it is no problem, or its status is not the answer's.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: ck_api::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert!(!problem.detail.is_empty());
        problem.code
    }
}

impl Live {
    pub(crate) async fn start(fake: Fake) -> Self {
        Self::start_with(fake, SurfaceConfig::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let config = SurfaceConfig {
            limits,
            ..SurfaceConfig::default()
        };
        Self::start_with(Fake::with_partitions(captured(), 3), config).await
    }

    pub(crate) async fn start_with(fake: Fake, config: SurfaceConfig) -> Self {
        Self::begin(fake, config, |server| server).await
    }

    pub(crate) async fn start_beside(
        fake: Fake,
        config: SurfaceConfig,
        routes: Arc<dyn Routes>,
    ) -> Self {
        Self::begin(fake, config, |server| server.with_routes(routes)).await
    }

    /// One that speaks TLS: what is sent here in plain is not what it expects.
    pub(crate) async fn encrypted(config: SurfaceConfig, tls: ServerTls) -> Self {
        let fake = Fake::with_partitions(captured(), 3);
        Self::begin(fake, config, |server| server.with_tls(tls)).await
    }

    async fn begin(
        fake: Fake,
        mut config: SurfaceConfig,
        with: impl FnOnce(Server) -> Server,
    ) -> Self {
        config.hosts.get_or_insert_with(|| loopback_hosts([]));
        let fake = Arc::new(fake);
        let surface = Surface::new(config, Arc::clone(&fake) as _).unwrap();
        let server = with(Server::bind("127.0.0.1:0").await.unwrap());
        let address = server.local_address();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            server
                .run(surface, async move {
                    let _ = stopped.await;
                })
                .await;
        });
        Self {
            address,
            fake,
            stop: Some(stop),
            server,
        }
    }

    pub(crate) async fn three() -> Self {
        Self::start(Fake::with_partitions(captured(), 3)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Got {
        let kind = ("content-type", "application/json");
        self.send(method, path, &[kind], body.as_bytes()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Got {
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        parse(&self.raw(&bytes).await)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        read_to_end(&mut stream).await
    }

    /// The version of the table.
    pub(crate) fn version(&self) -> u64 {
        ck_http::Backend::state(&*self.fake).version().0
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.server)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Everything until the server closes. A reset after some bytes counts as a close.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        let mut chunk = [0; 16 << 10];
        while let Ok(count) = stream.read(&mut chunk).await {
            if count == 0 {
                break;
            }
            read.extend_from_slice(&chunk[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the server closes in time");
    read
}

/// One answer without chunks.
pub(crate) fn parse(bytes: &[u8]) -> Got {
    let end = bytes.windows(4).position(|at| at == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Got {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}
