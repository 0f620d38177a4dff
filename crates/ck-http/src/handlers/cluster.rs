//! The cluster as a whole.

use std::collections::BTreeMap;

use ck_api as api;
use serde::Serialize;

use crate::handlers::formed;
use crate::render::{self, PartitionRow};
use crate::reply::json;
use crate::route::{Answer, Ask};
use crate::surface::Core;

/// `ck_api::ClusterAnswer`, written without copying the partitions first.
#[derive(Serialize)]
struct ClusterBody<'a> {
    cluster: Inner<'a>,
    hash_config: api::HashConfig,
    leader: &'a str,
    incarnation: u64,
    version: u64,
}

#[derive(Serialize)]
struct Inner<'a> {
    id: &'a str,
    name: &'a str,
    uuid: String,
    nodes: Vec<api::Node>,
    partition_map: Map<'a>,
    config: api::ClusterConfig,
}

#[derive(Serialize)]
struct Map<'a> {
    /// In order of the id's text, as clients of the Go library get them.
    partitions: BTreeMap<String, PartitionRow<'a>>,
}

pub(super) fn cluster(core: &Core, ask: &Ask<'_>) -> Answer {
    let view = formed(core)?;
    let state = view.state();
    let leader = core.backend.status().leader;
    let leader = leader.as_ref().map(ck_core::NodeId::as_str);
    let name = state.formed().map_or("", |formed| formed.name.as_str());
    let rows = state.table().into_iter().flat_map(|table| table.rows());
    let body = ClusterBody {
        cluster: Inner {
            id: name,
            name,
            uuid: state
                .formed()
                .map(|formed| formed.cluster.to_string())
                .unwrap_or_default(),
            nodes: state
                .members()
                .map(|member| render::node(member, leader))
                .collect(),
            partition_map: Map {
                partitions: rows
                    .map(|row| (row.partition().to_string(), PartitionRow::new(state, row)))
                    .collect(),
            },
            config: render::config(state),
        },
        hash_config: render::hash_config(state),
        leader: leader.unwrap_or_default(),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &body))
}

pub(super) fn peer(core: &Core, ask: &Ask<'_>) -> Answer {
    let view = core.view();
    let formed = view.state().formed();
    let status = core.backend.status();
    let answer = api::Peer {
        node: status.node.to_string(),
        peer_address: status.peer_address,
        cluster: formed.map_or(status.cluster_name, |formed| formed.name.clone()),
        uuid: formed.map(|formed| formed.cluster.to_string()),
        formed: formed.is_some(),
    };
    Ok(json(&ask.head.headers, None, &answer))
}
