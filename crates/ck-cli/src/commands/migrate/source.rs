//! The other cluster, as a node of it tells: what is read is checked before anything is made of it.

use std::collections::{BTreeMap, BTreeSet};

use ck_client::Client;
use ck_core::PartitionId;
use ck_core::spec::{PARTITIONS_MAX, REPLICATION_FACTOR_MAX};
use ck_spec::Refusal;
use serde::Deserialize;

use crate::exit::Failure;

/// Times the cluster is read before it is said to be changing all the time.
const READS_MAX: u32 = 5;

/// Nodes asked for at a time.
const PAGE: u64 = 50;

/// Most nodes that are read.
const NODES_MAX: usize = 65_536;

/// A cluster of the Go library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Its name.
    pub(super) name: String,
    /// Copies asked for of each partition.
    pub(super) replication_factor: u64,
    /// Its nodes with the services they announce, by id.
    pub(super) nodes: BTreeMap<String, BTreeMap<String, String>>,
    /// The nodes of each partition, in order of number, the primary first.
    pub(super) rows: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct ClusterAnswer {
    cluster: Cluster,
    hash_config: HashConfig,
}

#[derive(Deserialize)]
struct Cluster {
    name: String,
    nodes: Vec<Node>,
    partition_map: PartitionMap,
    config: Config,
}

