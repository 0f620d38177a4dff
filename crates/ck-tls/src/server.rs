//! What a server shows.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use webpki::{EndEntityCert, KeyUsage};

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
        Ok(Self(Arc::new(ArcSwap::new(config(
            files,
            UnixTime::now(),
        )?))))
    }

    /// Reads them again; connections from now on are shown what was read.
    ///
    /// # Errors
    /// As [`ServerTls::read`]; then what was read before is shown on.
    pub fn read_again(&self, files: &ServerFiles) -> Result<(), TlsError> {
        self.0.store(config(files, UnixTime::now())?);
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
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
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
    use std::time::Duration;

    use super::*;
    use crate::issue::Authority;

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
