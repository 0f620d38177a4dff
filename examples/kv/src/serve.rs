//! The service as an application of its node, and its flags.

use ck_node::{BoxFuture, Handle};
use ck_serve::{ApplicationError, Opened, Opening, ServeArgs, Service};

use crate::kv::{Kv, KvConfig, Replication};

/// The flags of one node: those of `ck serve`, and the service's own.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// When a write is acknowledged: sync, once every copy that is in sync has it on its disk; async,
    /// once the primary has it, which may lose what the others do not have yet.
    #[arg(
        long,
        env = "CK_KV_REPLICATION",
        value_name = "sync|async",
        default_value = "sync"
    )]
    replication: Replication,
    /// Bytes that must be left on the disk for writes to be taken. Default: 67108864.
    #[arg(long, env = "CK_KV_RESERVE", value_name = "BYTES")]
    reserve: Option<u64>,
    /// Bytes a second this node takes while it makes copies, all of them together, so that requests
    /// hardly notice; 0 for as many as it can. Default: 8388608.
    #[arg(long, env = "CK_KV_COPY_RATE", value_name = "BYTES")]
    copy_rate: Option<u64>,
}

impl Args {
    /// The flags of the node.
    #[must_use]
    pub const fn node(&self) -> &ServeArgs {
        &self.serve
    }

    /// What the service is opened with.
    #[must_use]
    pub fn config(&self) -> KvConfig {
        let mut config = KvConfig {
            replication: self.replication,
            ..KvConfig::default()
        };
        if let Some(reserve) = self.reserve {
            config.reserve = reserve;
        }
        if let Some(rate) = self.copy_rate {
            config.copy_rate = rate;
        }
        config
    }
}

impl Service for Kv {
    type Config = KvConfig;

    fn open<'a>(
        config: &'a KvConfig,
        opening: Opening<'a>,
    ) -> BoxFuture<'a, Result<(Self, Opened), ApplicationError>> {
        Box::pin(async move {
            let mut config = config.clone();
            config.courier = opening.courier.clone();
            let data = opening.data.to_owned();
            let kv = tokio::task::spawn_blocking(move || Self::open(&data, config)).await??;
            let opened = Opened::new(kv.handler()).with_service("kv", opening.http);
            Ok((kv, opened))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        self.attach(node);
        Box::pin(async { Ok(()) })
    }
}
