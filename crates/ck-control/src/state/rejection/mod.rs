//! Why a command was refused: data that every node agrees on.

mod code;
mod moving;

pub use moving::MoveRejection;

use alloc::string::String;

use ck_core::{NodeId, PartitionId, Version};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Generation, MemberNumber, OfficeId, SessionId};

/// Why a command was refused. The state is as before, but for the applied position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Anything before genesis.
    #[error("the cluster is not formed; genesis comes first")]
    NotFormed,
    /// A second genesis.
    #[error("the cluster {name:?} is formed already; join it")]
    AlreadyFormed {
        /// Its name.
        name: String,
    },
    /// A command version that never was.
    #[error("command version {got} never existed; the least is 1")]
    CommandVersion {
        /// The version as given.
        got: u16,
    },
    /// The configuration, or a change of it, is wrong.
    #[error("configuration refused: {0}")]
    Config(#[from] ConfigError),
    /// An office entry that came into the log in another term than its own.
    #[error("office of term {got} came into the log in term {log}; the leader has changed")]
    OfficeTerm {
        /// The term it names.
        got: u64,
        /// The term of its log entry.
        log: u64,
    },
    /// A decision of an office that is not the last in the log.
    #[error("office {got} is not the last in the log; the leader has changed")]
    OfficePast {
        /// The office as given.
        got: OfficeId,
        /// The last one.
        last: Option<OfficeId>,
    },
    /// A decision that takes from an open session, without the office that waited for its lease.
    #[error("removing {node:?} ends its open session {session}; name the office that waited")]
    OfficeMissing {
        /// The node.
        node: NodeId,
        /// Its open session.
        session: SessionId,
    },
    /// No member has that number, and none ever had.
    #[error("member {member} does not exist; register without a number")]
    MemberUnknown {
        /// The number as given.
        member: MemberNumber,
    },
    /// The member was removed.
    #[error(
        "member {member} was removed and its number is not given again; join with an empty store"
    )]
    MemberRemoved {
        /// The number as given.
        member: MemberNumber,
    },
    /// The number belongs to a node of another name.
    #[error("member {member} is node {node:?}, not {got:?}; start it under its own id")]
    MemberIsOther {
        /// The number as given.
        member: MemberNumber,
        /// The node that has it.
        node: NodeId,
        /// The node as given.
        got: NodeId,
    },
    /// No node has that name.
    #[error("node {node:?} is not in the cluster")]
    NodeUnknown {
        /// The name as given.
        node: NodeId,
    },
    /// The name is another store's: another machine, or a disk that was lost.
    #[error(
        "node id {node:?} belongs to member {member} with another store; choose another id, or, \
         if its disk was lost, `ck remove {node}` first"
    )]
    NodeInUse {
        /// The name as given.
        node: NodeId,
        /// The member that has it.
        member: MemberNumber,
    },
    /// The store is another node's: a copied data directory.
    #[error("the store of {got:?} belongs to node {node:?}; start with an empty data directory")]
    StoreInUse {
        /// The node as given.
        got: NodeId,
        /// The node that has the store.
        node: NodeId,
    },
    /// An older process of the node.
    #[error("generation {got} of {node:?} is older than {known}; a later start has registered")]
    Generation {
        /// The node.
        node: NodeId,
        /// The generation as given.
        got: Generation,
        /// The newest known.
        known: Generation,
    },
    /// The store has not seen the node's newest start: a copy from before it, or put back to before it.
    #[error(
        "the store of {node:?} is a copy from before its start {known}; start it with the original, \
         or `ck remove {node}` and start it with an empty data directory"
    )]
    StoreOld {
        /// The node.
        node: NodeId,
        /// Its newest start.
        known: Generation,
    },
    /// The compare-and-set on the node's previous session failed.
    #[error("{node:?}: the newest session is {}, not {}; read it and try again",
        shown(*.newest), shown(*.got))]
    PreviousSession {
        /// The node.
        node: NodeId,
        /// The session as given.
        got: Option<SessionId>,
        /// The newest one.
        newest: Option<SessionId>,
    },
    /// The previous session is open, and nothing proves its process dead.
    #[error("{node:?}: session {session} is still open; wait for its end and try again")]
    SessionOpen {
        /// The node.
        node: NodeId,
        /// The session.
        session: SessionId,
    },
    /// The session is not open.
    #[error("session {session} is not open; register anew")]
    SessionEnded {
        /// The session as given.
        session: SessionId,
    },
    /// None of the sessions of an expiry is open.
    #[error("none of the {got} sessions to expire is open; they have ended")]
    NothingToExpire {
        /// Number of sessions given.
        got: u32,
    },
    /// The node's removal has begun.
    #[error("node {node:?} is being removed; wait until it is gone, then join with an empty store")]
    Closing {
        /// The node.
        node: NodeId,
    },
    /// The node's removal has not begun.
    #[error("node {node:?} is not closing; its removal begins with a close")]
    NotClosing {
        /// The node.
        node: NodeId,
    },
    /// The last node cannot be removed.
    #[error("node {node:?} is the last one; a cluster keeps at least one")]
    LastMember {
        /// The node.
        node: NodeId,
    },
    /// Another member has that address.
    #[error(
        "address {address:?} belongs to node {node:?}; use another, or `ck remove {node}` first"
    )]
    AddressInUse {
        /// The address as given.
        address: String,
        /// The node that has it.
        node: NodeId,
    },
    /// As many members as are allowed.
    #[error("the cluster has {max} members, the most allowed; raise members_max or remove one")]
    MembersFull {
        /// The limit.
        max: u32,
    },
    /// The node understands only commands older than ones in the log.
    #[error("{node:?} understands commands up to version {got}, the log has {needed}; upgrade it")]
    NodeTooOld {
        /// The node.
        node: NodeId,
        /// The highest version it understands.
        got: u16,
        /// The highest version in the log.
        needed: u16,
    },
    /// A text is too long, too short or holds a control character.
    #[error("{field}: {got} bytes are not allowed; use {min} to {max}")]
    Length {
        /// The field.
        field: String,
        /// Its length in bytes.
        got: u64,
        /// Least length in bytes.
        min: u64,
        /// Greatest length in bytes.
        max: u64,
    },
    /// A text holds what it must not.
    #[error(
        "{field} {value:?} holds a control character, or is an address and holds a space; use \
         printable characters"
    )]
    Characters {
        /// The field.
        field: String,
        /// The value as given, at most 64 characters of it.
        value: String,
    },
    /// Too many items.
    #[error("{field}: {got} items are too many; at most {max} are allowed")]
    Count {
        /// The field.
        field: String,
        /// Their number.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// A number is out of its range.
    #[error("{field} {got} is out of range; use {min} to {max}")]
    Range {
        /// The field.
        field: String,
        /// The value as given.
        got: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
    },
    /// A node cannot be told to be down.
    #[error("state `down` is found out, not told; use active, cordoned or draining")]
    StateDown,
    /// A change that names no field.
    #[error("the change names no field; name at least one")]
    NoField,
    /// The partitions exist.
    #[error("the partitions exist already, {partitions} of them")]
    PartitionsExist {
        /// How many.
        partitions: u32,
    },
    /// The partitions do not exist yet.
    #[error("the partitions do not exist yet; create them first")]
    NoPartitions,
    /// Fewer nodes than the replication factor.
    #[error(
        "{have} nodes are too few for {need} copies; wait for more, or lower the replication factor"
    )]
    TooFewNodes {
        /// Nodes that are registered.
        have: u32,
        /// Nodes that are needed.
        need: u32,
    },
    /// The table has another partition count.
    #[error("a table of {got} partitions does not fit; the cluster has {expected}")]
    PartitionCount {
        /// The count as given.
        got: u32,
        /// The cluster's.
        expected: u32,
    },
    /// A row names a node that is not in the cluster, or is leaving it; in a first table, also one
    /// without an open session.
    #[error(
        "{partition}: node {node:?} is not in the cluster, not up or being removed; plan again"
    )]
    RowNode {
        /// The row.
        partition: PartitionId,
        /// The node.
        node: NodeId,
    },
    /// A row with no copy, or with more than the replication factor.
    #[error("{partition}: a row of {got} copies is not allowed; use 1 to {max}")]
    RowLength {
        /// The row.
        partition: PartitionId,
        /// Its length.
        got: u32,
        /// The replication factor.
        max: u32,
    },
    /// The plan was made for a state that has changed since.
    #[error(
        "the plan was made for version {base}, but what it depends on changed at {changed}; plan again"
    )]
    PlanStale {
        /// The version it was made for.
        base: Version,
        /// Where what a plan depends on last changed, or the present version when the base is
        /// ahead of it.
        changed: Version,
    },
    /// The compare-and-set on a custom value failed.
    #[error(
        "custom {key:?} is at version {actual}, not {expected} (0: absent); read it and try again"
    )]
    CustomVersion {
        /// The key.
        key: String,
        /// The version as given.
        expected: Version,
        /// Its version, 0 when it does not exist.
        actual: Version,
    },
    /// No such custom value.
    #[error("custom {key:?} does not exist")]
    CustomUnknown {
        /// The key.
        key: String,
    },
    /// As many custom keys, or bytes, as are allowed.
    #[error("custom {key:?} does not fit: {field} is {max}; delete some or raise it")]
    CustomFull {
        /// The key.
        key: String,
        /// The limit: `custom_keys_max` or `custom_bytes_max`.
        field: String,
        /// Its value.
        max: u64,
    },
    /// A move of copies or roles, or what goes with moves.
    #[error(transparent)]
    Move(#[from] MoveRejection),
}

fn shown(session: Option<SessionId>) -> String {
    session.map_or_else(
        || String::from("none"),
        |session| alloc::format!("{session}"),
    )
}
