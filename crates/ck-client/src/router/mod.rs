//! The routing half: a table that is kept near, and requests sent to the primary of their key.

mod config;
mod error;
mod exchange;
mod figures;
mod pace;
mod reader;
mod refresh;
mod send;
mod table;

pub use config::RouterConfig;
pub use error::SendError;
pub use figures::RouterFigures;
pub use reader::RouteReader;
pub use send::Repeat;
pub use table::{Route, RouteNode};

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use ck_api::Newest;
use ck_core::PartitionId;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::{Client, ClientConfig, ClientError, ConfigError};
use figures::Counters;
use pace::Pace;
use refresh::Known;
use table::RouteTable;

/// Keeps a cluster's table near, and sends requests to the primary of their key.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ck_client::http::Request;
/// use ck_client::{Router, RouterConfig};
/// let router = Router::connect(RouterConfig::new(["127.0.0.1:8080", "127.0.0.1:8081"])).await?;
/// let request = Request::get("/kv/user:1001").body(Default::default())?;
/// let answer = router.send(b"user:1001", request).await?;
/// println!("{}: {} bytes", answer.status(), answer.body().len());
/// # Ok(()) }
/// ```
///
/// The table is asked for every few seconds, and when an answer shows that it is old. It never goes
/// back: a node that is behind teaches nothing. When no node answers any more, the last one is gone by.
/// Cheap to clone; clones share the table and the connections, and the table is kept up for as long
/// as one of them lives.
#[derive(Debug, Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Its seeds, and the one HTTP client.
    client: Client,
    config: RouterConfig,
    current: Arc<ArcSwapOption<RouteTable>>,
    /// Told each time there is another table.
    changed: watch::Sender<()>,
    /// The newest incarnation and version that an answer has named.
    named: Mutex<(u64, u64)>,
    /// Asks for the table, since somebody cannot go on without.
    wanted: Arc<Notify>,
    /// Says that there is a newer one, which may wait.
    hinted: Arc<Notify>,
    /// Held while the table is asked for.
    known: tokio::sync::Mutex<Known>,
    pace: Pace,
    counters: Counters,
    /// Ends the task that keeps the table up.
    keeping: Mutex<Option<AbortHandle>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let keeping = self.keeping.get_mut();
        if let Some(task) = keeping.unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Router {
    /// A router that asks those seeds. Its first table is asked for now, and waited for by whoever
    /// sends first. Must be called from within a tokio runtime.
    ///
    /// # Errors
    /// [`ConfigError`] names the seed or the value that is wrong.
    pub fn new(config: RouterConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let mut client = ClientConfig::new(config.seeds.iter().cloned());
        client.tls.clone_from(&config.tls);
        client.token.clone_from(&config.token);
        client.timeout = config.timeout;
        client.connect_timeout = config.connect_timeout;
        client.idle_connections_max = config.idle_connections_max;
        let router = Self {
            inner: Arc::new(Inner {
                client: Client::new(client)?,
                current: Arc::default(),
                changed: watch::channel(()).0,
                named: Mutex::default(),
                wanted: Arc::default(),
                hinted: Arc::default(),
                known: tokio::sync::Mutex::default(),
                pace: Pace::new(config.retries_per_second),
                counters: Counters::default(),
                keeping: Mutex::default(),
                config,
            }),
        };
        let keeping = tokio::spawn(refresh::keep(Arc::downgrade(&router.inner)));
        let mut place = router.inner.keeping.lock();
        *place.as_deref_mut().expect("nobody else has seen it yet") = Some(keeping.abort_handle());
        drop(place);
        Ok(router)
    }

    /// As [`Router::new`], and waits for the first table.
    ///
    /// # Errors
    /// [`ClientError`] when no seed gives one within the time of a request.
    pub async fn connect(config: RouterConfig) -> Result<Self, ClientError> {
        let router = Self::new(config).map_err(|error| ClientError::Request {
            reason: error.to_string(),
        })?;
        router.refresh().await?;
        Ok(router)
    }

    /// Asks for the table now. What is known stays when nobody answers.
    ///
    /// # Errors
    /// [`ClientError`] when no node gives one within the time of a request.
    pub async fn refresh(&self) -> Result<(), ClientError> {
        self.inner.refresh().await
    }

    /// Look-ups for one thread. Make one for each.
    #[must_use]
    pub fn reader(&self) -> RouteReader {
        RouteReader::new(&self.inner.current)
    }

    /// Where a key is, by the newest table known; `None` before there is one.
    #[must_use]
    pub fn route(&self, key: &[u8]) -> Option<Route> {
        self.reader().lookup(key).cloned()
    }

    /// Where a partition is, by the newest table known.
    #[must_use]
    pub fn route_of(&self, partition: PartitionId) -> Option<Route> {
        self.inner
            .current
            .load()
            .as_ref()?
            .route(partition)
            .cloned()
    }

    /// Number of partitions; `None` before a table is known.
    #[must_use]
    pub fn partitions(&self) -> Option<u32> {
        self.inner
            .current
            .load()
            .as_ref()
            .map(|table| table.partitions())
    }

    /// What it has done so far.
    #[must_use]
    pub fn figures(&self) -> RouterFigures {
        self.inner.counters.figures()
    }
}

impl Inner {
    /// Takes a whole table in, when it is newer than the one known.
    fn install(&self, table: RouteTable) -> bool {
        let _writing = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load();
        if before
            .as_ref()
            .is_some_and(|before| table.age() <= before.age())
        {
            return false;
        }
        let table = match &*before {
            Some(before) => table.after(before),
            None => table,
        };
        self.current.store(Some(Arc::new(table)));
        self.changed.send_replace(());
        self.counters.tables.add();
        true
    }

    /// Takes one row in, when it is news.
    fn learn(&self, newest: &Newest) {
        let _writing = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load();
        if let Some(table) = before.as_ref().and_then(|before| before.with(newest)) {
            self.current.store(Some(Arc::new(table)));
            self.changed.send_replace(());
            self.counters.learned.add();
        }
    }

    /// Notes the incarnation and version that an answer names: a newer one is to be asked for.
    fn note(&self, named: (u64, u64)) {
        let mut newest = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named > *newest {
            *newest = named;
            self.hinted.notify_one();
        }
    }

    /// Whether an answer names a newer version than any before: asked first, without a lock.
    fn is_news(&self, named: (u64, u64)) -> bool {
        let current = self.current.load();
        current.as_ref().is_none_or(|table| table.age() < named)
    }

    /// Whether the table is as new as any answer has said.
    fn is_up_to_date(&self) -> bool {
        let named = *self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load();
        current.as_ref().is_some_and(|table| table.age() >= named)
    }
}
