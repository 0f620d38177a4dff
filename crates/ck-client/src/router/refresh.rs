//! Asking for the table: whom, when, and what of it is taken in.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ck_api::{
    ClusterAnswer, Code, HashConfig, Node, NodePage, PartitionList, Problem, TableAnswer,
};
use ck_core::KeyHash;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderValue};
use tokio::time::Instant;

use super::Inner;
use super::identity::{NotOurs, Standing};
use super::table::{NoTable, RouteTable};
use crate::ClientError;
use crate::attempt::{Answer, Call, attempt};
use crate::client::{final_error, parse};

/// Most time one node gets to answer, so that one that hangs leaves time for others.
const NODE_TIMEOUT: Duration = Duration::from_millis(700);

/// How long a newer table may wait that nobody needs yet.
const HINT_DELAY: Duration = Duration::from_millis(500);

/// How long a server that is followed may take to tell what somebody cannot go on without.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// A server that is followed says something at least every 5 s.
const HEARD_WITHIN: Duration = Duration::from_secs(7);

/// Servers that are remembered as the cluster's own.
const VERIFIED_MAX: usize = 1024;

/// Nodes that are asked one after the other for a version that one has named.
const ANSWERS_MAX: u32 = 3;

/// Nodes on a page of `/v1/nodes`.
const PAGE: u64 = 1000;

/// Pages of nodes that are read at most.
const PAGES_MAX: u64 = 64;

/// What is known beside the table, and about whom to ask.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Tag of the last table that was asked for, with its incarnation and version.
    tag: Option<(HeaderValue, (u64, u64))>,
    /// Tag of the list that the table was made from, where servers have no tables.
    list_tag: Option<HeaderValue>,
    /// How keys are hashed in that incarnation.
    hash: Option<(u64, KeyHash)>,
    /// Servers that have said that they are of this cluster.
    verified: BTreeSet<String>,
    cluster: Option<String>,
    /// The server that answered last.
    preferred: Option<String>,
    /// When a refresh ended last that found an answer.
    answered_at: Option<Instant>,
}

/// Asks for the table whenever nobody tells what it is, until the router is gone.
pub(super) async fn keep(router: Weak<Inner>) {
    loop {
        let Some(inner) = router.upgrade() else {
            return;
        };
        // Whether it could be told is seen by those who send.
        let _ = inner.refresh().await;
        drop(inner);
        while !is_due(&router).await {}
    }
}

/// Waits until there is a reason to ask, or somebody has told meanwhile.
async fn is_due(router: &Weak<Inner>) -> bool {
    let Some(inner) = router.upgrade() else {
        return true;
    };
    let (every, gap) = (inner.config.refresh_every, inner.config.refresh_gap);
    let (wanted, hinted) = (Arc::clone(&inner.wanted), Arc::clone(&inner.hinted));
    let mut changed = inner.changed.subscribe();
    drop(inner);
    tokio::time::sleep(gap).await;
    let is_told = || {
        let inner = router.upgrade();
        inner.is_some_and(|inner| inner.heard.is_told(HEARD_WITHIN))
    };
    tokio::select! {
        () = wanted.notified() => {
            // Whoever is followed is quicker, most of the time.
            let told = async { changed.changed().await.is_ok() };
            !is_told() || tokio::time::timeout(TOLD_WITHIN, told).await != Ok(true)
        }
        () = tokio::time::sleep(every) => !is_told(),
        () = hinted.notified() => {
            // Versions grow for other reasons, too: whoever is followed tells what matters.
            let is_wanted = tokio::time::timeout(HINT_DELAY, wanted.notified()).await.is_ok();
            let news = |inner: Arc<Inner>| !inner.is_up_to_date();
            (is_wanted || !is_told()) && router.upgrade().is_none_or(news)
        }
    }
}

impl Inner {
    /// Asks for the table, unless somebody else has done so since this was called.
    pub(super) async fn refresh(&self) -> Result<(), ClientError> {
        let called = Instant::now();
        let mut known = self.known.lock().await;
        if known.answered_at.is_some_and(|at| at > called) {
            return Ok(());
        }
        self.counters.refreshes.add();
        let deadline = called + self.config.timeout;
        let mut failed = None;
        let mut answers = 0;
        for server in self.servers(&known) {
            let time = deadline
                .saturating_duration_since(Instant::now())
                .min(NODE_TIMEOUT);
            if time.is_zero() {
                break;
            }
            match self.ask(&mut known, &server, time).await {
                Ok(()) => {
                    answers += 1;
                    known.preferred = Some(server);
                    if self.is_up_to_date() || answers == ANSWERS_MAX {
                        break;
                    }
                }
                Err(error) => {
                    // Whoever is there the next time may be somebody else.
                    known.verified.remove(&server);
                    failed = Some(error);
                }
            }
        }
        if answers > 0 {
            known.answered_at = Some(Instant::now());
            return Ok(());
        }
        Err(failed.unwrap_or_else(|| ClientError::TimedOut {
            server: self.client.servers()[0].clone(),
            after: self.config.timeout,
            change: false,
        }))
    }

    /// Whom to ask, in order, each once: who answered last, the seeds, the nodes of the table.
    fn servers(&self, known: &Known) -> Vec<String> {
        let mut servers = self.known_servers();
        if let Some(preferred) = &known.preferred {
            servers.retain(|server| server != preferred);
            servers.insert(0, preferred.clone());
        }
        servers
    }

