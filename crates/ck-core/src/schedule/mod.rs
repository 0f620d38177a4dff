//! The rounds of a migration: which copy is made when and from where, and what is dropped after it.
//!
//! A schedule has the fewest rounds there can be under separate limits of incoming and outgoing
//! transfers a node: the busiest node sets it, on either side, and edge colouring reaches it. Copies
//! are added before others are dropped, so that no row ever has fewer copies than it had or is to
//! have, whichever is less, nor touches fewer failure domains.

mod color;
mod rows;
mod sources;
#[cfg(test)]
mod tests;
mod verify;

pub use verify::ScheduleVerifyError;

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::{NodeId, NodeState, PartitionId, Spec, Table, Topology};
use rows::Crew;

/// Transfers a node may take part in at once, incoming and outgoing counted apart.
///
/// Fewest rounds under a limit on their *sum* is NP-hard, and not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Copies a node receives in one round. Default 1.
    pub incoming: NonZeroU32,
    /// Copies a node sends in one round. Default 1.
    pub outgoing: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            incoming: NonZeroU32::MIN,
            outgoing: NonZeroU32::MIN,
        }
    }
}

/// A change from one table to another.
#[derive(Debug, Clone, Copy)]
pub struct Migration<'a> {
    /// The nodes. Those that are absent from it, or down, hold nothing that can be read.
    pub topology: &'a Topology,
    /// What rows have to hold; its spread is kept to during the migration.
    pub spec: &'a Spec,
    /// The table now.
    pub previous: &'a Table,
    /// The table to be reached.
    pub target: &'a Table,
    /// Transfers at once.
    pub limits: Limits,
    /// Copies that exist but are not in sync, sorted: no source, and none that counts.
    pub stale: &'a [(PartitionId, NodeId)],
}

/// One copy to be made. Nodes are indexes into [`Schedule::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transfer {
    /// In which round, from 1.
    pub round: u32,
    /// What is copied.
    pub partition: PartitionId,
    /// The live copy that is read.
    pub source: u32,
    /// The node that receives it.
    pub target: u32,
}

/// A change of primary, after the arrivals of its round. Nodes are indexes into [`Schedule::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handoff {
    /// After which round; 0 is before the first transfer.
    pub round: u32,
    /// Whose primary changes.
    pub partition: PartitionId,
    /// The primary before; `None` when it is not alive.
    pub from: Option<u32>,
    /// The primary afterwards, which holds a live copy.
    pub to: u32,
}

/// A copy that is dropped, after the handoffs of its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// After which round; 0 is before the first transfer.
    pub round: u32,
    /// Whose copy it is.
    pub partition: PartitionId,
    /// The node that drops it, an index into [`Schedule::nodes`].
    pub node: u32,
}

/// Why there cannot be fewer rounds. Nodes are indexes into [`Schedule::nodes`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// This node receives that much.
    Incoming(u32),
    /// These nodes hold the only live copies of what has to be copied from them.
    Outgoing(Vec<u32>),
}

/// The steps of a migration, in the fewest rounds. In each round its transfers run; at their end
/// come its handoffs, and after those its removals. Round 0 has no transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// Every node of either table, sorted.
    pub nodes: Vec<NodeId>,
    /// Rounds in which something is copied.
    pub rounds: u32,
    /// Copies to be made, sorted.
    pub transfers: Vec<Transfer>,
    /// Changes of primaries, sorted.
    pub handoffs: Vec<Handoff>,
    /// Copies to be dropped, sorted. Those of nodes that are not alive are not listed.
    pub removals: Vec<Removal>,
    /// Partitions without a live copy: there is nothing to copy, and no step is planned for them.
    pub lost: Vec<PartitionId>,
    /// Why there cannot be fewer rounds.
    pub bound: Bound,
}

/// Why there is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The tables have different partition counts.
    #[error("a table of {previous} partitions cannot migrate to one of {target}")]
    Partitions {
        /// Partitions of the table now.
        previous: u32,
        /// Partitions of the table to be reached.
        target: u32,
    },
}

impl Migration<'_> {
    /// Plans the migration in the fewest rounds. The same arguments give the same schedule.
    ///
    /// # Errors
    /// [`ScheduleError`] when the tables are not about the same partitions.
    ///
    /// ```
    /// use ck_core::schedule::{Limits, Migration};
    /// use ck_core::{Balanced, Node, NodeId, Placement, Spec, Topology};
    /// let nodes = |count| (0..count).map(|n| Node::new(NodeId::new(&format!("n{n}")).unwrap()));
    /// let (three, four) = (Topology::new(nodes(3))?, Topology::new(nodes(4))?);
    /// let spec = Spec::new(64, 2, 1)?;
    /// let before = Balanced::new().place(&three, &spec, None)?.table;
    /// let after = Balanced::new().place(&four, &spec, Some(&before))?.table;
    /// let migration = Migration {
    ///     topology: &four,
    ///     spec: &spec,
    ///     previous: &before,
    ///     target: &after,
    ///     limits: Limits::default(),
    ///     stale: &[],
    /// };
    /// let schedule = migration.schedule()?;
    /// // The newcomer receives all 32 of its copies, one at a time.
    /// assert_eq!((schedule.transfers.len(), schedule.rounds), (32, 32));
    /// schedule.verify(&migration)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schedule(&self) -> Result<Schedule, ScheduleError> {
        let (previous, target) = (self.previous.partitions(), self.target.partitions());
        if previous != target {
            return Err(ScheduleError::Partitions { previous, target });
        }
        let crew = Crew::new(self);
        let wanted = crew.wanted(self);
        let choice = wanted.choose(crew.nodes.len(), self.limits);
        let mut transfers = self.color(&crew, &wanted, &choice);
        let steps = crew.steps(self, &mut transfers);
        transfers.sort_unstable();
        Ok(Schedule {
            nodes: crew.nodes,
            rounds: choice.rounds,
            transfers,
            handoffs: steps.handoffs,
            removals: steps.removals,
            lost: steps.lost,
            bound: choice.bound,
        })
    }

    /// Transfers with their rounds, in order of partition.
    fn color(
        &self,
        crew: &Crew,
        wanted: &sources::Wanted,
        choice: &sources::Choice,
    ) -> Vec<Transfer> {
        let targets: Vec<u32> = wanted.transfers.iter().map(|(_, target)| *target).collect();
        let colors = color::color(
            &choice.sources,
            &targets,
            crew.nodes.len(),
            choice.rounds.max(1),
        );
        let transfer = |at: usize| {
            let (row, target) = wanted.transfers[at];
            Transfer {
                round: colors[at] + 1,
                partition: wanted.partitions[row as usize],
                source: choice.sources[at],
                target,
            }
        };
        (0..targets.len()).map(transfer).collect()
    }

    fn is_live(&self, id: &NodeId) -> bool {
        let node = self.topology.node(id.as_str());
        node.is_some_and(|node| node.state != NodeState::Down)
    }

    fn is_stale(&self, partition: PartitionId, id: &NodeId) -> bool {
        let place = |(p, n): &(PartitionId, NodeId)| (*p, n).cmp(&(partition, id));
        !self.stale.is_empty() && self.stale.binary_search_by(place).is_ok()
    }
}
