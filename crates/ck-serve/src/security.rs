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
pub(crate) struct Renewing(Option<AbortHandle>);

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

    /// Reads the files again when they change, and at each hang-up. Without files a hang-up ends the
    /// process, as it does others.
    pub(crate) fn follow(&mut self) -> io::Result<Renewing> {
        let Some(renewals) = self.renewals.take() else {
            return Ok(Renewing(None));
        };
        let hangups = signal(SignalKind::hangup())?;
        let following = tokio::spawn(renewals.follow(hangups));
        Ok(Renewing(Some(following.abort_handle())))
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        if let Some(following) = &self.0 {
            following.abort();
        }
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
        assert!(Security::read(&files, true).is_ok());
        files.asks_encrypted = true;
        let refused = Security::read(&files, false).map(drop).unwrap_err();
        assert!(refused.to_string().contains("absent.pem"), "{refused}");
    }
}
