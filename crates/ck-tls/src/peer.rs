//! Nodes that talk to one another, each with a certificate that says which it is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ck_core::NodeId;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::name::{PEER_NAME, node_of};
use crate::{TlsError, files, provider};

/// An encrypted connection between two nodes.
pub type PeerStream = TlsStream<TcpStream>;

/// Where a node's certificate for its peers is, its key, and the authority of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFiles {
    /// The certificate, then those between it and its authority, in PEM. It names the node by
    /// [`node_uri`](crate::node_uri), and has the DNS name [`PEER_NAME`].
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities that issue certificates to nodes of this cluster, in PEM. Nobody else's: whoever
    /// has a certificate of theirs that names a node is that node.
    pub authority: PathBuf,
}

/// What a node shows to its peers, and what it asks of them. Clones share it, so that what is read again
/// counts for all of them.
#[derive(Clone)]
pub struct PeerTls {
    node: NodeId,
    sides: Arc<ArcSwap<Sides>>,
}

struct Sides {
    accepting: Arc<ServerConfig>,
    dialling: Arc<ClientConfig>,
}

impl PeerTls {
    /// Reads certificate, key and authority, and checks that other nodes with the same authority accept
    /// the certificate.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it.
    pub fn read(files: &PeerFiles) -> Result<Self, TlsError> {
        let (node, sides) = load(files)?;
        Ok(Self {
            node,
            sides: Arc::new(ArcSwap::from_pointee(sides)),
        })
    }

    /// Reads them again; connections from now on use what was read.
    ///
    /// # Errors
    /// As [`PeerTls::read`], and [`TlsError::OtherNode`]; then what was read before is used on.
    pub fn read_again(&self, files: &PeerFiles) -> Result<(), TlsError> {
        let (node, sides) = load(files)?;
        if node != self.node {
            return Err(TlsError::OtherNode {
                file: files.certificate.clone(),
                expected: self.node.clone(),
                got: node,
            });
        }
        self.sides.store(Arc::new(sides));
        Ok(())
    }

    /// The node that the certificate is of.
    #[must_use]
    pub const fn node(&self) -> &NodeId {
        &self.node
    }

    /// Shakes hands with a peer that has connected, and tells which node it is. It takes as long as the
    /// peer likes: bound it.
    ///
    /// # Errors
    /// What went wrong: no TLS, no certificate, or none of the authority that names a node.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(PeerStream, NodeId)> {
        let config = Arc::clone(&self.sides.load().accepting);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let node = who(stream.get_ref().1.peer_certificates())?;
        Ok((stream.into(), node))
    }

    /// Shakes hands with a peer that was dialled, and tells which node it is. As
    /// [`PeerTls::accept`].
    ///
    /// # Errors
    /// As [`PeerTls::accept`].
    pub async fn connect(&self, stream: TcpStream) -> io::Result<(PeerStream, NodeId)> {
        let config = Arc::clone(&self.sides.load().dialling);
        let stream = TlsConnector::from(config)
            .connect(peer_name(), stream)
            .await?;
        let node = who(stream.get_ref().1.peer_certificates())?;
        Ok((stream.into(), node))
    }
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The same when one shares with the other.
impl PartialEq for PeerTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sides, &other.sides)
    }
}

impl Eq for PeerTls {}

fn peer_name() -> ServerName<'static> {
    ServerName::try_from(PEER_NAME).expect("the name is a DNS name")
}

/// The node of a chain that was verified in the handshake.
fn who(chain: Option<&[CertificateDer<'_>]>) -> io::Result<NodeId> {
    let shown = chain.and_then(|chain| chain.first());
    let shown = shown.ok_or_else(|| io::Error::from(io::ErrorKind::PermissionDenied))?;
    node_of(shown).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))
}

fn load(files: &PeerFiles) -> Result<(NodeId, Sides), TlsError> {
    let chain = files::chain(&files.certificate)?;
    let roots = Arc::new(files::roots(&files.authority)?);
    let node = node_of(&chain[0])?;
    accepted_by_others(files, &roots, &chain)?;
    let pair = |error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source: Box::new(error),
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .build()
        .map_err(|error| TlsError::Authority {
            file: files.authority.clone(),
            reason: error.to_string(),
        })?;
    let mut accepting = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(pair)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), files::key(&files.key)?)
        .map_err(pair)?;
    // A session taken up again would not look at the certificates again.
    accepting.session_storage = Arc::new(NoServerSessionStorage {});
    accepting.send_tls13_tickets = 0;
    let mut dialling = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(pair)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, files::key(&files.key)?)
        .map_err(pair)?;
    dialling.resumption = Resumption::disabled();
    let sides = Sides {
        accepting: Arc::new(accepting),
        dialling: Arc::new(dialling),
    };
    Ok((node, sides))
}

/// Refuses at once what every other node would refuse later, at each dial.
fn accepted_by_others(
    files: &PeerFiles,
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'_>],
) -> Result<(), TlsError> {
    verify(roots, &chain[0], &chain[1..]).map_err(|reason| TlsError::Refused {
        file: files.certificate.clone(),
        reason,
    })
}

/// Checks a certificate as both ends of a connection between peers do.
fn verify(
    roots: &Arc<RootCertStore>,
    certificate: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
) -> Result<(), String> {
    let now = UnixTime::now();
    let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| error.to_string())?;
    servers
        .verify_server_cert(certificate, rest, &peer_name(), &[], now)
        .map_err(|error| error.to_string())?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| error.to_string())?;
    clients
        .verify_client_cert(certificate, rest, now)
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Whether peers that trust `authority` accept `certificate`.
#[cfg(feature = "issue")]
pub(crate) fn is_accepted(
    authority: CertificateDer<'static>,
    certificate: &CertificateDer<'_>,
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(authority).is_ok() && verify(&Arc::new(roots), certificate, &[]).is_ok()
}

#[cfg(test)]
mod tests;
