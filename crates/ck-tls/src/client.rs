//! Whom a client trusts, and what it shows.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{PeerFiles, TlsError, files, provider};

/// An encrypted connection to a server.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Whom a client trusts, and which certificate it shows where it is asked for one. Cheap to clone.
/// Default trusts nobody and shows none.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl Default for ClientTls {
    fn default() -> Self {
        let trusts_nobody = trusting(RootCertStore::empty(), None);
        Self(trusts_nobody.expect("ring has what the default versions need"))
    }
}

impl ClientTls {
    /// Trusts the authorities of a file, and no others.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it.
    pub fn trusting(authorities: &Path) -> Result<Self, TlsError> {
        let roots = files::roots(authorities)?;
        let config = trusting(roots, None).map_err(|error| TlsError::Authority {
            file: authorities.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self(config))
    }

    /// As [`ClientTls::trusting`], and shows the certificate of a node to servers that ask for one.
    ///
    /// # Errors
    /// As [`ClientTls::trusting`], and [`TlsError::Pair`].
    pub fn of_node(authorities: &Path, shown: &PeerFiles) -> Result<Self, TlsError> {
        let roots = files::roots(authorities)?;
        let pair = (files::chain(&shown.certificate)?, files::key(&shown.key)?);
        let config = trusting(roots, Some(pair)).map_err(|error| TlsError::Pair {
            certificate: shown.certificate.clone(),
            key: shown.key.clone(),
            source: Box::new(error),
        })?;
        Ok(Self(config))
    }

    /// Shakes hands with the server that was dialled under that host, a name or an IP address. It takes
    /// as long as the server likes: bound it.
    ///
    /// # Errors
    /// What went wrong, as when nobody trusted says that it is this host.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<ClientStream> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(self.config())
            .connect(name, stream)
            .await
    }

    /// The same for rustls, without an application protocol.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// What can be wrong is the pair shown; without one, nothing.
fn trusting(
    roots: RootCertStore,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((chain, key)) = shown else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let mut config = builder.with_client_auth_cert(chain, key)?;
    // What was read last is shown, and not that of an earlier session.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(..)")
    }
}
