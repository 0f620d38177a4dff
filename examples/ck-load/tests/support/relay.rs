//! TLS before a server that speaks none, for callers that show a token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ck_tls::issue::Authority;
use ck_tls::{ServerFiles, ServerTls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Passes on what comes over TLS, as long as its first request shows the token.
pub(crate) struct Relay {
    pub(crate) http: SocketAddr,
    pub(crate) authority: PathBuf,
    pub(crate) tokens: PathBuf,
    _runtime: Runtime,
}

impl Relay {
    /// Before `to`, with its files in a folder.
    pub(crate) fn new(folder: &Path, to: SocketAddr) -> Self {
        let put = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let authority = Authority::new(1).unwrap();
        let hosts = ["localhost".to_owned()];
        let issued = authority.issue(&"node-1".parse().unwrap(), &hosts, 1);
        let issued = issued.unwrap();
        let files = ServerFiles {
            certificate: put("c.pem", &issued.certificate),
            key: put("k.pem", &issued.key),
            callers: None,
        };
        let tls = ServerTls::read(&files).unwrap();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let http = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move { passed_on(&tls, stream, to).await });
            }
        });
        Self {
            http,
            authority: put("ca.pem", authority.certificate()),
            tokens: put("tokens", "admin s3cret\n"),
            _runtime: runtime,
        }
    }
}

/// Ends the connection of who shows no token.
async fn passed_on(tls: &ServerTls, stream: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let (mut stream, _) = tls.accept(stream).await?;
    let mut first = Vec::new();
    while !first.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut first).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&first).to_lowercase();
    if !head.contains("authorization: bearer s3cret\r\n") {
        return Ok(());
    }
    let mut server = TcpStream::connect(to).await?;
    server.write_all(&first).await?;
    copy_bidirectional(&mut stream, &mut server).await.map(drop)
}
