//! Whom a router asks, and for how long.

use std::time::Duration;

use ck_api::Token;
use ck_tls::ClientTls;

use crate::ConfigError;

/// What a [`Router`](super::Router) is made from. Plain fields with defaults.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// HTTP addresses of any nodes, as of [`ClientConfig::servers`](crate::ClientConfig::servers).
    /// Once the table is known, the nodes in it are asked as well.
    pub seeds: Vec<String>,
    /// Whom to trust, as of [`ClientConfig::tls`](crate::ClientConfig::tls). Every node is asked over the
    /// scheme of the seeds.
    pub tls: Option<ClientTls>,
    /// Token sent with every request that shows none of its own. Default none.
    pub token: Option<Token>,
    /// Time a request may take in all, every attempt and pause included. Default 10 s.
    pub timeout: Duration,
    /// Time one attempt may take of a request that may be repeated. Default 2 s. One that may not
    /// gets all the time there is.
    pub attempt_timeout: Duration,
    /// Time one connection attempt may take. Default 1 s.
    pub connect_timeout: Duration,
    /// Attempts of a request, the first and those that follow an answer included. Default 100.
    pub attempts_max: u32,
    /// Attempts a second, of all requests together, that are made because one before failed; what
    /// is beyond waits its turn. Default 500. As many at once are let through after a quiet time.
    pub retries_per_second: u32,
    /// Whether a server is followed (`GET /v1/watch`), which tells of each change. Default yes.
    pub follow: bool,
    /// Time without an event, or behind what others have said, after which the server that is followed is
    /// left for another one. Heartbeats come at least every 5 s and may name where the server was 5 s
    /// before, so it should be more than 10 s. Default 12 s.
    pub silence: Duration,
    /// How often the table is asked for while no server can be followed, and nothing says that it is
    /// old. Default 5 s.
    pub refresh_every: Duration,
    /// Least time between two times the table is asked for, whatever says that it is old. Default
    /// 50 ms.
    pub refresh_gap: Duration,
    /// Most bytes of an answer of the data plane. Default 16 MiB and 64 KiB.
    pub answer_bytes_max: usize,
    /// Most bytes of the table, and of an event of a server that is followed. Default 256 MiB, which
    /// holds a million partitions.
    pub event_bytes_max: usize,
    /// Most bytes of a request's body. Default 16 MiB.
    pub body_bytes_max: usize,
    /// Connections that are kept open to a node while no request uses them. Default 256.
    pub idle_connections_max: usize,
}

impl RouterConfig {
    /// Those seeds, and the defaults.
    pub fn new<S: Into<String>>(seeds: impl IntoIterator<Item = S>) -> Self {
        Self {
            seeds: seeds.into_iter().map(Into::into).collect(),
            tls: None,
            token: None,
            timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            attempts_max: 100,
            retries_per_second: 500,
            follow: true,
            silence: Duration::from_secs(12),
            refresh_every: Duration::from_secs(5),
            refresh_gap: Duration::from_millis(50),
            answer_bytes_max: (16 << 20) + (64 << 10),
            event_bytes_max: 256 << 20,
            body_bytes_max: 16 << 20,
            idle_connections_max: 256,
        }
    }

    /// Lets a request take that long in all.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts those, and speaks `https` where a seed has no scheme.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends that token with every request that shows none of its own.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Refuses what makes no sense; the seeds are looked at by the client.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (field, time) in [
            ("attempt_timeout", self.attempt_timeout),
            ("silence", self.silence),
            ("refresh_every", self.refresh_every),
            ("refresh_gap", self.refresh_gap),
        ] {
            if time.is_zero() {
                return Err(ConfigError::Zero { field });
            }
        }
        for (field, number) in [
            ("attempts_max", self.attempts_max),
            ("retries_per_second", self.retries_per_second),
        ] {
            if number == 0 {
                return Err(ConfigError::NotPositive { field });
            }
        }
        Ok(())
    }
}
