use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use ck_control::MemberNumber;
use openraft::ServerState;

use super::types::Metrics;

/// What a member does in consensus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// It runs no consensus yet.
    #[default]
    None,
    /// It receives the log and does not vote.
    Learner,
    /// It votes.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

impl Role {
    /// The word used in JSON, as clusters of the Go library print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Learner => "Learner",
            Self::Follower => "Follower",
            Self::Candidate => "Candidate",
            Self::Leader => "Leader",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Entries a log may be behind the leader's and still count as caught up.
const CAUGHT_UP_WITHIN: u64 = 100;

/// Where consensus is, on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SubstrateStatus {
    pub(crate) role: Role,
    pub(crate) term: u64,
    pub(crate) leader: Option<MemberNumber>,
    pub(crate) last_log_index: u64,
    pub(crate) applied_index: u64,
    /// Log entries up to here are in a snapshot.
    pub(crate) snapshot_index: u64,
    pub(crate) voters: Arc<BTreeSet<MemberNumber>>,
    pub(crate) members: Arc<BTreeSet<MemberNumber>>,
    /// Whether a change of the voters is half done.
    pub(crate) joint: bool,
    /// How far each other member's log is, on the leader.
    pub(crate) matched: Arc<BTreeMap<MemberNumber, u64>>,
    /// Whether this node leads, and no majority of the voters has answered it for some elections.
    pub(crate) majority_silent: bool,
    /// Why the core no longer runs.
    pub(crate) failed: Option<String>,
}

impl SubstrateStatus {
    /// Whether a member's log is as good as the leader's, as far as the leader knows.
    pub(crate) fn is_caught_up(&self, member: MemberNumber) -> bool {
        let matched = self.matched.get(&member).copied().unwrap_or(0);
        matched > 0 && matched + CAUGHT_UP_WITHIN >= self.last_log_index
    }

    pub(crate) fn leads(&self) -> bool {
        self.role == Role::Leader
    }
}

impl SubstrateStatus {
    /// What the core says of itself; a majority that is not heard of for `silent_after_ms` is silent.
    ///
    /// The core speaks up many times a second, mostly to say that it was heard again. What is as it
    /// was in `last` is shared with it, so that this costs next to nothing with a thousand members.
    pub(super) fn read(metrics: &Metrics, silent_after_ms: u64, last: &Self) -> Self {
        let membership = metrics.membership_config.membership();
        let voters = || membership.voter_ids().map(MemberNumber);
        let members = || membership.nodes().map(|(member, _)| MemberNumber(*member));
        let matched = || {
            let known = metrics.replication.iter().flatten();
            known.map(|(member, log)| (MemberNumber(*member), log.map_or(0, |log| log.index)))
        };
        let known = last.matched.iter();
        let known = known.map(|(member, index)| (*member, *index));
        Self {
            role: match metrics.state {
                ServerState::Learner => Role::Learner,
                ServerState::Follower => Role::Follower,
                ServerState::Candidate => Role::Candidate,
                ServerState::Leader => Role::Leader,
                ServerState::Shutdown => Role::None,
            },
            term: metrics.current_term,
            leader: metrics.current_leader.map(MemberNumber),
            last_log_index: metrics.last_log_index.unwrap_or(0),
            applied_index: metrics.last_applied.map_or(0, |log| log.index),
            snapshot_index: metrics.snapshot.map_or(0, |log| log.index),
            voters: if last.voters.iter().copied().eq(voters()) {
                Arc::clone(&last.voters)
            } else {
                Arc::new(voters().collect())
            },
            members: if last.members.iter().copied().eq(members()) {
                Arc::clone(&last.members)
            } else {
                Arc::new(members().collect())
            },
            joint: membership.get_joint_config().len() > 1,
            matched: if known.eq(matched()) {
                Arc::clone(&last.matched)
            } else {
                Arc::new(matched().collect())
            },
            majority_silent: metrics.state == ServerState::Leader
                && membership.voter_ids().nth(1).is_some()
                && metrics
                    .millis_since_quorum_ack
                    .is_some_and(|silent| silent > silent_after_ms),
            failed: metrics
                .running_state
                .as_ref()
                .err()
                .map(ToString::to_string),
        }
    }
}
