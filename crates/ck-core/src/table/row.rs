use crate::table::VACANT;
use crate::{NodeId, PartitionId, Table};

/// One partition's copies, primary first. May be empty when no node could take it.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    partition: PartitionId,
}

impl<'a> Row<'a> {
    #[inline]
    pub(super) const fn new(table: &'a Table, partition: PartitionId) -> Self {
        Self { table, partition }
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Indexes into [`Table::nodes`], primary first.
    #[must_use]
    #[inline]
    pub fn indexes(&self) -> &'a [u32] {
        let width = usize::from(self.table.width);
        let start = self.partition.index() * width;
        let cells = &self.table.cells[start..start + width];
        let used = cells
            .iter()
            .position(|cell| *cell == VACANT)
            .unwrap_or(width);
        &cells[..used]
    }

    /// The node that may write; `None` when the row is empty.
    #[must_use]
    #[inline]
    pub fn primary(&self) -> Option<&'a NodeId> {
        // The first cell alone: a vacant one lies behind the last node.
        let cell = self.table.cells[self.partition.index() * usize::from(self.table.width)];
        self.table.nodes.get(cell as usize)
    }

    /// The other copies, in order of preference.
    pub fn replicas(&self) -> impl ExactSizeIterator<Item = &'a NodeId> + use<'a> {
        let nodes = &self.table.nodes;
        let indexes = self.indexes();
        indexes[indexes.len().min(1)..]
            .iter()
            .map(move |index| &nodes[*index as usize])
    }

    /// All copies, primary first.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &'a NodeId> + use<'a> {
        let nodes = &self.table.nodes;
        self.indexes()
            .iter()
            .map(move |index| &nodes[*index as usize])
    }

    /// Whether a node holds a copy.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.nodes().any(|node| node.as_str() == id)
    }
}

impl core::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ", self.partition)?;
        f.debug_list().entries(self.nodes()).finish()
    }
}
