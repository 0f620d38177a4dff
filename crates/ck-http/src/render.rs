//! States into wire types and bodies.

use ck_api as api;
use ck_control::{Member, State};
use ck_core::{KeyHash, PartitionId, Row};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::moving;
use crate::reply::to_json;
use crate::view::status_word;

/// A partition as a list shows it, written without an allocation of its own.
pub(crate) struct PartitionRow<'a> {
    state: &'a State,
    row: Row<'a>,
}

impl<'a> PartitionRow<'a> {
    pub(crate) fn new(state: &'a State, row: Row<'a>) -> Self {
        Self { state, row }
    }

    fn epoch(&self) -> u64 {
        self.state
            .partition(self.row.partition())
            .map_or(0, |control| control.epoch.0)
    }

    /// The same as a wire type.
    pub(crate) fn owned(&self) -> api::Partition {
        let state = self.state.partition_state(self.row.partition());
        api::Partition::from_row(self.row, self.epoch(), state.name())
    }
}

struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Replicas<'a>(Row<'a>);

impl Serialize for Replicas<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.replicas().map(ck_core::NodeId::as_str))
    }
}

impl Serialize for PartitionRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = self.row.partition();
        let mut fields = serializer.serialize_struct("Partition", 5)?;
        fields.serialize_field("id", &Text(id))?;
        fields.serialize_field(
            "primary_node",
            self.row.primary().map_or("", |id| id.as_str()),
        )?;
        fields.serialize_field("replica_nodes", &Replicas(self.row))?;
        fields.serialize_field("epoch", &self.epoch())?;
        fields.serialize_field("state", self.state.partition_state(id).name())?;
        fields.end()
    }
}

/// A list of partitions, as `ck_api::PartitionList`.
#[derive(serde::Serialize)]
pub(crate) struct List<'a> {
    partitions: Vec<PartitionRow<'a>>,
    count: usize,
    incarnation: u64,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<String>,
}

impl<'a> List<'a> {
    /// The first `limit` of `rows`, all without one.
    pub(crate) fn new(
        state: &'a State,
        mut rows: impl Iterator<Item = Row<'a>>,
        limit: Option<usize>,
    ) -> Self {
        let taken = rows.by_ref().take(limit.unwrap_or(usize::MAX));
        let partitions: Vec<_> = taken.map(|row| PartitionRow::new(state, row)).collect();
        let has_more = limit.map(|_| rows.next().is_some());
        let last = partitions
            .last()
            .map(|last| last.row.partition().to_string());
        Self {
            count: partitions.len(),
            partitions,
            incarnation: state.incarnation().0,
            version: state.version().0,
            has_more,
            next_after: last.filter(|_| has_more == Some(true)),
        }
    }
}

/// The body of all partitions.
pub(crate) fn all(state: &State) -> Vec<u8> {
    let rows = state.table().into_iter().flat_map(|table| table.rows());
    to_json(&List::new(state, rows, None))
}

/// Where one partition is, with the addresses one needs to go there.
pub(crate) fn partition(state: &State, id: PartitionId) -> api::PartitionAnswer {
    let Some(row) = state.table().and_then(|table| table.row(id)) else {
        return api::PartitionAnswer {
            id: id.to_string(),
            ..Default::default()
        };
    };
    let listed = PartitionRow::new(state, row).owned();
    let member = |node: &ck_core::NodeId| state.member_by_node(node.as_str());
    let address = |member: Option<&Member>| {
        member
            .map(|member| member.http_address.clone())
            .unwrap_or_default()
    };
    let primary = row.primary().and_then(member);
    api::PartitionAnswer {
        id: listed.id,
        primary_node: listed.primary_node,
        replica_nodes: listed.replica_nodes,
        epoch: listed.epoch,
        state: listed.state,
        incarnation: state.incarnation().0,
        version: state.version().0,
        primary_address: address(primary),
        replica_addresses: row.replicas().map(|node| address(member(node))).collect(),
        primary_services: primary
            .map(|member| member.services.clone())
            .unwrap_or_default(),
        replicas: None,
        transfer: None,
    }
}

/// The body of a look-up by key.
pub(crate) fn route(state: &State, id: PartitionId) -> Vec<u8> {
    to_json(&partition(state, id))
}

/// One partition in detail: every copy, and the move under way.
pub(crate) fn detail(state: &State, id: PartitionId) -> api::PartitionAnswer {
    let mut answer = partition(state, id);
    let Some(row) = state.table().and_then(|table| table.row(id)) else {
        return answer;
    };
    let control = state.partition(id);
    let replica = |(at, node): (usize, &ck_core::NodeId)| {
        let member = state.member_by_node(node.as_str());
        api::Replica {
            node: node.to_string(),
            role: if at == 0 { "primary" } else { "replica" }.to_owned(),
            in_sync: member
                .zip(control)
                .is_some_and(|(member, control)| control.is_in_sync(member.number)),
            status: member.map_or("down", status_word).to_owned(),
            address: member
                .map(|member| member.http_address.clone())
                .unwrap_or_default(),
            services: member
                .map(|member| member.services.clone())
                .unwrap_or_default(),
        }
    };
    answer.replicas = Some(row.nodes().enumerate().map(replica).collect());
    answer.transfer = control.and_then(|control| {
        let transfer = state.transfer(control.transfer?)?;
        Some(moving::transfer(state, control, transfer))
    });
    answer
}

