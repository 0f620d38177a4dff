use ck_core::{Epoch, NodeId, PartitionId};
use serde::{Deserialize, Serialize};

use crate::state::Stage;
use crate::{MemberNumber, Position, Release, SessionId, SwitchId, TransferId};

/// Why a step of a move, or of what goes with moves, was refused. The state is as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum MoveRejection {
    /// No such partition.
    #[error("{partition} does not exist; the partition count is fixed when the cluster forms")]
    PartitionUnknown {
        /// The partition.
        partition: PartitionId,
    },
    /// Nobody may act on the partition.
    #[error("{partition} has no primary with an open session; wait, or `ck promote` one")]
    PartitionUnavailable {
        /// The partition.
        partition: PartitionId,
    },
    /// Somebody may act on the partition.
    #[error("{partition} has the live primary member {member}; move it instead")]
    PartitionHeld {
        /// The partition.
        partition: PartitionId,
        /// Its primary.
        member: MemberNumber,
    },
    /// A promotion that may lose writes, without saying so.
    #[error("{partition}: member {member} may lack writes; accept the loss, or wait for another")]
    LossNotAccepted {
        /// The partition.
        partition: PartitionId,
        /// The member.
        member: MemberNumber,
    },
    /// Another move of the partition is under way.
    #[error("{partition}: transfer {transfer} is under way; wait for its end or abort it")]
    TransferUnderWay {
        /// The partition.
        partition: PartitionId,
        /// The move.
        transfer: TransferId,
    },
    /// No such move, or not any more.
    #[error("transfer {transfer} is not under way; it has ended")]
    TransferUnknown {
        /// The move as given.
        transfer: TransferId,
    },
    /// The move stands elsewhere.
    #[error("transfer {transfer} is at stage {stage}, where this is not done; read it again")]
    TransferStage {
        /// The move.
        transfer: TransferId,
        /// Its stage.
        stage: Stage,
    },
    /// A move that changes nothing, or does not fit the row.
    #[error("{partition}: the move does not fit the row as it is; read the table again")]
    TransferShape {
        /// The partition.
        partition: PartitionId,
    },
    /// A node takes part in as many moves as it may.
    #[error("member {member} takes part in {max} copying transfers, the most allowed; wait")]
    TransferLimit {
        /// The member.
        member: MemberNumber,
        /// The limit, each way.
        max: u8,
    },
    /// The session of one side is not open, is another's, or is closing.
    #[error("member {member}: session {session} is not open, or is closing; choose again")]
    PartySession {
        /// The member.
        member: MemberNumber,
        /// The session as given.
        session: SessionId,
    },
    /// A member that does not have everything, where one is needed that has.
    #[error("{partition}: member {member} is not in sync, or is the primary; choose another")]
    NotInSync {
        /// The partition.
        partition: PartitionId,
        /// The member.
        member: MemberNumber,
    },
    /// Too few copies in sync would be left.
    #[error("{partition}: without member {member} fewer than {least} copies are in sync; wait")]
    MinInSync {
        /// The partition.
        partition: PartitionId,
        /// The member whose copy would go.
        member: MemberNumber,
        /// The least number allowed.
        least: u8,
    },
    /// A live node that has the only copy in sync cannot be removed.
    #[error("{partition}: {node:?} has the only copy in sync; `ck drain {node}` first")]
    LastCopy {
        /// The partition.
        partition: PartitionId,
        /// The node.
        node: NodeId,
    },
    /// Something that held for one grant, after another.
    #[error("{partition}: session {session} at epoch {epoch} is not the grant of epoch {current}")]
    GrantPast {
        /// The partition.
        partition: PartitionId,
        /// The session as given.
        session: SessionId,
        /// The epoch as given.
        epoch: Epoch,
        /// The present epoch.
        current: Epoch,
    },
    /// An acknowledgement that does not match in session, partition, epoch and switch.
    #[error(
        "transfer {transfer}: an acknowledgement of switch {} by session {} does not match",
        got.switch, got.session
    )]
    ReleasePast {
        /// The move.
        transfer: TransferId,
        /// The acknowledgement as given.
        got: Release,
        /// The open switch.
        switch: Option<SwitchId>,
    },
    /// A revocation of a move that is not forced, or was revoked already.
    #[error("transfer {transfer} is not forced, or is revoked already; abort it instead")]
    NotForced {
        /// The move.
        transfer: TransferId,
    },
    /// A commit without an acknowledgement that names no revocation, or no office that waited.
    #[error("transfer {transfer} was not revoked at {revoked}, or no office waited for its lease")]
    NotRevoked {
        /// The move.
        transfer: TransferId,
        /// The revocation as given.
        revoked: Position,
    },
    /// The brake is pulled.
    #[error("{partition}: too much is lost to move anything; release the brake first")]
    Braked {
        /// The partition.
        partition: PartitionId,
    },
    /// A plan is being carried out.
    #[error("the plan of {since} is being carried out; wait for its end or abort it")]
    RebalanceUnderWay {
        /// Where it began.
        since: Position,
    },
    /// No such plan is being carried out.
    #[error("no such plan is being carried out; it has ended")]
    NoRebalance,
    /// No such raise of the mode is under way.
    #[error("no raise of the mode since {since} is under way; it has ended")]
    NoRaise {
        /// The raise as given.
        since: Position,
    },
    /// No longer lease of before is waited for, or it is another.
    #[error("no lease that was shortened at {since} is waited for; it has run out")]
    NoPastLease {
        /// The change of the lease as given.
        since: Position,
    },
}

impl MoveRejection {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::PartitionUnknown { .. } => "partition-unknown",
            Self::PartitionUnavailable { .. } => "partition-unavailable",
            Self::PartitionHeld { .. } => "partition-held",
            Self::LossNotAccepted { .. } => "loss-not-accepted",
            Self::TransferUnderWay { .. } => "transfer-under-way",
            Self::TransferUnknown { .. } => "transfer-unknown",
            Self::TransferStage { .. } => "transfer-stage",
            Self::TransferShape { .. } => "transfer-shape",
            Self::TransferLimit { .. } => "transfer-limit",
            Self::PartySession { .. } => "party-session",
            Self::NotInSync { .. } => "not-in-sync",
            Self::MinInSync { .. } => "min-in-sync",
            Self::LastCopy { .. } => "last-copy",
            Self::GrantPast { .. } => "grant-past",
            Self::ReleasePast { .. } => "release-past",
            Self::NotForced { .. } => "not-forced",
            Self::NotRevoked { .. } => "not-revoked",
            Self::Braked { .. } => "braked",
            Self::RebalanceUnderWay { .. } => "rebalance-under-way",
            Self::NoRebalance => "no-rebalance",
            Self::NoRaise { .. } => "no-raise",
            Self::NoPastLease { .. } => "no-past-lease",
        }
    }

    pub(super) const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::PartitionUnavailable { .. }
                | Self::TransferUnderWay { .. }
                | Self::TransferLimit { .. }
                | Self::MinInSync { .. }
                | Self::Braked { .. }
                | Self::RebalanceUnderWay { .. }
        )
    }
}
