//! What protects a node, read from its files: tokens, certificates, and how it asks other nodes.

use std::io;

use ck_client::Courier;
use ck_http::{ServerFiles, ServerTls};
use ck_node::PeerTls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use crate::asking::Asking;
use crate::calling::Calling;
use crate::error::ServeError;
use crate::renewal::{NodeTokens, Renewals, Sources};
use crate::settings::Protection;

/// What protects a node.
pub(crate) struct Security {
    pub(crate) tokens: NodeTokens,
    /// What its HTTP surface shows; none where nothing is encrypted.
    pub(crate) server: Option<ServerTls>,
    /// What it shows to its peers.
    pub(crate) peers: Option<PeerTls>,
    /// How the HTTP addresses of other nodes are asked.
    pub(crate) asking: Asking,
    /// What the application asks the other nodes with.
    pub(crate) courier: Courier,
    renewals: Option<Renewals>,
}

/// Files are read again for as long as this lives.
pub(crate) struct Renewing(AbortHandle);

impl Security {
    /// Reads every file that is named. Where there is an application `inside`, callers of the HTTP
    /// surface may prove which node they are, as those do that this one asks.
    pub(crate) fn read(files: &Protection, inside: bool) -> Result<Self, ServeError> {
        let mut sources = Sources::default();
        let asking = sources.asking.clone();
        let courier = sources.courier.clone();
        if let Some(file) = &files.tokens {
            let (tokens, shown) = NodeTokens::read(file)?;
            courier.show(&shown);
            asking.show(shown);
            sources.tokens = Some((file.clone(), tokens));
        }
        if let Some(server) = &files.server {
            let authority = files.peers.as_ref().map(|peers| peers.authority.clone());
            let server = ServerFiles {
                callers: authority.filter(|_| inside),
                ..server.clone()
            };
            sources.server = Some((server.clone(), ServerTls::read(&server)?));
        }
        // All nodes of a cluster speak the same.
        if inside && (files.server.is_some() || files.asks_encrypted) {
            let calling = Calling::new(files);
            courier.encrypt(&calling.read()?);
            sources.calling = Some(calling);
        }
        if let Some(files) = &files.peers {
            sources.peers = Some((files.clone(), PeerTls::read(files)?));
        }
        // All nodes of a cluster speak the same.
        if let Some(authority) = files.authority.as_ref().filter(|_| files.asks_encrypted) {
            asking.trust(authority)?;
            sources.authority = Some(authority.clone());
        }
        let tokens = sources.tokens.as_ref().map(|(_, tokens)| tokens.clone());
        let any = *files != Protection::default();
        Ok(Self {
            tokens: tokens.unwrap_or_default(),
            server: sources.server.as_ref().map(|(_, tls)| tls.clone()),
            peers: sources.peers.as_ref().map(|(_, tls)| tls.clone()),
            asking,
            courier,
            renewals: any.then(|| Renewals::new(sources)),
        })
    }

    /// Reads the files again when they change, and at each hang-up. A hang-up ends no node: one without
    /// files says that it has nothing to read.
    pub(crate) fn follow(&mut self) -> io::Result<Renewing> {
        let mut hangups = signal(SignalKind::hangup())?;
        let following = match self.renewals.take() {
            Some(renewals) => tokio::spawn(renewals.follow(hangups)),
            None => tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    tracing::info!("told to read its files again, this node has none; it goes on");
                }
            }),
        };
        Ok(Renewing(following.abort_handle()))
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use ck_client::http::{Bytes, Request};
    use ck_node::PeerFiles;
    use ck_tls::Caller;
    use ck_tls::issue::Authority;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Everything that protects a node, in files; those that are there are written over.
    fn written(folder: &Path, authority: &Authority, token: &str) -> Protection {
        let put = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let hosts = ["127.0.0.1".to_owned()];
        let issued = authority.issue(&"node-1".parse().unwrap(), &hosts, 1);
        let issued = issued.unwrap();
        let certificate = put("c.pem", &issued.certificate);
        let key = put("k.pem", &issued.key);
        let authority = put("ca.pem", authority.certificate());
        Protection {
            tokens: Some(put("tokens", token)),
            server: Some(ServerFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                callers: None,
            }),
            peers: Some(PeerFiles {
                certificate,
                key,
                authority: authority.clone(),
            }),
            authority: Some(authority),
            asks_encrypted: true,
        }
    }

    /// The application asks as its node is set up, and the node's own server knows it: also once
    /// everything was renewed, the authority included.
    #[tokio::test]
    async fn an_application_asks_as_its_node_also_after_a_renewal() {
        let directory = tempfile::tempdir().unwrap();
        let files = written(directory.path(), &Authority::new(1).unwrap(), "first");
        let mut security = Security::read(&files, true).unwrap();
        let (courier, tls) = (security.courier.clone(), security.server.clone().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        for token in ["first", "second"] {
            let serve = async {
                let (stream, _) = listener.accept().await.unwrap();
                let (mut stream, caller) = tls.accept(stream).await.unwrap();
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut read).await.unwrap() > 0);
                }
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                (caller, String::from_utf8(read).unwrap(), stream)
            };
            let request = Request::get("/").body(Bytes::new()).unwrap();
            let ask = courier.send(&address, request, Duration::from_secs(20));
            let ((caller, read, _open), answer) = tokio::join!(serve, ask);
            assert_eq!(answer.unwrap().status(), 204);
            assert_eq!(caller, Caller::Node("node-1".parse().unwrap()));
            let shown = format!("authorization: Bearer {token}\r\n");
            assert!(read.contains(&shown), "{read}");
            written(directory.path(), &Authority::new(1).unwrap(), "second");
            security.renewals.as_mut().unwrap().renew(true);
        }
        // A node without an application asks nobody who calls.
        let alone = Security::read(&files, false).unwrap();
        assert_eq!(alone.server.map(|tls| tls.asks()), Some(false));
    }

    #[test]
    fn whom_to_trust_is_read_where_nodes_are_asked_over_tls() {
        let mut files = Protection {
            authority: Some("absent.pem".into()),
            ..Protection::default()
        };
        assert!(Security::read(&files, true).is_ok());
        files.asks_encrypted = true;
        let refused = Security::read(&files, false).map(drop).unwrap_err();
        assert!(refused.to_string().contains("absent.pem"), "{refused}");
    }
}
