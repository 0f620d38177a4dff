//! `--join` names HTTP addresses; peers talk elsewhere. This asks them where.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ck_client::{Client, ClientConfig};
use ck_node::{Resolve, ResolveError};

/// Time a member has to say where its peers reach it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);

/// Asks `GET /v1/peer` of the HTTP address.
#[derive(Debug, Clone, Copy)]
pub struct AskOverHttp;

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
            let config = ClientConfig::new([target]).with_timeout(ANSWER_TIMEOUT);
            let client = Client::new(config).map_err(|error| failed(error.to_string()))?;
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
