//! What an application brings to the node it runs with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ck_client::Courier;
use ck_core::NodeId;
use ck_http::{BoxFuture, Routes};
use ck_node::{Handle, Handler, NoHandler};

/// What an application reports when it cannot go on. Told with its causes, and ends the process.
pub type ApplicationError = Box<dyn std::error::Error + Send + Sync>;

/// Time [`Application::stopping`] gets unless the application asks for another.
pub const STOPPING_TIMEOUT: Duration = Duration::from_secs(10);

/// An application that runs inside the process of its node.
///
/// Calls come in this order: [`open`](Self::open), then the node starts and its handler may be
/// called, then [`started`](Self::started), then requests ([`Routes`]) until the process ends;
/// [`stopping`](Self::stopping) while they still come. Object-safe; every method has a default that
/// is right for an application without data.
pub trait Application: Routes {
    /// Opens what the application keeps, before the node starts.
    ///
    /// # Errors
    /// Any; the process ends with it, and the node was not started.
    fn open<'a>(&'a self, opening: Opening<'a>) -> BoxFuture<'a, Result<Opened, ApplicationError>> {
        let _ = opening;
        Box::pin(async { Ok(Opened::new(Arc::new(NoHandler))) })
    }

    /// The node has started; it forms or joins its cluster from now on. Requests are served once
    /// this returns, so it does not wait for [`Handle::ready`].
    ///
    /// # Errors
    /// Any; the process ends with it, and its session, if it has one yet, is left to expire.
    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        let _ = node;
        Box::pin(async { Ok(()) })
    }

    /// Ready once the application cannot go on, when a write to its disk has failed for instance. The
    /// process ends at once with the reason, and its session is left to expire: nobody says that
    /// everything acknowledged is on the disk. Default never.
    fn failed(&self) -> BoxFuture<'_, ApplicationError> {
        Box::pin(std::future::pending())
    }

    /// A stop has begun. Once this returns, the application acknowledges nothing any more that is not
    /// on its disk: the end of the session, which follows, says so.
    ///
    /// It gets [`stopping_timeout`](Self::stopping_timeout); when that is not enough the session is left to expire instead,
    /// and the process ends with an error.
    fn stopping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Time that [`stopping`](Self::stopping) gets. Default [`STOPPING_TIMEOUT`], 10 s.
    fn stopping_timeout(&self) -> Duration {
        STOPPING_TIMEOUT
    }
}

/// What an application may need to open what it keeps.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Opening<'a> {
    /// The id of the node.
    pub node: &'a NodeId,
    /// The node's data directory, which need not exist yet. Make a directory of your own in it: the
    /// node keeps `node.redb` and `CLUSTERKIT` there.
    pub data: &'a Path,
    /// The HTTP address that others are told, `host:port`. It is listened on already.
    pub http: &'a str,
    /// What asks the other nodes, as this one is set up: over TLS, with its certificate, with its token,
    /// also after those were renewed. Keep a clone.
    pub courier: &'a Courier,
}

/// An application that is open.
#[non_exhaustive]
pub struct Opened {
    /// What it does when the node's roles change.
    pub handler: Arc<dyn Handler>,
    /// Whether what it acknowledged survives a kill of the process. Default true.
    pub durable: bool,
    /// Where its services answer, by name; those of `--service` stand before them.
    pub services: BTreeMap<String, String>,
}

impl Opened {
    /// With that handler, durable, without services.
    #[must_use]
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        Self {
            handler,
            durable: true,
            services: BTreeMap::new(),
        }
    }

    /// What it acknowledged may be lost when the process is killed: a start without a clean stop is
    /// out of sync until it has caught up.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Names where one of its services answers, `host:port`.
    #[must_use]
    pub fn with_service(mut self, name: impl Into<String>, address: impl Into<String>) -> Self {
        self.services.insert(name.into(), address.into());
        self
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("durable", &self.durable)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}