/// A node.
pub(crate) fn node(member: &Member, leader: Option<&str>) -> api::Node {
    let name = if member.display_name.is_empty() {
        member.node.to_string()
    } else {
        member.display_name.clone()
    };
    api::Node {
        id: member.node.to_string(),
        ip: member.http_address.clone(),
        port: 0,
        name,
        status: status_word(member).to_owned(),
        services: member.services.clone(),
        member: member.number.0,
        generation: member.generation.0,
        peer_address: member.peer_address.clone(),
        weight: member.weight,
        domain: member.domain.as_ref().map(ToString::to_string),
        labels: member.labels.clone(),
        session: member.session.map(|session| session.0),
        leader: leader == Some(member.node.as_str()),
        joined_at_ms: member.joined_at_ms,
    }
}

/// The configuration.
pub(crate) fn config(state: &State) -> api::ClusterConfig {
    let config = state.config();
    api::ClusterConfig {
        cluster_name: state
            .formed()
            .map(|formed| formed.name.clone())
            .unwrap_or_default(),
        partition_count: config.partitions,
        replication_factor: config.replication_factor.into(),
        spread: config.spread.into(),
        hash: config.hash.name().to_owned(),
        mode: config.mode.name().to_owned(),
        profile: config.lease.profile.name().to_owned(),
        min_in_sync: config.min_in_sync.into(),
        rejoin_grace_ms: config.rejoin_grace_ms,
        auto_create: config.auto_create,
        auto_rebalance: config.auto_rebalance,
        voters: config.voters.into(),
        max_transfers_per_node: config.max_transfers_per_node.into(),
        settle_ms: config.settle_ms,
        lease_ms: config.lease.lease_ms,
        rho_ppm: config.lease.rho_ppm,
        freeze_allowance_ms: config.lease.freeze_allowance_ms,
        mode_to_come: state.raise().map(|raise| raise.mode.name().to_owned()),
    }
}

/// What any language needs to compute key → partition.
pub(crate) fn hash_config(state: &State) -> api::HashConfig {
    let config = state.config();
    let (algorithm, encoding, formula) = match config.hash {
        KeyHash::Xxh3 => ("xxh3", "uint64", "(xxh3_64(key, seed) * partitions) >> 64"),
        KeyHash::Md5Mod => (
            "md5",
            "big_endian_uint32",
            "big_endian_uint32(md5(key)[0..4]) % partitions",
        ),
    };
    api::HashConfig {
        algorithm: algorithm.to_owned(),
        encoding: encoding.to_owned(),
        format: "partition-%d".to_owned(),
        modulo: config.partitions,
        hash: config.hash.name().to_owned(),
        formula: formula.to_owned(),
        seed: 0,
        partitions: config.partitions,
    }
}

/// The body of the figures: how partitions are spread.
pub(crate) fn stats(state: &State, by_state: &[u64; 4]) -> Vec<u8> {
    let mut answer = api::PartitionStats {
        incarnation: state.incarnation().0,
        version: state.version().0,
        ..Default::default()
    };
    for member in state.members() {
        answer
            .partitions_per_node
            .insert(member.node.to_string(), 0);
        answer.replicas_per_node.insert(member.node.to_string(), 0);
        let none = api::Share::default();
        answer.shares.insert(member.node.to_string(), none);
    }
    let Some(table) = state.table() else {
        return to_json(&answer);
    };
    let stats = table.stats(&state.topology(), &state.spec());
    answer.total_partitions = stats.partitions.into();
    per_node(&mut answer, &stats.nodes);
    let copies = || stats.nodes.iter().map(|node| u64::from(node.copies));
    let primaries = || stats.nodes.iter().map(|node| u64::from(node.primaries));
    answer.copies = api::Balance {
        min: copies().min().unwrap_or(0),
        max: copies().max().unwrap_or(0),
        max_over_share_permille: permille(stats.copies_balance),
        off_share: stats.copies_off_quota.into(),
    };
    answer.primaries = api::Balance {
        min: primaries().min().unwrap_or(0),
        max: primaries().max().unwrap_or(0),
        max_over_share_permille: permille(stats.primaries_balance),
        off_share: stats.primaries_off_quota.into(),
    };
    for domain in &stats.domains {
        let held = api::DomainStats {
            nodes: domain.nodes.into(),
            copies: domain.copies,
            primaries: domain.primaries,
            partitions: domain.partitions.into(),
        };
        answer.domains.insert(domain.name.clone(), held);
    }
    let [_, moving, _, unavailable] = *by_state;
    (answer.in_flight, answer.unavailable) = (moving, unavailable);
    answer.under_replicated = stats.under_replicated.into();
    answer.spread_violations = stats.spread_violations.into();
    to_json(&answer)
}

fn permille(ratio: ck_core::Fraction) -> u64 {
    u64::try_from(ratio.per_mille()).unwrap_or(u64::MAX)
}

/// What each node holds, and what is due to it.
fn per_node(answer: &mut api::PartitionStats, nodes: &[ck_core::table::NodeStats]) {
    for node in nodes {
        let (copies, primaries) = (u64::from(node.copies), u64::from(node.primaries));
        let name = || node.id.to_string();
        answer.partitions_per_node.insert(name(), primaries);
        answer.replicas_per_node.insert(name(), copies - primaries);
        let share = api::Share {
            copies_permille: permille(node.quota),
            primaries_permille: permille(node.primary_quota),
        };
        answer.shares.insert(name(), share);
    }
}