    /// Asks one server, and takes in what it has that is newer.
    async fn ask(
        &self,
        known: &mut Known,
        server: &str,
        time: Duration,
    ) -> Result<(), ClientError> {
        let is_asked = self.check_cluster(known, server, time).await?;
        let (tag, tagged) = known.tag.clone().unzip();
        let call = Call::get("/v1/table").unless(tag);
        let answer = match self.one(server, &call, time).await {
            Ok(answer) => answer,
            Err(ClientError::Problem(problem)) if problem.status == 404 => {
                return self.ask_for_list(known, server, time, is_asked).await;
            }
            Err(error) => return Err(error),
        };
        if answer.status == StatusCode::NOT_MODIFIED {
            if Some(self.age()) == tagged {
                self.heard.confirmed();
            }
            return Ok(());
        }
        let tag = answer.headers.get(ETAG).cloned();
        let table: TableAnswer = parse(&answer)?;
        let age = (table.incarnation, table.version);
        if age > self.age() && !is_asked {
            // It may be another cluster's by now that was started in its place.
            self.verify(server, time).await?;
        }
        known.tag = tag.map(|tag| (tag, age));
        self.take(server, RouteTable::whole(&table))
    }

    /// As [`ask`](Self::ask), of a server without tables.
    async fn ask_for_list(
        &self,
        known: &mut Known,
        server: &str,
        time: Duration,
        is_asked: bool,
    ) -> Result<(), ClientError> {
        let list = Call::get("/v1/partitions").unless(known.list_tag.clone());
        let answer = self.one(server, &list, time).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            self.heard.confirmed();
            return Ok(());
        }
        let tag = answer.headers.get(ETAG).cloned();
        let list: PartitionList = parse(&answer)?;
        let before = self.age();
        if (list.incarnation, list.version) <= before && before != (0, 0) {
            return Ok(());
        }
        if !is_asked {
            self.verify(server, time).await?;
        }
        let (hash, nodes) = match known.hash {
            Some((incarnation, hash)) if incarnation == list.incarnation => {
                (hash, self.nodes(server, time).await?)
            }
            _ => self.cluster(server, time).await?,
        };
        known.hash = Some((list.incarnation, hash));
        let age = (list.incarnation, list.version);
        self.take(server, RouteTable::new(hash, list, &nodes))?;
        known.list_tag = tag.filter(|_| self.age() == age);
        Ok(())
    }

    fn take(&self, server: &str, table: Result<RouteTable, NoTable>) -> Result<(), ClientError> {
        let table = table.map_err(|refused| malformed(server, refused.to_string()))?;
        let age = table.age();
        self.install(table);
        if self.age() == age {
            self.heard.confirmed();
        }
        Ok(())
    }

    /// Asks a server which cluster it is of, unless it has said so. Gives whether it was asked.
    async fn check_cluster(
        &self,
        known: &mut Known,
        server: &str,
        time: Duration,
    ) -> Result<bool, ClientError> {
        let id = self.identity.id();
        if known.cluster != id {
            (known.verified, known.tag) = (BTreeSet::new(), None);
        }
        if id.is_some() && known.verified.contains(server) {
            return Ok(false);
        }
        self.verify(server, time).await?;
        known.cluster = self.identity.id();
        if known.verified.len() >= VERIFIED_MAX {
            known.verified.clear();
        }
        known.verified.insert(server.to_owned());
        Ok(true)
    }

    /// A server of another cluster teaches nothing, unless that is what this one was restored as.
    pub(super) async fn verify(&self, server: &str, time: Duration) -> Result<(), ClientError> {
        let answer = self.one(server, &Call::get("/v1/peer"), time).await?;
        let refused = |refused: NotOurs| match refused {
            NotOurs::NotFormed => {
                let problem = Problem::new(Code::NotFormed, refused.to_string());
                ClientError::Problem(Box::new(problem))
            }
            NotOurs::Stranger { .. } => malformed(server, refused.to_string()),
        };
        let standing = self.identity.of(parse(&answer)?).map_err(refused)?;
        let Standing::Perhaps(claim) = standing else {
            return Ok(());
        };
        let answer = self.one(server, &Call::get("/v1/table"), time).await?;
        let table: TableAnswer = parse(&answer)?;
        let known = self.current.load();
        let holds = known
            .as_ref()
            .is_some_and(|known| known.is_succeeded(server, &table));
        self.identity.admit(claim, holds).map_err(refused)?;
        self.take(server, RouteTable::whole(&table))
    }

    async fn one(&self, server: &str, call: &Call, time: Duration) -> Result<Answer, ClientError> {
        let asked = attempt(&self.client.inner, server, call, time).await;
        asked.map_err(|failure| final_error(failure, server, time, false))
    }

    async fn nodes(&self, server: &str, time: Duration) -> Result<Vec<Node>, ClientError> {
        let mut nodes = Vec::new();
        for page in 0..PAGES_MAX {
            let target = format!("/v1/nodes?limit={PAGE}&offset={}", page * PAGE);
            let answer = self.one(server, &Call::get(target), time).await?;
            let page: NodePage = parse(&answer)?;
            nodes.extend(page.nodes);
            if !page.has_more {
                break;
            }
        }
        Ok(nodes)
    }

    /// How keys are hashed, and the nodes, of a cluster that is not known yet or was restored.
    async fn cluster(
        &self,
        server: &str,
        time: Duration,
    ) -> Result<(KeyHash, Vec<Node>), ClientError> {
        let answer = self.one(server, &Call::get("/v1/cluster"), time).await?;
        let ClusterAnswer {
            cluster,
            hash_config: HashConfig { hash, .. },
            ..
        } = parse(&answer)?;
        let hash = hash.parse();
        let unknown = |error: ck_core::key::UnknownKeyHash| malformed(server, error.to_string());
        Ok((hash.map_err(unknown)?, cluster.nodes))
    }
}

fn malformed(server: &str, reason: String) -> ClientError {
    let server = server.to_owned();
    ClientError::Malformed { server, reason }
}
