//! What a server shows.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

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
}

/// What a server shows to those that connect. Clones share it, so that what is read again counts for
/// all of them.
#[derive(Clone)]
pub struct ServerTls(Arc<ArcSwap<ServerConfig>>);

impl ServerTls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it.
    pub fn read(files: &ServerFiles) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::new(config(files)?))))
    }

    /// Reads them again; connections from now on are shown what was read.
    ///
    /// # Errors
    /// As [`ServerTls::read`]; then what was read before is shown on.
    pub fn read_again(&self, files: &ServerFiles) -> Result<(), TlsError> {
        self.0.store(config(files)?);
        Ok(())
    }

    /// Shakes hands with who has connected. It takes as long as the other side likes: bound it.
    ///
    /// # Errors
    /// What went wrong, as when the other side does not speak TLS.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<ServerStream> {
        TlsAcceptor::from(self.0.load_full()).accept(stream).await
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(..)")
    }
}

fn config(files: &ServerFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = (files::chain(&files.certificate)?, files::key(&files.key)?);
    let pair = |error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source: Box::new(error),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
