//! Asking for the table: whom, when, and what of it is taken in.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ck_api::{ClusterAnswer, HashConfig, Node, NodePage, PartitionList};
use ck_core::KeyHash;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderValue};
use tokio::time::Instant;

use super::Inner;
use super::table::{NoTable, RouteTable};
use crate::ClientError;
use crate::attempt::{Answer, Call, attempt};
use crate::client::{final_error, parse};
use crate::config::SERVERS_MAX;

/// Most time one node gets to answer, so that one that hangs leaves time for others.
const NODE_TIMEOUT: Duration = Duration::from_millis(700);

/// How long a newer table may wait that nobody needs yet.
const HINT_DELAY: Duration = Duration::from_millis(500);

/// Nodes that are asked one after the other for a version that one has named.
const ANSWERS_MAX: u32 = 3;

/// Nodes on a page of `/v1/nodes`.
const PAGE: u64 = 1000;

/// Pages of nodes that are read at most.
const PAGES_MAX: u64 = 64;

/// What is known beside the table, and about whom to ask.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Tag of the list that the table was made from.
    tag: Option<HeaderValue>,
    /// The cluster's id, and its key hash, which never changes.
    cluster: Option<(String, KeyHash)>,
    /// The server that answered last.
    preferred: Option<String>,
    /// When a refresh ended last that found an answer.
    answered_at: Option<Instant>,
}

/// Keeps the table up until the router is gone.
pub(super) async fn keep(router: Weak<Inner>) {
    loop {
        let Some(inner) = router.upgrade() else {
            return;
        };
        // Whether it could be told is seen by those who send.
        let _ = inner.refresh().await;
        let (every, gap) = (inner.config.refresh_every, inner.config.refresh_gap);
        let (wanted, hinted) = (Arc::clone(&inner.wanted), Arc::clone(&inner.hinted));
        drop(inner);
        tokio::time::sleep(gap).await;
        tokio::select! {
            () = wanted.notified() => {}
            () = tokio::time::sleep(every) => {}
            () = hinted.notified() => {
                // Each change is a version, also those that move nothing.
                let _ = tokio::time::timeout(HINT_DELAY, wanted.notified()).await;
            }
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
                Err(error) => failed = Some(error),
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
        let mut servers: Vec<String> = known.preferred.iter().cloned().collect();
        let learned = self.current.load();
        let learned = learned.as_ref().map(|table| table.addresses());
        let seeds = self.client.servers().iter().cloned();
        for server in seeds.chain(learned.unwrap_or_default()) {
            if servers.len() < SERVERS_MAX && !servers.contains(&server) {
                servers.push(server);
            }
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
        let list = Call::get("/v1/partitions").unless(known.tag.clone());
        let answer = self.one(server, &list, time).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(());
        }
        let tag = answer.headers.get(ETAG).cloned();
        let list: PartitionList = parse(&answer)?;
        let before = self.current.load().as_ref().map(|table| table.age());
        if before.is_some_and(|before| (list.incarnation, list.version) <= before) {
            return Ok(());
        }
        let same = before.is_some_and(|before| before.0 == list.incarnation);
        let (hash, nodes) = match &known.cluster {
            Some((_, hash)) if same => (*hash, self.nodes(server, time).await?),
            _ => self.cluster(known, server, time).await?,
        };
        let table = RouteTable::new(hash, list, &nodes).map_err(|NoTable(reason)| {
            let server = server.to_owned();
            ClientError::Malformed { server, reason }
        })?;
        if self.install(table) {
            known.tag = tag;
        }
        Ok(())
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
        known: &mut Known,
        server: &str,
        time: Duration,
    ) -> Result<(KeyHash, Vec<Node>), ClientError> {
        let answer = self.one(server, &Call::get("/v1/cluster"), time).await?;
        let ClusterAnswer {
            cluster,
            hash_config: HashConfig { hash, .. },
            ..
        } = parse(&answer)?;
        let malformed = |reason: String| ClientError::Malformed {
            server: server.to_owned(),
            reason,
        };
        let hash: KeyHash = hash
            .parse()
            .map_err(|error: ck_core::key::UnknownKeyHash| malformed(error.to_string()))?;
        match &known.cluster {
            Some((id, _)) if *id != cluster.uuid => {
                let reason = format!("it is in cluster {}, this router is of {id}", cluster.uuid);
                return Err(malformed(reason));
            }
            _ => known.cluster = Some((cluster.uuid, hash)),
        }
        Ok((hash, cluster.nodes))
    }
}
