//! May a node be stopped now?

use alloc::vec::Vec;

use ck_core::PartitionId;

use crate::state::State;

/// What a stop of one node would do to the copies in sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MayStop {
    /// The partitions that forbid it, in order of number, with why.
    pub blocking: Vec<(PartitionId, StopHazard)>,
}

/// Why a partition forbids a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum StopHazard {
    /// Nobody else that is up has every write: the partition would be unavailable.
    LastCopy,
    /// Fewer copies in sync would be left than planned work may leave.
    MinInSync {
        /// Copies in sync, on nodes that are up, that would be left.
        left: u32,
        /// The least allowed.
        least: u32,
    },
}

impl MayStop {
    /// Whether no partition forbids it.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.blocking.is_empty()
    }
}

impl State {
    /// Whether the copies in sync allow a node to be stopped; `None` when there is no such node.
    ///
    /// A stop has to leave every partition that the node is in sync in with as many copies in sync
    /// as `min_in_sync`, on nodes that are up and not being removed. A node that is down already, or
    /// has no copy in sync, forbids nothing.
    #[must_use]
    pub fn may_stop(&self, node: &str) -> Option<MayStop> {
        let member = self.member_by_node(node)?;
        let mut answer = MayStop::default();
        if member.session.is_none() {
            return Some(answer);
        }
        let number = member.number;
        let least = u32::from(self.config().min_in_sync);
        for (partition, control) in self.partitions() {
            if control.last_known || !control.is_in_sync(number) {
                continue;
            }
            let others = control.in_sync.iter().filter(|one| **one != number);
            let live = others.filter(|one| {
                let member = self.member(**one);
                member.is_some_and(|member| self.is_usable(member))
            });
            let left = u32::try_from(live.count()).unwrap_or(u32::MAX);
            let hazard = match left {
                0 => StopHazard::LastCopy,
                left if left < least => StopHazard::MinInSync { left, least },
                _ => continue,
            };
            answer.blocking.push((partition, hazard));
        }
        Some(answer)
    }
}
