//! `--join` names HTTP addresses; peers talk elsewhere. This asks them where.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ck_client::{Client, ClientConfig, ConfigError};
use ck_node::{Resolve, ResolveError};

use crate::asking::Asking;

/// Time a member has to say where its peers reach it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);

/// Asks `GET /v1/peer` of the HTTP address.
#[derive(Debug, Clone)]
pub struct AskOverHttp {
    asking: Asking,
}

impl AskOverHttp {
    /// Asks as `config` says, whatever servers and time it names: with its token, for instance.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self::following(Asking::new(config))
    }

    /// Asks as is said there when it asks.
    pub(crate) const fn following(asking: Asking) -> Self {
        Self { asking }
    }

    /// A client of that one server.
    fn client(&self, target: &str) -> Result<Client, ConfigError> {
        let config = self.asking.now().with_timeout(ANSWER_TIMEOUT);
        Client::new(config.with_servers([target]))
    }
}

impl Default for AskOverHttp {
    /// Asks without a token.
    fn default() -> Self {
        Self::new(ClientConfig::new([""; 0]))
    }
}

impl Resolve for AskOverHttp {
    fn resolve<'a>(
        &'a self,
        target: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, ResolveError>> + Send + 'a>> {
        Box::pin(async move {
            let failed = |reason: String| ResolveError {
                target: target.to_owned(),
                reason,
            };
            let client = self
                .client(target)
                .map_err(|error| failed(error.to_string()))?;
            let peer = client
                .peer()
                .await
                .map_err(|error| failed(error.to_string()))?;
            if peer.peer_address.is_empty() {
                return Err(failed(format!(
                    "{} does not listen for peers yet",
                    peer.node
                )));
            }
            Ok(peer.peer_address)
        })
    }
}
