//! What a node may act on, and what its application is asked to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Answer to `GET /owned`: what the node that answers may act on as primary at this instant.
///
/// Count `lease_remaining_ms` from before the question was sent: the answer takes time to arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Owned {
    /// The partitions, in order of number; empty without a lease.
    pub owned: Vec<OwnedPartition>,
    /// Incarnation of the cluster; with partition and epoch it makes the fence of an effect.
    pub incarnation: u64,
    /// How long the right to act lasts unless it is renewed.
    pub lease_remaining_ms: u64,
    /// Version of the table.
    pub version: u64,
    /// The node that answers.
    #[serde(default)]
    pub node: String,
    /// Its open session; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
}

/// One partition that a node may act on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OwnedPartition {
    /// `partition-7`.
    pub id: String,
    /// The epoch every effect carries; resources refuse a lower one.
    pub epoch: u64,
}

/// What an application is to do: the data of an event of `GET /orders`, whose name is `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Order {
    /// Its id, in the path of its acknowledgement.
    pub id: String,
    /// `prepare`, `catch-up`, `release`, `become-primary`, `become-replica` or `clean-up`.
    pub event: String,
    /// `partition-7`.
    pub partition: String,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// The node's session.
    pub session: u64,
    /// The epoch: the one to act at after `become-primary`, the one to end with `release`, else the
    /// partition's present one.
    pub epoch: u64,
    /// The open switch; only with `release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u64>,
    /// The move this is part of; the same one means the same move, tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<u64>,
    /// The node to copy from; only with `prepare` and `catch-up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Services of the source: name to address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, String>,
    /// Time from the call until the move is aborted; only with `release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// First event of `GET /orders`, named `state`: where the node stands, so that an application that
/// starts late knows what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrdersState {
    /// What the node may act on now.
    #[serde(flatten)]
    pub owned: Owned,
    /// Partitions it has a copy of without being the primary.
    pub replicas: Vec<String>,
    /// Orders that wait for an acknowledgement; they follow.
    pub open: u64,
}

/// Data of the event `lease-lost`: whatever the node held may be another's by now. Needs no
/// acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseLost {
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// The session whose lease lapsed; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
}

/// Data of the event `superseded`: an order that is not wanted any more. Needs no acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Superseded {
    /// The order.
    pub id: String,
}

/// Body of `POST /orders/{id}/ack`: repeats what the order named, so that a late answer to another
/// one is told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderAck {
    /// The order's `event`.
    pub stage: String,
    /// The order's `session`.
    pub session: u64,
    /// The order's `epoch`.
    pub epoch: u64,
    /// The order's `switch`; given with `release` and with nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u64>,
    /// How far it has come. With it the order stays open unless `done` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Whether it is done. Default: true without `progress`, false with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
    /// Why it failed; it is tried again later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far something has come, in units of the application's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all; may grow.
    pub total: u64,
}

/// Answer to `POST /orders/{id}/ack`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrderAcked {
    /// The order.
    pub id: String,
    /// `open` after a report of progress, `done` or `failed`. An order that ended keeps its first
    /// answer, however often it is acknowledged.
    pub state: String,
}

/// Body of `POST /partitions/{id}/promote`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PromoteRequest {
    /// The node to make the primary.
    pub node: String,
    /// Whether writes that the node does not have may be lost. Default false.
    #[serde(default)]
    pub accept_data_loss: bool,
}

/// Answer to an operation that changes the state and has nothing else to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version after the change.
    pub version: u64,
}
