//! Looking.

use bytes::Bytes;
use ck_api::{
    CK_VALUE_VERSION, ClusterAnswer, ConsensusLeader, ConsensusStats, CustomList, Health,
    HealthDetailed, Metrics, NodeAnswer, NodePage, NodePartitions, NotReady, PartitionAnswer,
    PartitionList, PartitionStats, Peer, Ready, TableAnswer,
};
use hyper::StatusCode;
use serde::de::DeserializeOwned;

use crate::attempt::Call;
use crate::client::parse;
use crate::encode::{Query, path};
use crate::{Client, ClientError};

/// Most pages of keys asked for: at 1,000 a page, as many keys as a cluster may have.
const CUSTOM_PAGES_MAX: u32 = 1000;

/// Which partitions to list. Default: all.
#[derive(Debug, Clone, Default)]
pub struct PartitionQuery {
    /// Only those of which this node holds a copy.
    pub node: Option<String>,
    /// Only those in this state: `stable`, `moving`, `degraded` or `unavailable`.
    pub state: Option<String>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Only those behind this one: `partition-3` or `3`.
    pub after: Option<String>,
}

/// A replicated value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomValue {
    /// Its bytes.
    pub value: Bytes,
    /// Version of its last write; what compare-and-set expects.
    pub version: u64,
}

/// Whether a node is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is.
    Ready(Ready),
    /// It is not, with reasons.
    NotReady(NotReady),
}

/// Every method fails with [`ClientError`] when no server answers, or the answer is an error.
impl Client {
    /// Partitions, in order of number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn partitions(&self, query: &PartitionQuery) -> Result<PartitionList, ClientError> {
        let target = Query::default()
            .with_some("node", query.node.as_deref())
            .with_some("state", query.state.as_deref())
            .with_some("limit", query.limit)
            .with_some("after", query.after.as_deref())
            .on("/v1/partitions");
        self.ask(Call::get(target)).await
    }

    /// One partition, by `partition-3` or `3`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn partition(&self, id: &str) -> Result<PartitionAnswer, ClientError> {
        self.ask(Call::get(path("/v1/partitions/", id, ""))).await
    }

    /// The partition a key is in. Keys are bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn partition_for_key(&self, key: &[u8]) -> Result<PartitionAnswer, ClientError> {
        self.ask(Call::get(
            Query::default().with("key", key).on("/v1/partitions/key"),
        ))
        .await
    }

    /// The whole table, compact.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn table(&self) -> Result<TableAnswer, ClientError> {
        self.ask(Call::get("/v1/table")).await
    }

    /// How partitions are spread.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn partition_stats(&self) -> Result<PartitionStats, ClientError> {
        self.ask(Call::get("/v1/partitions/stats")).await
    }

    /// Nodes, partitions, configuration and how keys are hashed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cluster(&self) -> Result<ClusterAnswer, ClientError> {
        self.ask(Call::get("/v1/cluster")).await
    }

    /// One page of nodes: `limit` 1 to 1,000.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn nodes(&self, limit: u64, offset: u64) -> Result<NodePage, ClientError> {
        let query = Query::default().with_some("limit", Some(limit));
        self.ask(Call::get(
            query.with_some("offset", Some(offset)).on("/v1/nodes"),
        ))
        .await
    }

    /// One node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn node(&self, id: &str) -> Result<NodeAnswer, ClientError> {
        self.ask(Call::get(path("/v1/nodes/", id, ""))).await
    }

    /// What a node holds, by role.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn node_partitions(&self, id: &str) -> Result<NodePartitions, ClientError> {
        self.ask(Call::get(path("/v1/nodes/", id, "/partitions")))
            .await
    }

    /// A replicated value; a key that does not exist is a problem `custom-unknown`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn custom(&self, key: &str) -> Result<CustomValue, ClientError> {
        let answer = self.send(Call::get(path("/v1/custom/", key, ""))).await?;
        let version = answer
            .headers
            .get(CK_VALUE_VERSION)
            .and_then(|value| value.to_str().ok());
        match version.and_then(|text| text.parse().ok()) {
            Some(version) => Ok(CustomValue {
                value: answer.body,
                version,
            }),
            None => Err(ClientError::Malformed {
                server: answer.server,
                reason: format!("header {CK_VALUE_VERSION} is missing or no number"),
            }),
        }
    }

    /// The keys of replicated values that start with `prefix`, in order. Asks page by page; the
    /// versions are those of the last page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn custom_list(&self, prefix: Option<&str>) -> Result<CustomList, ClientError> {
        let mut all = CustomList::default();
        for _ in 0..CUSTOM_PAGES_MAX {
            let after = all.entries.last().map(|entry| entry.key.clone());
            let query = Query::default()
                .with_some("prefix", prefix)
                .with_some("after", after);
            let page: CustomList = self.ask(Call::get(query.on("/v1/custom"))).await?;
            all.entries.extend(page.entries);
            all.count = all.entries.len() as u64;
            (all.incarnation, all.version) = (page.incarnation, page.version);
            all.has_more = page.has_more && page.count > 0;
            if !all.has_more {
                break;
            }
        }
        Ok(all)
    }

    /// Whether the process serves.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.ask(Call::get("/v1/health")).await
    }

    /// Whether the node is ready, and if not, why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ready(&self) -> Result<Readiness, ClientError> {
        let mut call = Call::get("/v1/ready");
        call.also = Some(StatusCode::SERVICE_UNAVAILABLE);
        let answer = self.send(call).await?;
        if answer.status.is_success() {
            parse(&answer).map(Readiness::Ready)
        } else {
            parse(&answer).map(Readiness::NotReady)
        }
    }

    /// Detail on the node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health_detailed(&self) -> Result<HealthDetailed, ClientError> {
        self.ask(Call::get("/v1/health/detailed")).await
    }

    /// The node's figures.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<Metrics, ClientError> {
        // The unprefixed path answers JSON unless asked for text.
        self.ask(Call::get("/metrics")).await
    }

    /// The consensus leader.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consensus_leader(&self) -> Result<ConsensusLeader, ClientError> {
        self.ask(Call::get("/v1/consensus/leader")).await
    }

    /// The node's consensus figures.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consensus_stats(&self) -> Result<ConsensusStats, ClientError> {
        self.ask(Call::get("/v1/consensus/stats")).await
    }

    /// Reads `target`, a path and a query, as it is: of a server that is none of ours and answers as
    /// nodes of the Go library do, without a prefix and without problem bodies.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        self.ask(Call::get(target)).await
    }

    /// Whom a joining node talks to. Answered before a cluster is formed, too.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peer(&self) -> Result<Peer, ClientError> {
        self.ask(Call::get("/v1/peer")).await
    }
}
