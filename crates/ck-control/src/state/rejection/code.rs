use crate::state::Rejection;

impl Rejection {
    /// A stable name in kebab-case, for callers to branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFormed => "not-formed",
            Self::AlreadyFormed { .. } => "already-formed",
            Self::CommandVersion { .. } => "command-version",
            Self::Config(_) => "config-invalid",
            Self::OfficeTerm { .. } => "office-term",
            Self::OfficePast { .. } => "office-past",
            Self::OfficeMissing { .. } => "office-missing",
            Self::MemberUnknown { .. } => "member-unknown",
            Self::MemberRemoved { .. } => "member-removed",
            Self::MemberIsOther { .. } => "member-is-other",
            Self::NodeUnknown { .. } => "node-unknown",
            Self::NodeInUse { .. } => "node-in-use",
            Self::StoreInUse { .. } => "store-in-use",
            Self::Generation { .. } => "generation-old",
            Self::StoreOld { .. } => "store-old",
            Self::PreviousSession { .. } => "previous-session",
            Self::SessionOpen { .. } => "session-open",
            Self::SessionEnded { .. } => "session-ended",
            Self::NothingToExpire { .. } => "nothing-to-expire",
            Self::Closing { .. } => "node-closing",
            Self::NotClosing { .. } => "node-not-closing",
            Self::LastMember { .. } => "last-member",
            Self::AddressInUse { .. } => "address-in-use",
            Self::MembersFull { .. } => "members-full",
            Self::NodeTooOld { .. } => "node-too-old",
            Self::Length { .. } => "length",
            Self::Characters { .. } => "characters",
            Self::Count { .. } => "count",
            Self::Range { .. } => "range",
            Self::StateDown => "state-down",
            Self::NoField => "no-field",
            Self::PartitionsExist { .. } => "partitions-exist",
            Self::NoPartitions => "no-partitions",
            Self::TooFewNodes { .. } => "too-few-nodes",
            Self::PartitionCount { .. } => "partition-count",
            Self::RowNode { .. } => "row-node",
            Self::RowLength { .. } => "row-length",
            Self::PlanStale { .. } => "plan-stale",
            Self::CustomVersion { .. } => "custom-version",
            Self::CustomUnknown { .. } => "custom-unknown",
            Self::CustomFull { .. } => "custom-full",
            Self::Move(refused) => refused.code(),
        }
    }

    /// Whether the same intent may succeed later without anybody changing it: the caller reads the
    /// state again, or waits.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        if let Self::Move(refused) = self {
            return refused.is_retryable();
        }
        matches!(
            self,
            Self::NotFormed
                | Self::OfficeTerm { .. }
                | Self::OfficePast { .. }
                | Self::PreviousSession { .. }
                | Self::SessionOpen { .. }
                | Self::Closing { .. }
                | Self::NoPartitions
                | Self::TooFewNodes { .. }
                | Self::RowNode { .. }
                | Self::PlanStale { .. }
        )
    }
}
