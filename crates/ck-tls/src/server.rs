//! What a server shows.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ck_core::NodeId;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use webpki::{EndEntityCert, KeyUsage};

use crate::name::node_of;
use crate::{TlsError, files, provider};

/// An encrypted connection of a server.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Where a server's certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The certificate, then those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities of nodes' certificates, in PEM, where callers are asked for one: who has none is
    /// served all the same, and who has another's is not. `None` asks nobody.
    pub callers: Option<PathBuf>,
}

/// Who has connected to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody knows: the server asks for no certificate.
    NotAsked,
    /// It was asked for a certificate, and showed none that names a node.
    Unnamed,
    /// It has proved to be that node, to whoever trusts the authority.
    Node(NodeId),
}

/// What a server shows to those that connect. Clones share it, so that what is read again counts for
/// all of them.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ArcSwap<ServerConfig>>,
    asks: bool,
}

impl ServerTls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it.
    pub fn read(files: &ServerFiles) -> Result<Self, TlsError> {
        let config = config(files, UnixTime::now())?;
        Ok(Self {
            config: Arc::new(ArcSwap::new(config)),
            asks: files.callers.is_some(),
        })
    }

    /// Reads them again; connections from now on are shown what was read.
    ///
    /// # Errors
    /// As [`ServerTls::read`]; then what was read before is shown on.
    pub fn read_again(&self, files: &ServerFiles) -> Result<(), TlsError> {
        self.config.store(config(files, UnixTime::now())?);
        Ok(())
    }

    /// Whether callers are asked for a certificate.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.asks
    }

    /// Shakes hands with who has connected, and tells who that is. It takes as long as the other side
    /// likes: bound it.
    ///
    /// # Errors
    /// What went wrong, as when the other side does not speak TLS, or shows a certificate of another
    /// authority.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(ServerStream, Caller)> {
        let config = self.config.load_full();
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        if !self.asks {
            return Ok((stream, Caller::NotAsked));
        }
        let shown = stream.get_ref().1.peer_certificates();
        let node = shown.and_then(|chain| node_of(chain.first()?).ok());
        let caller = node.map_or(Caller::Unnamed, Caller::Node);
        Ok((stream, caller))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(..)")
    }
}

fn config(files: &ServerFiles, now: UnixTime) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = (files::chain(&files.certificate)?, files::key(&files.key)?);
    if let Some(reason) = not_good(&chain[0], now) {
        return Err(TlsError::NotGood {
            file: files.certificate.clone(),
            reason,
        });
    }
    let pair = |error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source: Box::new(error),
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match &files.callers {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(files::roots(authority)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::Authority {
                    file: authority.clone(),
                    reason: error.to_string(),
                })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    if files.callers.is_some() {
        // A session taken up again would not look at the caller's certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why a certificate is not good at that time, if so. Who trusts it is another question, and comes
/// after this one in the check.
fn not_good(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<String> {
    let algorithms = provider().signature_verification_algorithms.all;
    let usage = KeyUsage::server_auth();
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    match certificate.verify_for_usage(algorithms, &[], &[], now, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            Some(format!("it expired {} ago", ago(not_after, now)))
        }
        Err(webpki::Error::CertNotValidYet { not_before, .. }) => Some(format!(
            "it is not good for another {}; look at this machine's clock",
            ago(now, not_before)
        )),
        _ => None,
    }
}

/// The time from one to the other, for people.
fn ago(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds / 3600 {
        0 => format!("{seconds} s"),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::issue::Authority;
    use crate::{ClientTls, PeerFiles};

    /// A certificate of a node for this machine, in files.
    fn issued(folder: &Path, authority: &Authority, id: &str) -> PeerFiles {
        let node = NodeId::new(id).unwrap();
        let hosts = ["127.0.0.1".to_owned()];
        let issued = authority.issue(&node, &hosts, 1).unwrap();
        let put = |name: String, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        PeerFiles {
            certificate: put(format!("{id}.pem"), &issued.certificate),
            key: put(format!("{id}-key.pem"), &issued.key),
            authority: put(format!("{id}-ca.pem"), authority.certificate()),
        }
    }

    #[tokio::test]
    async fn a_caller_is_the_node_of_its_certificate_or_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let (ours, others) = (Authority::new(1).unwrap(), Authority::new(1).unwrap());
        let server = issued(directory.path(), &ours, "node-1");
        let caller = issued(directory.path(), &ours, "node-2");
        let impostor = issued(directory.path(), &others, "node-3");
        let tls = |callers: Option<&PathBuf>| {
            let files = ServerFiles {
                certificate: server.certificate.clone(),
                key: server.key.clone(),
                callers: callers.cloned(),
            };
            ServerTls::read(&files).unwrap()
        };
        let asking = tls(Some(&server.authority));
        let who = async |tls: &ServerTls, client: &ClientTls| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let accept = async {
                let (stream, _) = listener.accept().await.unwrap();
                let (mut stream, caller) = tls.accept(stream).await?;
                stream.write_all(b"x").await?;
                io::Result::Ok(caller)
            };
            let dial = async {
                let stream = TcpStream::connect(address).await.unwrap();
                let mut stream = client.connect("127.0.0.1", stream).await?;
                // In TLS 1.3 a refusal comes after the dialler's own part is done.
                stream.read_u8().await
            };
            let (caller, read) = tokio::join!(accept, dial);
            assert_eq!(caller.is_ok(), read.is_ok());
            caller.ok()
        };
        let trusting = ClientTls::trusting(&server.authority).unwrap();
        let of_node = |files| ClientTls::of_node(&server.authority, files).unwrap();
        let (caller, impostor) = (of_node(&caller), of_node(&impostor));
        let node = Caller::Node(NodeId::new("node-2").unwrap());
        // Each time anew: a session is not taken up again, and a caller not taken for another.
        for _ in 0..2 {
            assert_eq!(who(&asking, &caller).await, Some(node.clone()));
            assert_eq!(who(&asking, &trusting).await, Some(Caller::Unnamed));
            assert_eq!(who(&asking, &impostor).await, None);
        }
        let silent = tls(None);
        assert_eq!(who(&silent, &caller).await, Some(Caller::NotAsked));
    }

    #[test]
    fn a_certificate_is_not_shown_before_or_after_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let node = ck_core::NodeId::new("node-1").unwrap();
        let authority = Authority::new(10).unwrap();
        let issued = authority
            .issue(&node, &["localhost".to_owned()], 3)
            .unwrap();
        let put = |name: &str, text: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let files = ServerFiles {
            certificate: put("c.pem", &issued.certificate),
            key: put("k.pem", &issued.key),
            callers: None,
        };
        let now = UnixTime::now().as_secs();
        let at = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            config(&files, time)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        let day = 24 * 3600;
        assert_eq!(
            at(now),
            Ok(()),
            "nobody here trusts it, and that is another question"
        );
        let expired = at(now + 5 * day + 60).unwrap_err();
        assert!(
            expired.contains("c.pem") && expired.contains("2 days ago"),
            "{expired}"
        );
        let early = at(now - day).unwrap_err();
        assert!(
            early.contains("another 22 h") || early.contains("another 23 h"),
            "{early}"
        );
    }
}
