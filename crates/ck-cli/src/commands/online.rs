//! What every command that asks a cluster shares.

use std::future::Future;
use std::time::Duration;

use ck_api::ClusterAnswer;
use ck_client::{Client, ClientConfig, ClientError, ClientTls, read_token};

use crate::args::Connection;
use crate::exit::Failure;
use crate::output::count;

/// Most time a request may take, unless told otherwise.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `work` with a client of the servers named.
pub(super) fn with_client<T, F>(
    connection: &Connection,
    work: impl FnOnce(Client) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, ClientError>>,
{
    operate(connection, async |client| Ok(work(client).await?))
}

/// As [`with_client`], for work that may fail in ways of its own.
pub(crate) fn operate<T, F>(
    connection: &Connection,
    work: impl FnOnce(Client) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let timeout = connection.timeout.unwrap_or(REQUEST_TIMEOUT);
    let mut config = ClientConfig::new(connection.server.iter().cloned()).with_timeout(timeout);
    if let Some(file) = &connection.token_file {
        config = config.with_token(read_token(file).map_err(anyhow::Error::from)?);
    }
    if let Some(file) = &connection.ca {
        config = config.with_tls(ClientTls::trusting(file).map_err(anyhow::Error::from)?);
    }
    let client = Client::new(config).map_err(|error| Failure::Usage(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work(client))
}

/// What to say when fewer nodes can hold copies than each partition is to have.
pub(super) fn too_few_holders(answer: &ClusterAnswer) -> Option<String> {
    let nodes = answer.cluster.nodes.iter();
    let holders = nodes.filter(|node| matches!(node.status.as_str(), "active" | "cordoned"));
    let (holders, wanted) = (
        holders.count() as u64,
        answer.cluster.config.replication_factor,
    );
    (holders < u64::from(wanted)).then(|| {
        format!(
            "{} can hold copies, fewer than the replication factor {wanted}: partitions have fewer \
             copies until a node joins or comes back",
            count(holders, "node", "nodes")
        )
    })
}
