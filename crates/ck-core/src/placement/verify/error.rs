use crate::{NodeId, NodeState, PartitionId};

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The plan's or the previous table has another partition count than the spec.
    #[error("a table of {got} partitions is no plan for {expected}")]
    Partitions {
        /// Partitions of the table.
        got: u32,
        /// Partitions of the spec.
        expected: u32,
    },
    /// A row names a node that the topology does not know.
    #[error("{partition}: node {id:?} is not in the topology")]
    UnknownNode {
        /// The row.
        partition: PartitionId,
        /// The node.
        id: NodeId,
    },
    /// A row is on a node that may not hold it.
    #[error("{partition}: node {id:?} is {state} and may not hold it")]
    State {
        /// The row.
        partition: PartitionId,
        /// The node.
        id: NodeId,
        /// Its state.
        state: NodeState,
    },
    /// A row has another number of copies than the usable nodes allow.
    #[error("{partition}: {got} copies, {expected} are possible")]
    Copies {
        /// The row.
        partition: PartitionId,
        /// Its copies.
        got: usize,
        /// What it should have.
        expected: usize,
    },
    /// A row touches too few failure domains.
    #[error("{partition}: {got} failure domains, {expected} are possible")]
    Spread {
        /// The row.
        partition: PartitionId,
        /// Domains it touches.
        got: usize,
        /// Domains it should touch.
        expected: usize,
    },
    /// A plan that says it is optimal gives a node more or less than its quota of copies.
    #[error("node {id:?} holds {got} copies; its quota is {low} to {high}")]
    Quota {
        /// The node.
        id: NodeId,
        /// What it holds.
        got: u32,
        /// Its exact share rounded down.
        low: u128,
        /// Its exact share rounded up.
        high: u128,
    },
    /// A plan that says it is optimal gives a node more or less than its quota of primaries.
    #[error("node {id:?} has {got} primaries; its quota is {low} to {high}")]
    PrimaryQuota {
        /// The node.
        id: NodeId,
        /// Its primaries.
        got: u32,
        /// Its exact share rounded down.
        low: u128,
        /// Its exact share rounded up.
        high: u128,
    },
    /// A figure of the plan is not what its tables say.
    #[error("{figure} is {got}, but the tables make it {expected}")]
    Figure {
        /// Name of the field.
        figure: &'static str,
        /// What the plan says.
        got: u64,
        /// What it is.
        expected: u64,
    },
    /// The plan says it is optimal, and its certificate does not prove it.
    #[error(
        "the plan moves {moved} copies, but its certificate proves only that {proved} are needed"
    )]
    Unproved {
        /// Copies it moves.
        moved: u64,
        /// What the certificate proves.
        proved: u64,
    },
    /// The certificate does not have one price for each node of the table.
    #[error("the certificate has {got} prices for {expected} nodes")]
    Prices {
        /// Prices given.
        got: usize,
        /// Nodes of the table.
        expected: usize,
    },
}
