//! Whether a cluster has come right: all nodes ready, and all copies of a partition alike.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_client::{PartitionQuery, Readiness};
use serde::Deserialize;

use super::faults::{OPERATOR, release};
use super::nodes::{Node, client};
use super::{ASK, TortureError};
use crate::access::Access;
use crate::connection::Connection;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// What a node says of its copy of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Digest {
    seq: u64,
    keys: u64,
    bytes: u64,
    digest: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seq,
            keys,
            bytes,
            digest,
        } = self;
        write!(f, "{keys} keys of {bytes} bytes at {seq}, {digest:.8}")
    }
}

/// Waits until the nodes that run are ready and every partition has a primary.
pub(super) async fn until_ready(nodes: &[&Node], within: Duration) -> Result<(), TortureError> {
    let due = Instant::now() + within;
    let mut waiting: Vec<&&Node> = nodes.iter().collect();
    loop {
        let mut left = Vec::new();
        for node in waiting {
            let ready = node.client().ready().await;
            if !matches!(ready, Ok(Readiness::Ready(_))) {
                left.push(node);
            }
        }
        waiting = left;
        let unowned = unowned(nodes).await;
        if waiting.is_empty() && unowned.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        if Instant::now() > due {
            return Err(TortureError::NotReady {
                nodes: waiting.iter().map(|node| node.id.clone()).collect(),
                partitions: unowned.unwrap_or_default(),
            });
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Partitions that nobody owns at this instant; nothing where there are none at all, or a node
/// does not answer.
async fn unowned(nodes: &[&Node]) -> Option<Vec<String>> {
    let list = client([nodes.first()?.http])
        .partitions(&PartitionQuery::default())
        .await
        .ok()?;
    if list.partitions.is_empty() {
        return None;
    }
    let mut owned = Vec::new();
    for node in nodes {
        let answer = node.client().owned().await.ok()?;
        owned.extend(answer.owned.into_iter().map(|one| one.id));
    }
    let ids = list.partitions.into_iter().map(|row| row.id);
    Some(ids.filter(|id| !owned.contains(id)).collect())
}

/// Waits until all copies of every partition are alike; tells how long that took, and what was not
/// alike at the end where it was not.
pub(super) async fn until_equal(nodes: &[&Node], within: Duration) -> (Duration, Vec<String>) {
    let begin = Instant::now();
    let mut connections = BTreeMap::new();
    let mut looked = None;
    loop {
        // The losses of the last seconds may pull the brake only now.
        if looked.is_none_or(|at: Instant| at.elapsed() > OPERATOR) {
            release(client(nodes.iter().map(|node| node.http))).await;
            looked = Some(Instant::now());
        }
        let unequal = unequal(nodes, &mut connections).await;
        let took = begin.elapsed();
        if unequal.is_empty() {
            return (took, Vec::new());
        }
        if took > within {
            return (took, explained(nodes, unequal).await);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// With what the cluster says holds each of them back.
async fn explained(nodes: &[&Node], unequal: Vec<(String, String)>) -> Vec<String> {
    let client = client(nodes.iter().map(|node| node.http));
    let mut told = Vec::new();
    for (partition, what) in unequal {
        let why = match client.explain(&partition).await {
            Ok(explanation) => explanation.reasons.join("; "),
            Err(error) => error.to_string(),
        };
        told.push(format!("{partition}: {what}: {why}"));
    }
    told
}

/// What is not alike: each partition, and what its copies are.
async fn unequal(
    nodes: &[&Node],
    connections: &mut BTreeMap<SocketAddr, Connection>,
) -> Vec<(String, String)> {
    let addresses: BTreeMap<&str, SocketAddr> = nodes
        .iter()
        .map(|node| (node.id.as_str(), node.http))
        .collect();
    let all = client(addresses.values().copied());
    let list = match all.partitions(&PartitionQuery::default()).await {
        Ok(list) => list,
        Err(error) => return vec![("all".to_owned(), error.to_string())],
    };
    let mut unequal = Vec::new();
    for row in list.partitions {
        let mut copies = Vec::new();
        for node in [&row.primary_node].into_iter().chain(&row.replica_nodes) {
            let digest = match addresses.get(node.as_str()) {
                Some(address) => digest(*address, &row.id, connections).await,
                None => Err("is no node of this run".to_owned()),
            };
            copies.push((node, digest));
        }
        let first = copies.first().map(|(_, digest)| digest);
        let alike = copies
            .iter()
            .all(|(_, digest)| digest.is_ok() && Some(digest) == first);
        if !alike || copies.is_empty() {
            let told = copies.iter().map(|(node, digest)| match digest {
                Ok(digest) => format!("{node} has {digest}"),
                Err(error) => format!("{node} {error}"),
            });
            unequal.push((row.id, told.collect::<Vec<_>>().join(", ")));
        }
    }
    unequal
}

async fn digest(
    address: SocketAddr,
    partition: &str,
    connections: &mut BTreeMap<SocketAddr, Connection>,
) -> Result<Digest, String> {
    let connection = connections
        .entry(address)
        .or_insert_with(|| Connection::new(address.into(), Access::default()));
    let request = hyper::Request::get(format!("/digest/{partition}"))
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let reply = connection.exchange(request, ASK).await;
    let reply = reply.map_err(|_| "does not answer".to_owned())?;
    if reply.status != hyper::StatusCode::OK {
        let body = String::from_utf8_lossy(&reply.body);
        return Err(format!("answers {}: {body:.200}", reply.status));
    }
    serde_json::from_slice(&reply.body).map_err(|error| error.to_string())
}
