//! The service as an application of its node, and its flags.

use std::sync::OnceLock;

use ck_http::{Incoming, Method, Reply, Request, Role, Routes};
use ck_node::{BoxFuture, Handle};
use ck_serve::{Application, ApplicationError, Opened, Opening, ServeArgs};

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

    fn config(&self) -> KvConfig {
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

/// The service, opened with its node's data directory.
#[derive(Debug)]
pub struct Service {
    config: KvConfig,
    kv: OnceLock<Kv>,
}

impl Service {
    /// A service that is opened when its node starts.
    #[must_use]
    pub fn new(args: &Args) -> Self {
        Self {
            config: args.config(),
            kv: OnceLock::new(),
        }
    }
}

impl Routes for Service {
    fn role(&self, method: &Method, path: &str) -> Option<Role> {
        self.kv.get()?.role(method, path)
    }

    fn serves(&self, path: &str) -> bool {
        self.kv.get().is_some_and(|kv| kv.serves(path))
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        match self.kv.get() {
            Some(kv) => kv.answer(request),
            None => Box::pin(async { Reply::default() }),
        }
    }
}

impl Application for Service {
    fn open<'a>(&'a self, opening: Opening<'a>) -> BoxFuture<'a, Result<Opened, ApplicationError>> {
        Box::pin(async move {
            let (data, config) = (opening.data.to_owned(), self.config.clone());
            let opened = tokio::task::spawn_blocking(move || Kv::open(&data, config)).await??;
            let kv = self.kv.get_or_init(|| opened);
            Ok(Opened::new(kv.handler()).with_service("kv", opening.http))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        if let Some(kv) = self.kv.get() {
            kv.attach(node);
        }
        Box::pin(async { Ok(()) })
    }
}
