//! What has happened: told once on every node, after the entry is committed and applied.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ck_core::{Epoch, NodeId, PartitionId, Version};
use serde::{Deserialize, Serialize};

use crate::{MemberNumber, OfficeId, Position, SessionId, Trigger};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Version of the state that has it.
    pub version: Version,
    /// When, by the proposer's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// The entry that made it happen.
    pub position: Position,
    /// What it is.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// The cluster was formed.
    Formed {
        /// Its name.
        name: String,
    },
    /// A process began to lead.
    OfficeTaken {
        /// The office.
        office: OfficeId,
        /// The leader.
        member: MemberNumber,
    },
    /// A node is in the cluster for the first time.
    Joined {
        /// The node.
        node: NodeId,
        /// Its number.
        member: MemberNumber,
        /// Members, this one included.
        cluster_size: u32,
        /// Whether it formed the cluster.
        founder: bool,
    },
    /// A node is no longer in the cluster.
    Left {
        /// The node.
        node: NodeId,
        /// The number it had, which no node gets again.
        member: MemberNumber,
        /// Why its session ended, or [`EndReason::Removed`] when none was open.
        reason: EndReason,
        /// Partitions it was the primary of when its removal was completed.
        partitions_primary: u32,
        /// Partitions it was a replica of.
        partitions_replica: u32,
    },
    /// A session began.
    SessionOpened {
        /// The node.
        node: NodeId,
        /// Its number.
        member: MemberNumber,
        /// The session.
        session: SessionId,
        /// Partitions granted by the registration itself.
        granted: u32,
    },
    /// A session ended.
    SessionEnded {
        /// The node.
        node: NodeId,
        /// Its number.
        member: MemberNumber,
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A node that was in the cluster before is back, with a new session.
    Rejoined {
        /// The node.
        node: NodeId,
        /// Its number.
        member: MemberNumber,
        /// How long it had no session, by the proposers' wall clocks; 0 when its old process was
        /// replaced before its session had ended.
        offline_ms: u64,
        /// When its last session ended, in milliseconds since 1970; absent when it had not.
        last_seen_ms: Option<u64>,
        /// Partitions it holds a copy of, in sync or not.
        partitions_before: u32,
    },
    /// Whether a node may act changed: its session ended other than by its removal, or began again.
    HealthChanged {
        /// The node.
        node: NodeId,
        /// Whether it has a session now.
        healthy: bool,
        /// Why: `active`, or the name of the [`EndReason`].
        status: String,
    },
    /// What is known of a node changed, or its removal began.
    NodeChanged {
        /// The node.
        node: NodeId,
    },
    /// The partitions exist from now on; one [`EventKind::PartitionChanged`] each follows.
    PartitionsCreated {
        /// How many.
        partitions: u32,
    },
    /// A partition's row or primary changed.
    PartitionChanged {
        /// The partition.
        partition: PartitionId,
        /// Nodes that new copies are made from; empty when there are none, or no source is left.
        copy_from: Vec<NodeId>,
        /// Nodes that hold a copy from now on and did not before.
        copy_to: Vec<NodeId>,
        /// Why.
        reason: ChangeReason,
        /// Primary before.
        old_primary: Option<NodeId>,
        /// Primary from now on; absent when no node is left to take it.
        new_primary: Option<NodeId>,
        /// The partition's epoch from now on.
        epoch: Epoch,
    },
    /// A plan begins to be carried out.
    RebalanceStarted {
        /// What it was made for.
        trigger: Trigger,
        /// Partitions to change: another copy, or another primary.
        partitions: u32,
        /// Members at that time.
        nodes: u32,
    },
    /// A plan has ended: it was carried out, or given up.
    RebalanceCompleted {
        /// What it was made for.
        trigger: Trigger,
        /// Partitions that reached what was planned.
        partitions: u32,
        /// Members at that time.
        nodes: u32,
        /// From the start of planning, by the proposer's wall clock.
        duration_ms: u64,
    },
    /// The configuration changed.
    ConfigChanged {
        /// Names of the fields that differ.
        fields: Vec<String>,
    },
    /// A custom value was written or deleted.
    CustomChanged {
        /// Its key.
        key: String,
        /// Whether it is gone.
        deleted: bool,
    },
}

macro_rules! named {
    ($name:ident { $($variant:ident => $text:literal),* $(,)? }) => {
        impl $name {
            /// The name used in events, JSON and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndReason {
    /// The node stopped.
    Stopped,
    /// Its lease ran out.
    Expired,
    /// The node was removed.
    Removed,
    /// The node came back holding the same store, which proves its old process dead.
    Replaced,
}

named!(EndReason {
    Stopped => "stopped",
    Expired => "expired",
    Removed => "removed",
    Replaced => "replaced",
});

/// Why a partition changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChangeReason {
    /// It was created.
    Created,
    /// A plan after a node joined.
    Join,
    /// A plan after a node came back.
    Rejoin,
    /// A plan after a node was lost or removed.
    Loss,
    /// A plan that an operator asked for.
    Manual,
    /// A plan that empties a node.
    Drain,
    /// Its primary's session ended.
    Failover,
    /// A node that held it was removed.
    Removed,
    /// A node that has everything came back where none was left.
    Recovered,
}

named!(ChangeReason {
    Created => "created",
    Join => "join",
    Rejoin => "rejoin",
    Loss => "loss",
    Manual => "manual",
    Drain => "drain",
    Failover => "failover",
    Removed => "removed",
    Recovered => "recovered",
});

impl From<Trigger> for ChangeReason {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Join => Self::Join,
            Trigger::Rejoin => Self::Rejoin,
            Trigger::Loss => Self::Loss,
            Trigger::Manual => Self::Manual,
            Trigger::Drain => Self::Drain,
        }
    }
}
