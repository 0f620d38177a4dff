//! The service as an application of its node, and its flags.

use ck_kv::KvConfig;
use ck_node::{BoxFuture, Handle};
use ck_serve::{ApplicationError, Opened, Opening, ServeArgs, Service};

use crate::service::TaskQueue;

/// One node of a replicated task queue.
///
/// `POST /queues/QUEUE` and `POST /queues/QUEUE/lease` on any node; `ck` operates the cluster on the
/// same port.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "ck-queue", version, after_help = ck_serve::FILE_HELP)]
pub struct Args {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Bytes that must be left on the disk for tasks to be taken. Default: 67108864.
    #[arg(long, env = "CK_QUEUE_RESERVE", value_name = "BYTES")]
    reserve: Option<u64>,
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
        let mut config = KvConfig::default();
        if let Some(reserve) = self.reserve {
            config.reserve = reserve;
        }
        config
    }
}

impl Service for TaskQueue {
    type Config = KvConfig;

    fn open<'a>(
        config: &'a KvConfig,
        opening: Opening<'a>,
    ) -> BoxFuture<'a, Result<(Self, Opened), ApplicationError>> {
        Box::pin(async move {
            let mut config = config.clone();
            config.courier = opening.courier.clone();
            let data = opening.data.to_owned();
            let queue = tokio::task::spawn_blocking(move || Self::open(&data, config)).await??;
            let opened = Opened::new(queue.handler()).with_service("queue", opening.http);
            Ok((queue, opened))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        self.attach(node);
        Box::pin(async { Ok(()) })
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        self.close();
        Box::pin(async {})
    }
}