/// What a Go node says of a partition or a node; a list that is empty may come as `null`.
#[derive(Deserialize, Clone, PartialEq, Eq)]
struct Partition {
    id: String,
    primary_node: String,
    #[serde(default)]
    replica_nodes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct PartitionMap {
    #[serde(default)]
    partitions: Option<BTreeMap<String, Partition>>,
}

#[derive(Deserialize)]
struct PartitionList {
    #[serde(default)]
    partitions: Option<Vec<Partition>>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    #[serde(default)]
    services: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct NodePage {
    has_more: bool,
    #[serde(default)]
    nodes: Option<Vec<Node>>,
}

#[derive(Deserialize)]
struct Config {
    partition_count: u64,
    replication_factor: u64,
}

#[derive(Deserialize)]
struct HashConfig {
    algorithm: String,
    encoding: String,
    format: String,
    modulo: u64,
}

/// Reads the cluster of a node, until `/cluster`, `/nodes` and `/partitions` tell of the same table.
pub(super) async fn read(client: &Client) -> Result<Source, Failure> {
    for _ in 0..READS_MAX {
        let answer: ClusterAnswer = client.read("/cluster").await?;
        let nodes = nodes(client).await?;
        let list: PartitionList = client.read("/partitions").await?;
        let ids = |nodes: &[Node]| -> BTreeSet<String> {
            nodes.iter().map(|node| node.id.clone()).collect()
        };
        let same_nodes = ids(&answer.cluster.nodes) == ids(&nodes);
        let list = list.partitions.unwrap_or_default();
        let map = answer.cluster.partition_map.partitions.as_ref();
        let same_rows = map.map_or(0, BTreeMap::len) == list.len()
            && list
                .iter()
                .all(|one| map.and_then(|map| map.get(&one.id)) == Some(one));
        if same_nodes && same_rows {
            return Ok(checked(answer, nodes, list)?);
        }
    }
    let message = format!(
        "/cluster, /nodes and /partitions differed {READS_MAX} times: the table changes; wait until \
         the other cluster is at rest"
    );
    Err(Refusal::whole("changing", message).into())
}

async fn nodes(client: &Client) -> Result<Vec<Node>, Failure> {
    let mut nodes: Vec<Node> = Vec::new();
    loop {
        let target = format!("/nodes?limit={PAGE}&offset={}", nodes.len());
        let page: NodePage = client.read(&target).await?;
        let more = page.nodes.unwrap_or_default();
        let last = !page.has_more || more.is_empty();
        nodes.extend(more);
        if last {
            return Ok(nodes);
        }
        if nodes.len() > NODES_MAX {
            let message = format!("more than {NODES_MAX} nodes; no cluster here has that many");
            return Err(Refusal::new("out-of-range", "nodes", nodes.len(), message).into());
        }
    }
}

fn checked(
    answer: ClusterAnswer,
    nodes: Vec<Node>,
    list: Vec<Partition>,
) -> Result<Source, Refusal> {
    let config = &answer.cluster.config;
    let count = hashed(&answer.hash_config, config, list.len())?;
    let nodes: BTreeMap<_, _> = nodes
        .into_iter()
        .map(|node| (node.id, node.services.unwrap_or_default()))
        .collect();
    let mut rows = vec![Vec::new(); count];
    for partition in list {
        let at = number(&partition.id, count)?;
        if !rows[at].is_empty() {
            let message = format!("{} stands twice in /partitions", partition.id);
            return Err(Refusal::new(
                "duplicate-partition",
                "partitions",
                partition.id,
                message,
            ));
        }
        rows[at] = row(partition, &nodes)?;
    }
    Ok(Source {
        name: answer.cluster.name,
        replication_factor: config.replication_factor,
        nodes,
        rows,
    })
}

/// The number of partitions, where keys fall into them as by `md5-mod`.
fn hashed(hash: &HashConfig, config: &Config, rows: usize) -> Result<usize, Refusal> {
    let words = [
        ("algorithm", &hash.algorithm, "md5"),
        ("encoding", &hash.encoding, "big_endian_uint32"),
        ("format", &hash.format, "partition-%d"),
    ];
    for (field, got, known) in words {
        if got != known {
            let field = format!("hash_config.{field}");
            let message = format!(
                "{field} is {got:?}; only {known:?} is known here, so keys would fall into other \
                 partitions"
            );
            return Err(Refusal::new("hash-unknown", field, got.as_str(), message));
        }
    }
    let modulo = hash.modulo;
    if modulo == 0 || modulo > u64::from(PARTITIONS_MAX) {
        let message = format!(
            "hash_config.modulo {modulo} is out of range; 1 to {PARTITIONS_MAX} partitions can be \
             taken over"
        );
        return Err(Refusal::new(
            "out-of-range",
            "hash_config.modulo",
            modulo,
            message,
        ));
    }
    if rows as u64 != modulo || config.partition_count != modulo {
        let message = format!(
            "it has {rows} partitions, {} by its configuration, and hashes keys over {modulo}; \
             create its partitions first, or wait until all nodes say the same",
            config.partition_count
        );
        return Err(Refusal::new("partition-count", "partitions", rows, message));
    }
    Ok(rows)
}

fn number(id: &str, count: usize) -> Result<usize, Refusal> {
    let parsed = id.parse::<PartitionId>().ok();
    let at = parsed.filter(|parsed| parsed.to_string() == id);
    let at = at.map(PartitionId::index).filter(|at| *at < count);
    at.ok_or_else(|| {
        let message = format!(
            "{id:?} is no partition of a cluster of {count}; partition-0 to partition-{} are",
            count - 1
        );
        Refusal::new("out-of-range", "partitions", id, message)
    })
}

fn row(
    partition: Partition,
    nodes: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<Vec<String>, Refusal> {
    let id = partition.id;
    let mut row = vec![partition.primary_node];
    row.extend(partition.replica_nodes.unwrap_or_default());
    let wrong = |code, what: &str, node: &str| {
        let message = format!("{id} {what}; mend it in the other cluster first");
        Err(Refusal::new(code, "partitions", node, message))
    };
    if row[0].is_empty() {
        return wrong("no-primary", "has no primary", "");
    }
    if row.len() > usize::from(REPLICATION_FACTOR_MAX) {
        let what = format!(
            "has {} copies, more than {REPLICATION_FACTOR_MAX}",
            row.len()
        );
        return wrong("out-of-range", &what, &row[0]);
    }
    for (at, node) in row.iter().enumerate() {
        if row[..at].contains(node) {
            return wrong("duplicate-node", &format!("names {node} twice"), node);
        }
        if !nodes.contains_key(node) {
            let what = format!("names {node}, which is no node there");
            return wrong("node-unknown", &what, node);
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(change: impl FnOnce(&mut serde_json::Value)) -> Result<Source, Refusal> {
        let mut body = serde_json::json!({
            "cluster": {
                "name": "old",
                "nodes": [{"id": "a", "services": null}, {"id": "b"}],
                "partition_map": {"partitions": {
                    "partition-0": {"id": "partition-0", "primary_node": "a", "replica_nodes": ["b"]},
                    "partition-1": {"id": "partition-1", "primary_node": "b", "replica_nodes": null},
                }},
                "config": {"partition_count": 2, "replication_factor": 2},
            },
            "hash_config": {"algorithm": "md5", "encoding": "big_endian_uint32",
                            "format": "partition-%d", "modulo": 2},
        });
        change(&mut body);
        let mut answer: ClusterAnswer = serde_json::from_value(body).unwrap();
        let nodes = std::mem::take(&mut answer.cluster.nodes);
        let list = answer.cluster.partition_map.partitions.take();
        checked(
            answer,
            nodes,
            list.unwrap_or_default().into_values().collect(),
        )
    }

    #[test]
    fn a_null_list_is_an_empty_one() {
        let source = cluster(|_| {}).unwrap();
        assert_eq!(source.rows, [vec!["a", "b"], vec!["b"]]);
        assert_eq!(source.nodes.len(), 2);
    }

    #[test]
    fn what_cannot_be_taken_over_is_refused_by_name() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(&str, &str, Change); 8] = [
            ("hash-unknown", "xxh3", |body| {
                body["hash_config"]["algorithm"] = "xxh3".into();
            }),
            ("hash-unknown", "hex", |body| {
                body["hash_config"]["encoding"] = "hex".into();
            }),
            ("out-of-range", "modulo 0", |body| {
                body["hash_config"]["modulo"] = 0.into();
            }),
            ("partition-count", "over 3", |body| {
                body["hash_config"]["modulo"] = 3.into();
            }),
            ("no-primary", "partition-1 has no primary", |body| {
                body["cluster"]["partition_map"]["partitions"]["partition-1"]["primary_node"] =
                    "".into();
            }),
            ("duplicate-node", "names a twice", |body| {
                body["cluster"]["partition_map"]["partitions"]["partition-0"]["replica_nodes"][0] =
                    "a".into();
            }),
            ("node-unknown", "names c", |body| {
                body["cluster"]["partition_map"]["partitions"]["partition-0"]["replica_nodes"][0] =
                    "c".into();
            }),
            ("out-of-range", "partition-01", |body| {
                body["cluster"]["partition_map"]["partitions"]["partition-1"]["id"] =
                    "partition-01".into();
            }),
        ];
        for (code, part, change) in cases {
            let refused = cluster(change).unwrap_err();
            assert_eq!(refused.code, code, "{refused}");
            assert!(refused.message.contains(part), "{refused}");
        }
    }
}
