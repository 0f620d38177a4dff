//! How the application asks the other nodes, where all of them speak TLS.

use std::path::PathBuf;

use ck_client::ClientTls;
use ck_node::{PeerFiles, TlsError};

use crate::settings::Protection;

/// How other nodes are asked over TLS by the application.
#[derive(Debug, Clone)]
pub(crate) struct Calling {
    /// The authorities of their servers. Without any, nobody is trusted.
    authority: Option<PathBuf>,
    /// What says which node this is.
    shown: Option<PeerFiles>,
}

impl Calling {
    pub(crate) fn new(files: &Protection) -> Self {
        if files.authority.is_none() {
            tracing::warn!(
                "no authority is trusted, so this node can ask no other; name that of the others' \
                 --tls-cert by --ca"
            );
        }
        Self {
            authority: files.authority.clone(),
            shown: files.peers.clone(),
        }
    }

    /// Its file, if there is one.
    pub(crate) const fn authority(&self) -> Option<&PathBuf> {
        self.authority.as_ref()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it.
    pub(crate) fn read(&self) -> Result<ClientTls, TlsError> {
        match (&self.authority, &self.shown) {
            (None, _) => Ok(ClientTls::default()),
            (Some(authority), None) => ClientTls::trusting(authority),
            (Some(authority), Some(shown)) => ClientTls::of_node(authority, shown),
        }
    }
}
