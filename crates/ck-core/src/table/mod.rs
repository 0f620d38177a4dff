//! The compact map partition → ordered replicas, primary first.
//!
//! Rows only: 4 bytes a copy, so 12 bytes a partition at replication factor 3. Epochs, in-sync
//! sets and transfers belong to the control plane and are kept beside it.

mod diff;
mod row;
mod stats;
mod text;

pub use diff::{DiffError, RowChange, TableDiff};
pub use row::Row;
pub use stats::{DomainStats, NodeStats, Stats};
pub use text::TableText;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::spec::{PARTITIONS_MAX, REPLICATION_FACTOR_MAX};
use crate::{KeyHash, NodeId, PartitionId};

/// Filler behind the last copy of a row shorter than the table's width.
const VACANT: u32 = u32::MAX;

/// Partition → ordered replicas, primary first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TableFields", into = "TableFields")]
pub struct Table {
    /// Ids that rows refer to, sorted. A node with no copy may be listed.
    nodes: Vec<NodeId>,
    width: u8,
    /// Number of rows. Kept, since the division for it would cost as much as a look-up.
    partitions: u32,
    /// `width` indexes a partition; a short row is filled up with [`VACANT`].
    cells: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFields {
    nodes: Vec<NodeId>,
    width: u8,
    cells: Vec<u32>,
}

impl TryFrom<TableFields> for Table {
    type Error = TableError;
    fn try_from(fields: TableFields) -> Result<Self, TableError> {
        Self::from_cells(fields.nodes, fields.width, fields.cells)
    }
}

impl From<Table> for TableFields {
    fn from(table: Table) -> Self {
        Self {
            nodes: table.nodes,
            width: table.width,
            cells: table.cells,
        }
    }
}

/// Why rows do not make a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The width is not 1 to 16.
    #[error("a row width of {got} is out of range; use 1 to {REPLICATION_FACTOR_MAX}")]
    Width {
        /// The width as given.
        got: u8,
    },
    /// No rows, more than 2^24, or a last row cut short.
    #[error(
        "{cells} cells make no table of width {width}; rows must be whole, 1 to {PARTITIONS_MAX}"
    )]
    Cells {
        /// Number of cells.
        cells: usize,
        /// The width.
        width: u8,
    },
    /// The node list is not sorted, or holds an id twice.
    #[error("the table's node list is out of order at {id:?}; it must be sorted, no id twice")]
    Nodes {
        /// The id that is out of order.
        id: NodeId,
    },
    /// A cell refers to no node, or follows a vacant one.
    #[error("{partition}: cell {got} refers to no node of the table, which has {nodes}")]
    Cell {
        /// The row.
        partition: PartitionId,
        /// The index as given.
        got: u32,
        /// Number of nodes.
        nodes: usize,
    },
    /// A node stands twice in a row.
    #[error("{partition}: node {id:?} stands twice in the row")]
    Twice {
        /// The row.
        partition: PartitionId,
        /// The node.
        id: NodeId,
    },
    /// A row is longer than the width.
    #[error("{partition}: a row of {got} copies is longer than the width, {width}")]
    RowTooLong {
        /// The row.
        partition: PartitionId,
        /// Its length.
        got: usize,
        /// The width.
        width: u8,
    },
}

/// Whether a row has no vacant cell and is sound: the usual case, seen at a glance.
#[inline]
fn is_full(row: &[u32], nodes: usize) -> bool {
    let twice = |at: usize| row[..at].contains(&row[at]);
    row.iter().all(|cell| (*cell as usize) < nodes) && !(1..row.len()).any(twice)
}

fn check_length(number: usize, got: usize, width: u8) -> Result<(), TableError> {
    if got <= usize::from(width) {
        return Ok(());
    }
    let partition = PartitionId(u32::try_from(number).unwrap_or(u32::MAX));
    Err(TableError::RowTooLong {
        partition,
        got,
        width,
    })
}

