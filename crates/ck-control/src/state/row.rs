//! Rows as member numbers: the table's, and the plan's.

use alloc::vec::Vec;

use ck_core::{PartitionId, Table};

use crate::MemberNumber;
use crate::state::State;

impl State {
    /// The members of a partition's row, primary first; empty when there is no such partition.
    #[must_use]
    pub fn row_members(&self, partition: PartitionId) -> Vec<MemberNumber> {
        self.members_of(self.table.as_deref(), partition)
    }

    /// The members of the row that the plan under way has for a partition; empty without a plan.
    #[must_use]
    pub fn plan_row(&self, partition: PartitionId) -> Vec<MemberNumber> {
        let target = self.rebalance.as_ref().map(|plan| &*plan.target);
        self.members_of(target, partition)
    }

    fn members_of(&self, table: Option<&Table>, partition: PartitionId) -> Vec<MemberNumber> {
        let row = table.and_then(|table| table.row(partition));
        let nodes = row.into_iter().flat_map(|row| row.nodes());
        nodes
            .filter_map(|node| self.members.number_of(node.as_str()))
            .collect()
    }

    /// Whether a partition has the copies and the primary that the plan under way has for it. The
    /// order of the copies behind the primary is of no account.
    #[must_use]
    pub fn plan_reached(&self, partition: PartitionId) -> bool {
        let (mut row, mut wanted) = (self.row_members(partition), self.plan_row(partition));
        let first = row.first() == wanted.first();
        row.sort_unstable();
        wanted.sort_unstable();
        first && row == wanted
    }
}
