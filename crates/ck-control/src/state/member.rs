use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::{Domain, NodeId, NodeState};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Generation, Home, MemberNumber, Nonce, OfficeId, Position, SessionId, StoreId};

/// A node that belongs to the cluster, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number, given by the log, never reused; its consensus id.
    pub number: MemberNumber,
    /// Its name.
    pub node: NodeId,
    /// Name for people; may be empty.
    pub display_name: String,
    /// Where peers reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it; empty when it has no such surface.
    pub http_address: String,
    /// Its share of the copies relative to the others', 1 or more.
    pub weight: u32,
    /// Its failure domain; absent: a domain of its own.
    pub domain: Option<Domain>,
    /// Service name to address.
    pub services: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What a placement may put on it: active, cordoned or draining.
    pub state: NodeState,
    /// Whether its removal has begun.
    pub closing: bool,
    /// Its store.
    pub store: StoreId,
    /// Where its newest registration found its store.
    pub home: Option<Home>,
    /// Starts of the node so far.
    pub generation: Generation,
    /// The process of its newest registration: another one of the same start has a store from before.
    pub process: Nonce,
    /// Its open session.
    pub session: Option<SessionId>,
    /// Its newest session, open or ended: what its next registration names as the previous one.
    pub last_session: Option<SessionId>,
    /// Whether the newest session was ended by the node's own stop.
    pub stopped_cleanly: bool,
    /// Whether the newest registration declared its acknowledgements durable.
    pub durable: bool,
    /// The highest command version it understands.
    pub command_version: u16,
    /// When it joined, by the proposer's wall clock, in milliseconds since 1970.
    pub joined_at_ms: u64,
    /// When its newest registration was proposed.
    pub registered_at_ms: u64,
    /// When its newest ended session ended; absent when none has.
    pub last_ended_at_ms: Option<u64>,
}

/// A session that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The session: the position of its registration.
    pub id: SessionId,
    /// Whose it is.
    pub member: MemberNumber,
    /// The start of the node it belongs to.
    pub generation: Generation,
    /// The process it belongs to.
    pub process: Nonce,
    /// The last position at which something was taken from it without its consent; a lease counts
    /// only while the node has applied it. At first the registration's own.
    pub floor: Position,
    /// Whether its member's removal has begun; it is chosen for nothing any more.
    pub closing: bool,
    /// When it was opened, by the proposer's wall clock, in milliseconds since 1970.
    pub opened_at_ms: u64,
}

/// The process that leads, as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Office {
    /// The office: the position of its entry.
    pub id: OfficeId,
    /// The leader.
    pub member: MemberNumber,
    /// Drawn by its process at its start.
    pub nonce: Nonce,
    /// The term it leads in.
    pub term: u64,
    /// When it was taken, by the proposer's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Members in order of number, found by number or by name.
///
/// Only the members themselves are serialised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    by_number: BTreeMap<MemberNumber, Arc<Member>>,
    by_node: BTreeMap<NodeId, MemberNumber>,
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Member> + DoubleEndedIterator {
        self.by_number.values().map(|member| &**member)
    }

    pub(crate) fn member(&self, number: MemberNumber) -> Option<&Member> {
        self.by_number.get(&number).map(|member| &**member)
    }

    pub(crate) fn by_node(&self, node: &str) -> Option<&Member> {
        self.member(*self.by_node.get(node)?)
    }

    pub(crate) fn number_of(&self, node: &str) -> Option<MemberNumber> {
        self.by_node.get(node).copied()
    }

    /// Adds a member, or puts it in the place of the one with its number, whose name it keeps.
    pub(crate) fn put(&mut self, member: Member) {
        self.by_node.insert(member.node.clone(), member.number);
        self.by_number.insert(member.number, Arc::new(member));
    }

    pub(crate) fn member_mut(&mut self, number: MemberNumber) -> Option<&mut Member> {
        self.by_number.get_mut(&number).map(Arc::make_mut)
    }

    pub(crate) fn remove(&mut self, number: MemberNumber) -> Option<Arc<Member>> {
        let member = self.by_number.remove(&number)?;
        self.by_node.remove(member.node.as_str());
        Some(member)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Self::default();
        for member in Vec::<Member>::deserialize(deserializer)? {
            if members.by_number.contains_key(&member.number)
                || members.by_node.contains_key(&member.node)
            {
                let (number, node) = (member.number, member.node);
                return Err(D::Error::custom(alloc::format!(
                    "member {number}, {node:?}, appears twice"
                )));
            }
            members.put(member);
        }
        Ok(members)
    }
}
