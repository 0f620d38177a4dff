//! What protects a node, read from its files: tokens, certificates, and how it asks other nodes.

use std::io;

use ck_http::ServerTls;
use ck_node::PeerTls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use crate::asking::Asking;
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
    renewals: Option<Renewals>,
}

/// Files are read again for as long as this lives.
pub(crate) struct Renewing(AbortHandle);

impl Security {
    /// Reads every file that is named.
    pub(crate) fn read(files: &Protection) -> Result<Self, ServeError> {
        let mut sources = Sources::default();
        let asking = sources.asking.clone();
        if let Some(file) = &files.tokens {
            let (tokens, shown) = NodeTokens::read(file)?;
            asking.show(shown);
            sources.tokens = Some((file.clone(), tokens));
        }
        if let Some(files) = &files.server {
            sources.server = Some((files.clone(), ServerTls::read(files)?));
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
    use super::*;

    #[test]
    fn whom_to_trust_is_read_where_nodes_are_asked_over_tls() {
        let mut files = Protection {
            authority: Some("absent.pem".into()),
            ..Protection::default()
        };
        assert!(Security::read(&files).is_ok());
        files.asks_encrypted = true;
        let refused = Security::read(&files).map(drop).unwrap_err();
        assert!(refused.to_string().contains("absent.pem"), "{refused}");
    }
}
