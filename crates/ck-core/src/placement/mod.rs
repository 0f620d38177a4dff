//! Who holds which partition: the trait every strategy implements, and the strategies.

mod balanced;
mod bound;
mod members;
mod plan;
mod rendezvous;
mod ring;
mod room;
mod select;
mod share;
mod targets;
mod verify;

pub use balanced::Balanced;
pub use plan::{Certificate, Plan};
pub use rendezvous::Rendezvous;
pub use ring::Ring;
pub use verify::VerifyError;

pub(crate) use members::{Members, Needs, held};
use plan::Proof;

use crate::{Spec, Table, Topology};

/// A strategy: who holds which partition.
///
/// # Contract
/// - **Pure.** The result depends on the three arguments alone: no clock, no randomness, no
///   state kept between calls. The same arguments give the same bytes on every machine.
/// - **Order does not matter.** A [`Topology`] is sorted, so nothing may depend on the order in
///   which nodes were listed; nor on the order of [`Table::nodes`] beyond the ids in it.
/// - **Valid.** The table has as many rows as the spec asks for; a row holds distinct nodes of the
///   topology, at most as many as the replication factor. Where the usable nodes allow it, every row
///   holds exactly that many, in at least as many failure domains as the spread asks for.
/// - **States.** Nothing is placed on a node that is draining or down; a cordoned node holds no
///   partition that it did not hold in `previous`.
/// - **Degraded, not refused.** With fewer usable nodes than the replication factor, or fewer
///   domains than the spread, rows are as long and as spread as the nodes allow, and the plan is
///   marked. Only when nothing can be placed at all is it an error.
/// - `previous` may name nodes that are gone and may have another replication factor.
/// - No panic, whatever the arguments.
///
/// [`Plan::new`] fills in everything but the table. The [`conformance`](crate::conformance) suite
/// checks a strategy against this contract.
pub trait Placement {
    /// Places `spec` on `topology`, starting from `previous` where there is one.
    ///
    /// # Errors
    /// [`PlacementError`] when nothing can be placed, or `previous` is not about these partitions.
    fn place(
        &self,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Plan, PlacementError>;
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// No node can hold a copy.
    #[error(
        "none of the {nodes} nodes can hold a copy; add an active node, or uncordon one that is there"
    )]
    NoUsableNode {
        /// Nodes in the topology, usable or not.
        nodes: usize,
    },
    /// The caps of all nodes leave no room for one copy of every partition.
    #[error(
        "max_copies leave room for {room} copies, but there are {partitions} partitions; \
         raise it on some nodes, or add nodes"
    )]
    Room {
        /// Copies that all usable nodes may hold together.
        room: u64,
        /// Partitions of the spec.
        partitions: u32,
    },
    /// The previous table has another number of partitions.
    #[error(
        "the previous table has {previous} partitions, but {spec} are asked for; \
         a plan cannot change the number of partitions"
    )]
    Partitions {
        /// Partitions of the previous table.
        previous: u32,
        /// Partitions of the spec.
        spec: u32,
    },
}

/// Numbers the usable nodes, after the checks that are the same for every strategy.
fn members<'a>(
    topology: &'a Topology,
    spec: &Spec,
    previous: Option<&Table>,
) -> Result<Members<'a>, PlacementError> {
    if let Some(table) = previous
        && table.partitions() != spec.partitions()
    {
        let (previous, spec) = (table.partitions(), spec.partitions());
        return Err(PlacementError::Partitions { previous, spec });
    }
    let members = Members::new(topology, spec, previous);
    if members.list.is_empty() {
        return Err(PlacementError::NoUsableNode {
            nodes: topology.nodes().len(),
        });
    }
    if members.limit.copies == 0 {
        return Err(PlacementError::Room {
            room: members.list.iter().map(|m| u64::from(m.cap)).sum(),
            partitions: spec.partitions(),
        });
    }
    Ok(members)
}
