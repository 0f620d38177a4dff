//! The routing half: a table that is kept near, and requests sent to the primary of their key.

mod config;
mod error;
mod exchange;
mod figures;
mod identity;
mod pace;
mod reader;
mod refresh;
mod route;
mod rows;
mod send;
mod status;
mod table;
mod watch;

pub use config::RouterConfig;
pub use error::SendError;
pub use figures::RouterFigures;
pub use reader::RouteReader;
pub use route::{Route, RouteNode};
pub use send::Repeat;
pub use status::RouterStatus;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use ck_api::Newest;
use ck_core::PartitionId;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::config::SERVERS_MAX;
use crate::{Client, ClientConfig, ClientError, ConfigError};
use figures::Counters;
use identity::Identity;
use pace::Pace;
use refresh::Known;
use status::Heard;
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
/// One server is followed, a seed or a node of the table: it tells the table once, and each change from
/// then on. When it fails, falls silent or stays behind, another one is followed from where the first
/// one was. Where none can be followed, the table is asked for every few seconds. It never goes back: a
/// server that is behind teaches nothing, one of another cluster neither. When no node answers any more,
/// the last table is gone by, and [`Router::status`] says how old it is.
///
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
    changed: tokio::sync::watch::Sender<()>,
    /// The newest incarnation and version that an answer has named.
    named: Mutex<(u64, u64)>,
    /// Asks for the table, since somebody cannot go on without.
    wanted: Arc<Notify>,
    /// Says that there is a newer one, which may wait.
    hinted: Arc<Notify>,
    /// Held while the table is asked for.
    known: tokio::sync::Mutex<Known>,
    identity: Identity,
    heard: Heard,
    pace: Pace,
    counters: Counters,
    /// Ends the tasks that keep the table up.
    keeping: Mutex<Vec<AbortHandle>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let keeping = self.keeping.get_mut();
        for task in keeping.unwrap_or_else(PoisonError::into_inner) {
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
        client.answer_bytes_max = config.event_bytes_max;
        let router = Self {
            inner: Arc::new(Inner {
                client: Client::new(client)?,
                current: Arc::default(),
                changed: tokio::sync::watch::channel(()).0,
                named: Mutex::default(),
                wanted: Arc::default(),
                hinted: Arc::default(),
                known: tokio::sync::Mutex::default(),
                identity: Identity::default(),
                heard: Heard::default(),
                pace: Pace::new(config.retries_per_second),
                counters: Counters::default(),
                keeping: Mutex::default(),
                config,
            }),
        };
        let weak = || Arc::downgrade(&router.inner);
        let keeping = tokio::spawn(refresh::keep(weak()));
        let following = router.inner.config.follow.then(|| watch::follow(weak()));
        let following = following.map(tokio::spawn);
        let tasks = std::iter::once(&keeping).chain(&following);
        let place = router.inner.keeping.lock();
        let mut place = place.unwrap_or_else(PoisonError::into_inner);
        place.extend(tasks.map(tokio::task::JoinHandle::abort_handle));
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

    /// What is known, and for how long no server has confirmed it; `None` before a table is known.
    #[must_use]
    pub fn status(&self) -> Option<RouterStatus> {
        let current = self.inner.current.load();
        let table = current.as_ref()?;
        let (incarnation, version) = table.age();
        let last = self.inner.heard.last();
        Some(RouterStatus {
            incarnation,
            version,
            partitions: table.partitions(),
            age: last.confirmed.map(|at| at.elapsed()).unwrap_or_default(),
            following: last.following.clone(),
            trouble: last.trouble.clone(),
        })
    }

    /// What it has done so far.
    #[must_use]
    pub fn figures(&self) -> RouterFigures {
        self.inner.counters.figures()
    }
}

impl Inner {
    /// The right to replace the table.
    fn writing(&self) -> MutexGuard<'_, (u64, u64)> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, _writing: &MutexGuard<'_, (u64, u64)>, table: RouteTable) {
        self.current.store(Some(Arc::new(table)));
        self.changed.send_replace(());
    }

    /// Incarnation and version of the table; zeros before there is one.
    fn age(&self) -> (u64, u64) {
        let current = self.current.load();
        current
            .as_ref()
            .map(|table| table.age())
            .unwrap_or_default()
    }

    /// Takes a whole table in, when it is newer than the one known.
    fn install(&self, table: RouteTable) -> bool {
        let writing = self.writing();
        let table = match &*self.current.load() {
            Some(before) if table.age() <= before.age() => return false,
            Some(before) => table.after(before),
            None => table,
        };
        self.publish(&writing, table);
        self.counters.tables.add();
        true
    }

    /// Takes one row in, when it is news.
    fn learn(&self, newest: &Newest) {
        let writing = self.writing();
        let before = self.current.load();
        if let Some(table) = before.as_ref().and_then(|before| before.with(newest)) {
            self.publish(&writing, table);
            self.counters.learned.add();
        }
    }

    /// Notes the incarnation and version that an answer names: a newer one is to be asked for.
    fn note(&self, named: (u64, u64)) {
        let mut newest = self.writing();
        if named > *newest {
            *newest = named;
            self.hinted.notify_one();
        }
    }

    /// The newest incarnation and version that anybody has named.
    fn newest_named(&self) -> (u64, u64) {
        *self.writing()
    }

    /// Believes no longer that there is more than that.
    fn forget_named(&self, age: (u64, u64)) {
        *self.writing() = age;
    }

    /// Whether an answer names a newer version than any before: asked first, without a lock.
    fn is_news(&self, named: (u64, u64)) -> bool {
        self.age() < named
    }

    /// Whether the table is as new as any answer has said.
    fn is_up_to_date(&self) -> bool {
        let named = self.newest_named();
        let current = self.current.load();
        current.as_ref().is_some_and(|table| table.age() >= named)
    }

    /// The servers that are known, each once: the seeds, the nodes of the table.
    fn known_servers(&self) -> Vec<String> {
        let learned = self.current.load();
        let learned = learned.as_ref().map(|table| table.addresses());
        let mut servers: Vec<String> = Vec::new();
        let seeds = self.client.servers().iter().cloned();
        for server in seeds.chain(learned.unwrap_or_default()) {
            if servers.len() < SERVERS_MAX && !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }
}
