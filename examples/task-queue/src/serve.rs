//! The service as an application of its node, and its flags.

use std::sync::OnceLock;

use ck_http::{Incoming, Method, Reply, Request, Role, Routes};
use ck_kv::KvConfig;
use ck_node::{BoxFuture, Handle};
use ck_serve::{Application, ApplicationError, Opened, Opening, ServeArgs};

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

    fn config(&self) -> KvConfig {
        let mut config = KvConfig::default();
        if let Some(reserve) = self.reserve {
            config.reserve = reserve;
        }
        config
    }
}

/// The service, opened with its node's data directory.
#[derive(Debug)]
pub struct Service {
    config: KvConfig,
    queue: OnceLock<TaskQueue>,
}

impl Service {
    /// A service that is opened when its node starts.
    #[must_use]
    pub fn new(args: &Args) -> Self {
        Self {
            config: args.config(),
            queue: OnceLock::new(),
        }
    }
}

impl Routes for Service {
    fn role(&self, method: &Method, path: &str) -> Option<Role> {
        self.queue.get()?.role(method, path)
    }

    fn serves(&self, path: &str) -> bool {
        self.queue.get().is_some_and(|queue| queue.serves(path))
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        match self.queue.get() {
            Some(queue) => queue.answer(request),
            None => Box::pin(async { Reply::default() }),
        }
    }
}

impl Application for Service {
    fn open<'a>(&'a self, opening: Opening<'a>) -> BoxFuture<'a, Result<Opened, ApplicationError>> {
        Box::pin(async move {
            let (data, config) = (opening.data.to_owned(), self.config.clone());
            let opened = tokio::task::spawn_blocking(move || TaskQueue::open(&data, config));
            let opened = opened.await??;
            let queue = self.queue.get_or_init(|| opened);
            Ok(Opened::new(queue.handler()).with_service("queue", opening.http))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        if let Some(queue) = self.queue.get() {
            queue.attach(node);
        }
        Box::pin(async { Ok(()) })
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        if let Some(queue) = self.queue.get() {
            queue.close();
        }
        Box::pin(async {})
    }
}