impl Table {
    /// A table of `width` cells a row over `nodes`, which must be sorted.
    ///
    /// Each row's copies come first, primary before the others; `u32::MAX` fills it up.
    ///
    /// # Errors
    /// [`TableError`] names the first node, row or cell that is wrong.
    pub fn from_cells(nodes: Vec<NodeId>, width: u8, cells: Vec<u32>) -> Result<Self, TableError> {
        if width == 0 || width > REPLICATION_FACTOR_MAX {
            return Err(TableError::Width { got: width });
        }
        let rows = cells.len() / usize::from(width);
        let partitions = u32::try_from(rows).unwrap_or(u32::MAX);
        let is_whole = rows * usize::from(width) == cells.len();
        if partitions == 0 || partitions > PARTITIONS_MAX || !is_whole {
            return Err(TableError::Cells {
                cells: cells.len(),
                width,
            });
        }
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(TableError::Nodes {
                id: pair[1].clone(),
            });
        }
        let table = Self {
            nodes,
            width,
            partitions,
            cells,
        };
        table.check_rows()?;
        Ok(table)
    }

    /// A table from rows of node indexes, `nodes` sorted, in order of partition number.
    ///
    /// # Errors
    /// As [`Table::from_cells`], and [`TableError::RowTooLong`].
    pub fn from_rows<R: AsRef<[u32]>>(
        nodes: Vec<NodeId>,
        width: u8,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Self, TableError> {
        let mut cells = Vec::new();
        for (number, row) in rows.into_iter().enumerate() {
            let row = row.as_ref();
            check_length(number, row.len(), width)?;
            cells.extend_from_slice(row);
            cells.resize((number + 1) * usize::from(width), VACANT);
        }
        Self::from_cells(nodes, width, cells)
    }

    /// A table from rows of node ids, primary first, in order of partition number.
    ///
    /// # Errors
    /// As [`Table::from_rows`].
    pub fn from_named_rows<R: AsRef<[NodeId]>>(
        width: u8,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Self, TableError> {
        // Numbered in order of appearance first, then renumbered in order of id.
        let mut numbers: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut cells = Vec::new();
        for (number, row) in rows.into_iter().enumerate() {
            let row = row.as_ref();
            check_length(number, row.len(), width)?;
            for id in row {
                let next = numbers.len() as u32;
                cells.push(*numbers.entry(id.clone()).or_insert(next));
            }
            cells.resize((number + 1) * usize::from(width), VACANT);
        }
        let mut rank = vec![0; numbers.len()];
        for (at, number) in numbers.values().enumerate() {
            rank[*number as usize] = at as u32;
        }
        for cell in cells.iter_mut().filter(|cell| **cell != VACANT) {
            *cell = rank[*cell as usize];
        }
        Self::from_cells(numbers.into_keys().collect(), width, cells)
    }

    fn check_rows(&self) -> Result<(), TableError> {
        let width = usize::from(self.width);
        for (row, all) in self.rows().zip(self.cells.chunks_exact(width)) {
            if is_full(all, self.nodes.len()) {
                continue;
            }
            let used = row.indexes();
            let stray = all[used.len()..].iter().find(|cell| **cell != VACANT);
            let outside = used.iter().find(|cell| **cell as usize >= self.nodes.len());
            if let Some(got) = stray.or(outside) {
                return Err(TableError::Cell {
                    partition: row.partition(),
                    got: *got,
                    nodes: self.nodes.len(),
                });
            }
            for (at, cell) in used.iter().enumerate() {
                if used[..at].contains(cell) {
                    let id = self.nodes[*cell as usize].clone();
                    return Err(TableError::Twice {
                        partition: row.partition(),
                        id,
                    });
                }
            }
        }
        Ok(())
    }

    /// Number of partitions, at least 1.
    #[must_use]
    #[inline]
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Most copies a row can hold.
    #[must_use]
    pub const fn width(&self) -> u8 {
        self.width
    }

    /// The ids that row indexes refer to, sorted.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Index of a node in [`Table::nodes`].
    #[must_use]
    pub fn index_of(&self, id: &str) -> Option<u32> {
        let at = self
            .nodes
            .binary_search_by(|node| node.as_str().cmp(id))
            .ok()?;
        u32::try_from(at).ok()
    }

    /// All cells, [`Table::width`] a row.
    #[must_use]
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// The row of a partition; `None` when there is no such partition.
    #[must_use]
    #[inline]
    pub fn row(&self, partition: PartitionId) -> Option<Row<'_>> {
        (partition.0 < self.partitions()).then(|| Row::new(self, partition))
    }

    /// The row a key falls into.
    #[must_use]
    #[inline]
    pub fn lookup(&self, hash: KeyHash, key: &[u8]) -> Row<'_> {
        Row::new(self, hash.partition(key, self.partitions()))
    }

    /// Memory the table takes beside its own fields, in bytes, allocator overhead aside.
    ///
    /// The names count once, though ids are shared with whoever else holds them.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        // A shared string keeps two counters before its text.
        let name = |id: &NodeId| size_of::<NodeId>() + 2 * size_of::<usize>() + id.as_str().len();
        self.cells.capacity() * size_of::<u32>() + self.nodes.iter().map(name).sum::<usize>()
    }

    /// All rows, in order of partition number.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> + DoubleEndedIterator {
        (0..self.partitions()).map(|number| Row::new(self, PartitionId(number)))
    }
}

#[cfg(test)]
mod tests;
