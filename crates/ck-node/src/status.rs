//! A node's account of itself.

use std::time::Duration;

use ck_control::{MemberNumber, SessionId};
use ck_core::NodeId;

pub use crate::consensus::Role;
pub use crate::shared::Phase;
use crate::shared::Shared;

/// Where a node is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Its name for people.
    pub display_name: String,
    /// The name of its cluster, or of the one it looks for.
    pub cluster_name: String,
    /// How far it is in its life.
    pub phase: Phase,
    /// Its member number, once it has one.
    pub member: Option<MemberNumber>,
    /// Its open session.
    pub session: Option<SessionId>,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Where its HTTP surface is; empty when it has none.
    pub http_address: String,
    /// What it does in consensus.
    pub role: Role,
    /// The consensus term.
    pub term: u64,
    /// Index of the last entry in its log.
    pub last_log_index: u64,
    /// Term of the last entry in its log.
    pub last_log_term: u64,
    /// Index of the last entry it knows to be committed.
    pub commit_index: u64,
    /// Index of the last entry it has applied.
    pub applied_index: u64,
    /// Index of the last entry in its snapshot.
    pub snapshot_index: u64,
    /// The leader, when one is known.
    pub leader: Option<NodeId>,
    /// When this node first saw that leader in that term, in milliseconds since 1970.
    pub elected_at_ms: Option<u64>,
    /// Members that vote.
    pub voters: Vec<MemberNumber>,
    /// Whether a change of the voters is half done; until it is done, both the former and the
    /// new voters are needed for a majority.
    pub joint: bool,
    /// Whether this node leads and no majority of the voters has answered it of late: nothing can
    /// be committed.
    pub majority_silent: bool,
    /// Other members that receive the log.
    pub peers: u64,
    /// When it applied an entry last, in milliseconds since 1970.
    pub applied_at_ms: Option<u64>,
    /// When it started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// How long it has run.
    pub uptime: Duration,
}

pub(crate) fn status(node: &Shared) -> NodeStatus {
    let published = node.publisher.current();
    let state = &published.state;
    let consensus = node.status();
    let election = *node.election.lock();
    let name = |member: MemberNumber| state.member(member).map(|found| found.node.clone());
    let applied_at_ms = node.publisher.applied_at_ms();
    let (commit_index, last_log_term) = node
        .consensus
        .get()
        .map_or((0, 0), |consensus| consensus.progress());
    NodeStatus {
        node: node.config.node.clone(),
        display_name: node.config.display_name.clone(),
        cluster_name: node.config.cluster_name.clone(),
        phase: node.phase.borrow().clone(),
        member: node.member(),
        session: node
            .session()
            .filter(|session| state.session(*session).is_some()),
        peer_address: node.peer_address(),
        http_address: node.config.http_address.clone(),
        role: consensus.role,
        term: consensus.term,
        last_log_index: consensus.last_log_index,
        last_log_term,
        commit_index: commit_index.max(consensus.applied_index),
        applied_index: consensus.applied_index,
        snapshot_index: consensus.snapshot_index,
        leader: consensus.leader.and_then(name),
        elected_at_ms: (election.leader.is_some() && election.leader == consensus.leader)
            .then_some(election.seen_at_ms),
        peers: consensus
            .members
            .iter()
            .filter(|member| Some(**member) != node.member())
            .count() as u64,
        joint: consensus.joint,
        majority_silent: consensus.majority_silent,
        voters: consensus.voters.iter().copied().collect(),
        applied_at_ms: (applied_at_ms > 0).then_some(applied_at_ms),
        started_at_ms: node.started_at_ms,
        uptime: node.started.elapsed(),
    }
}
