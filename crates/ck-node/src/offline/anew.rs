use std::collections::BTreeSet;

use ck_control::{ClusterId, Incarnation, MemberNumber, NewIncarnation, Position, State};
use ck_core::{NodeId, PartitionId};

use super::{OfflineError, known};
use crate::codec::CodecError;
use crate::consensus::begun;
use crate::incarnation::drawn;
use crate::published::now_ms;
use crate::store::Replacement;

/// Written down as having asked.
const ACTOR: &str = "operator";

/// A new incarnation, as it would begin.
#[derive(Debug, Clone)]
pub struct Anew {
    /// The node that begins it.
    pub node: NodeId,
    /// The cluster's id from then on.
    pub cluster: ClusterId,
    /// Its incarnation from then on.
    pub incarnation: Incarnation,
    /// The state it begins with.
    pub state: State,
    term: u64,
    member: MemberNumber,
}

impl Anew {
    pub(super) fn new(
        before: &State,
        position: Position,
        term: u64,
        (node, member): (NodeId, MemberNumber),
        asked: Asked<'_>,
    ) -> Result<Self, OfflineError> {
        let at_ms = now_ms();
        let least = before.incarnation().next();
        let wanted = asked.incarnation.unwrap_or_default();
        let incarnation = drawn(at_ms, member, least.max(wanted));
        let gone = match asked.keep {
            None => BTreeSet::new(),
            Some(keep) => {
                for kept in keep {
                    known(before, kept)?;
                }
                let stays = |name: &NodeId| *name == node || keep.contains(name);
                let members = before.members().filter(|member| !stays(&member.node));
                members.map(|member| member.number).collect()
            }
        };
        let cluster = ClusterId(uuid::Uuid::new_v4().as_u128());
        let state = before.begin_anew(&NewIncarnation {
            cluster,
            incarnation,
            position,
            at_ms,
            actor: ACTOR.to_owned(),
            gone,
            new_stores: asked.new_stores,
            doubts_copies: asked.doubts_copies,
        })?;
        Ok(Self {
            node,
            cluster,
            incarnation,
            state,
            term,
            member,
        })
    }

    /// Partitions of which no copy stays.
    #[must_use]
    pub fn lost(&self) -> Vec<PartitionId> {
        self.partitions(|in_sync, copies| in_sync == 0 && copies == 0)
    }

    /// Partitions of which copies stay, and none that is known to have every write.
    #[must_use]
    pub fn out_of_sync(&self) -> Vec<PartitionId> {
        self.partitions(|in_sync, copies| in_sync == 0 && copies > 0)
    }

    fn partitions(&self, which: impl Fn(usize, usize) -> bool) -> Vec<PartitionId> {
        let Some(table) = self.state.table() else {
            return Vec::new();
        };
        let rows = table.rows().zip(self.state.partitions());
        rows.filter(|(row, (_, control))| which(control.in_sync.len(), row.indexes().len()))
            .map(|(row, _)| row.partition())
            .collect()
    }

    pub(super) fn log(&self) -> Result<Replacement, CodecError> {
        let address = self.state.member(self.member);
        let address = address.map_or("", |member| &member.peer_address);
        begun(&self.state, self.term, self.member, address)
    }
}

/// What is asked of a new incarnation.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// Who stays, beside the node that begins; absent: everybody.
    pub(super) keep: Option<&'a [NodeId]>,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) new_stores: bool,
    pub(super) doubts_copies: bool,
}
