//! Whom a client trusts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::{TlsError, files, provider};

/// Whom a client trusts. Cheap to clone. Default nobody.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl Default for ClientTls {
    fn default() -> Self {
        let trusts_nobody = trusting(RootCertStore::empty());
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
        let config = trusting(roots).map_err(|error| TlsError::Authority {
            file: authorities.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self(config))
    }

    /// The same for rustls, without an application protocol.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(..)")
    }
}
