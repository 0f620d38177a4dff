use alloc::vec::Vec;
use core::fmt;

use ck_core::Epoch;
use serde::{Deserialize, Serialize};

use crate::{MemberNumber, Position, SessionId, TransferId};

/// Who was granted a partition's primary role last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The member.
    pub member: MemberNumber,
    /// The session it was granted to. When that has ended, nobody may act.
    pub session: SessionId,
}

/// What is decided about one partition, beside its row in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionControl {
    /// Grants of its primary role so far.
    pub epoch: Epoch,
    /// The newest grant, unless it was taken back. Stays when its session ends and nobody takes
    /// over, so that the node that comes back can be granted it again.
    pub holder: Option<Holder>,
    /// Members that have every write that may have been acknowledged, in order of number.
    pub in_sync: Vec<MemberNumber>,
    /// Whether the in-sync set is only the last known one: when it was last looked at none of its
    /// members had an open session, so it was left as it was and the partition is unavailable.
    pub last_known: bool,
    /// Members of a last known set that have come back since without proof of having everything:
    /// neither after a clean stop nor with durable acknowledgements. In order of number.
    pub unproven: Vec<MemberNumber>,
    /// The planned move under way.
    pub transfer: Option<TransferId>,
    /// Position of the newest grant.
    pub granted_at: Position,
}

impl PartitionControl {
    /// Whether a member is in the in-sync set, last known or not.
    #[must_use]
    pub fn is_in_sync(&self, member: MemberNumber) -> bool {
        self.in_sync.contains(&member)
    }
}

/// How a partition is doing, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionState {
    /// Its primary's session is open, and as many nodes as the replication factor hold a copy that
    /// is in sync, each with an open session.
    Stable,
    /// As stable or degraded, and a planned move of it is under way.
    Moving,
    /// Its primary's session is open, but fewer than the replication factor of its copies are in
    /// sync on a node with an open session.
    Degraded,
    /// Nobody may act on it: it has no primary, or its primary's session has ended.
    Unavailable,
}

impl PartitionState {
    /// The name used in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Moving => "moving",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for PartitionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
