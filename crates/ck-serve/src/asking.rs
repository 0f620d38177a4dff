//! How the HTTP addresses of other nodes are asked, as the files say that were read last.

use std::path::Path;

use ck_api::Token;
use ck_client::{ClientConfig, ClientTls, TlsError};
use tokio::sync::watch;

/// Shared by who asks and who reads the files again. Each question is asked as it is then.
#[derive(Debug, Clone)]
pub(crate) struct Asking(watch::Sender<ClientConfig>);

impl Asking {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self(watch::Sender::new(config))
    }

    /// How to ask now.
    pub(crate) fn now(&self) -> ClientConfig {
        self.0.borrow().clone()
    }

    /// Shows that token from now on.
    pub(crate) fn show(&self, token: Token) {
        self.0.send_modify(|config| config.token = Some(token));
    }

    /// Trusts the authorities of that file from now on.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it; then it trusts whom it did.
    pub(crate) fn trust(&self, authorities: &Path) -> Result<(), TlsError> {
        let tls = ClientTls::trusting(authorities)?;
        self.0.send_modify(|config| config.tls = Some(tls));
        Ok(())
    }
}

impl Default for Asking {
    fn default() -> Self {
        Self::new(ClientConfig::new([""; 0]))
    }
}
