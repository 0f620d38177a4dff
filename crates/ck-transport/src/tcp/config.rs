//! How a TCP transport is started.

use std::time::Duration;

use ck_core::NodeId;
use ck_tls::PeerTls;

use crate::{Limits, TransportError};

/// How a [`TcpTransport`](crate::TcpTransport) listens, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpConfig {
    /// `host:port` to listen at; port 0 takes a free one. Default `127.0.0.1:0`.
    pub listen: String,
    /// Bounds shared with every transport.
    pub limits: Limits,
    /// Connections accepted, and as many dialled. Default 1,024.
    ///
    /// Beyond it, a caller is told [`TransportError::Busy`]. A cluster needs one for each peer and
    /// direction.
    pub connections_max: usize,
    /// How long one dial may take, for each address that a name resolves to. Default 1 s.
    pub connect_timeout: Duration,
    /// How long a new connection may take to say who it is. Default 2 s.
    pub hello_timeout: Duration,
    /// A connection on which nothing arrived, or nothing could be written, for so long is closed.
    /// Default 3 s, at least 100 ms.
    ///
    /// A side that has nothing to say sends a ping every quarter of it, so silence means that the
    /// peer or the network is gone. Choose it longer than the longest pause of a live process.
    pub silence_max: Duration,
    /// How long a failed dial is remembered; calls within it fail at once with the same error.
    /// Default 100 ms.
    pub redial_after: Duration,
    /// A dialled connection without calls for so long is closed. Default 5 min.
    pub idle_max: Duration,
    /// What this node shows to its peers, and asks of them: then a peer is the node that its
    /// certificate names, and nobody else is spoken to. Every node of the cluster has the like.
    /// Default none: nothing is encrypted, and a peer is who it says it is.
    pub tls: Option<PeerTls>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            limits: Limits::default(),
            connections_max: 1024,
            connect_timeout: Duration::from_secs(1),
            hello_timeout: Duration::from_secs(2),
            silence_max: Duration::from_secs(3),
            redial_after: Duration::from_millis(100),
            idle_max: Duration::from_secs(300),
            tls: None,
        }
    }
}

impl TcpConfig {
    /// The defaults, listening at `listen`.
    #[must_use]
    pub fn listening_at(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            ..Self::default()
        }
    }

    /// How often a silent side pings.
    pub(super) fn beat(&self) -> Duration {
        self.silence_max / 4
    }

    /// Refuses a certificate of another node, with which every peer would refuse this one.
    pub(super) fn check_certificate(&self, node: &NodeId) -> Result<(), TransportError> {
        match &self.tls {
            Some(tls) if tls.node() != node => Err(TransportError::OwnCertificate {
                certified: tls.node().clone(),
                node: node.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses bounds with which nothing could work.
    pub(super) fn check(&self) -> Result<(), TransportError> {
        let Limits {
            payload_bytes_max,
            calls_per_connection_max,
            requests_max,
            buffered_bytes_max,
            ..
        } = self.limits;
        let silence_ms = u64::try_from(self.silence_max.as_millis()).unwrap_or(u64::MAX);
        let one = "or nothing gets through";
        for (field, got, least, because) in [
            ("connections_max", self.connections_max as u64, 1, one),
            (
                "calls_per_connection_max",
                calls_per_connection_max as u64,
                1,
                one,
            ),
            ("requests_max", requests_max as u64, 1, one),
            (
                "buffered_bytes_max",
                buffered_bytes_max as u64,
                payload_bytes_max as u64,
                "as many as payload_bytes_max, or a payload of the limit never fits",
            ),
            (
                "silence_max",
                silence_ms,
                100,
                "in milliseconds, or pings come too late",
            ),
        ] {
            if got < least {
                return Err(TransportError::Config {
                    field,
                    got,
                    least,
                    because,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_impossible_bounds_are_named() {
        TcpConfig::default().check().unwrap();
        let limits = Limits {
            buffered_bytes_max: 9,
            ..Limits::default()
        };
        let refused = TcpConfig {
            limits,
            ..TcpConfig::default()
        }
        .check()
        .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "buffered_bytes_max is 9; it has to be at least 16777216, as many as \
             payload_bytes_max, or a payload of the limit never fits"
        );
        let refused = TcpConfig {
            connections_max: 0,
            ..TcpConfig::default()
        }
        .check();
        assert!(matches!(
            refused,
            Err(TransportError::Config {
                field: "connections_max",
                ..
            })
        ));
    }
}
