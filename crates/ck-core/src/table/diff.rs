//! What changes between two tables, by node id: their node lists need not be the same.

use alloc::vec::Vec;

use crate::{NodeId, PartitionId, Row, Table};

/// Two tables that cannot be compared row by row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// They have different partition counts.
    #[error("a table of {before} partitions cannot be compared with one of {after}")]
    Partitions {
        /// Partitions of the earlier table.
        before: u32,
        /// Partitions of the later table.
        after: u32,
    },
}

/// One row that is not the same in both tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The partition.
    pub partition: PartitionId,
    /// Nodes that hold a copy only afterwards, in the order of the later row.
    pub added: Vec<NodeId>,
    /// Nodes that held a copy only before, in the order of the earlier row.
    pub removed: Vec<NodeId>,
    /// The primary before; `None` when the row was empty.
    pub primary_before: Option<NodeId>,
    /// The primary afterwards; `None` when the row is empty.
    pub primary_after: Option<NodeId>,
}

impl RowChange {
    /// Whether a primary that existed is not the primary any more.
    #[must_use]
    pub fn primary_changed(&self) -> bool {
        self.primary_before.is_some() && self.primary_before != self.primary_after
    }

    /// Whether the same nodes hold the partition, in another order of preference.
    #[must_use]
    pub fn is_reorder(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Everything that differs between two tables, in order of partition number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableDiff {
    /// The rows that differ.
    pub rows: Vec<RowChange>,
    /// (partition, node) pairs that are only in the later table: what has to be copied.
    pub copies_added: u64,
    /// (partition, node) pairs that are only in the earlier table: what may be dropped.
    pub copies_removed: u64,
    /// Partitions that had a primary and have another one, or none.
    pub primaries_changed: u64,
}

impl TableDiff {
    /// Whether both tables say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Totals of a [`TableDiff`], without the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Movement {
    pub(crate) copies_added: u64,
    pub(crate) copies_removed: u64,
    pub(crate) primaries_changed: u64,
}

impl Table {
    /// What has to happen for this table to become `after`.
    ///
    /// # Errors
    /// [`DiffError`] when the partition counts differ.
    ///
    /// ```
    /// use ck_core::{NodeId, Table};
    /// let id = |name| NodeId::new(name);
    /// let before = Table::from_named_rows(2, [[id("a")?, id("b")?], [id("b")?, id("a")?]])?;
    /// let after = Table::from_named_rows(2, [[id("a")?, id("c")?], [id("b")?, id("a")?]])?;
    /// let diff = before.diff(&after)?;
    /// assert_eq!((diff.copies_added, diff.copies_removed, diff.primaries_changed), (1, 1, 0));
    /// assert_eq!(diff.rows[0].added, [id("c")?]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn diff(&self, after: &Self) -> Result<TableDiff, DiffError> {
        let mut diff = TableDiff::default();
        let movement = self.compare(after, |old, new| diff.rows.push(change(old, new)))?;
        diff.copies_added = movement.copies_added;
        diff.copies_removed = movement.copies_removed;
        diff.primaries_changed = movement.primaries_changed;
        Ok(diff)
    }

    /// Counts the differences without building them; one linear pass.
    pub(crate) fn movement(&self, after: &Self) -> Result<Movement, DiffError> {
        self.compare(after, |_, _| ())
    }

    fn compare<'t>(
        &'t self,
        after: &'t Self,
        mut differs: impl FnMut(Row<'t>, Row<'t>),
    ) -> Result<Movement, DiffError> {
        if self.partitions() != after.partitions() {
            let (before, after) = (self.partitions(), after.partitions());
            return Err(DiffError::Partitions { before, after });
        }
        // The earlier table's index of each node of the later one; absent nodes match nothing.
        let known: Vec<Option<u32>> = after
            .nodes()
            .iter()
            .map(|id| self.index_of(id.as_str()))
            .collect();
        let translate = |index: &u32| known[*index as usize];
        let mut total = Movement::default();
        for (old, new) in self.rows().zip(after.rows()) {
            let (was, is) = (old.indexes(), new.indexes());
            if was.len() == is.len() && is.iter().map(translate).eq(was.iter().copied().map(Some)) {
                continue;
            }
            let kept = is
                .iter()
                .filter_map(translate)
                .filter(|i| was.contains(i))
                .count();
            total.copies_added += (is.len() - kept) as u64;
            total.copies_removed += (was.len() - kept) as u64;
            let primary = is.first().and_then(translate);
            if !was.is_empty() && primary != was.first().copied() {
                total.primaries_changed += 1;
            }
            differs(old, new);
        }
        Ok(total)
    }
}

fn change(old: Row<'_>, new: Row<'_>) -> RowChange {
    let only = |a: Row<'_>, b: Row<'_>| {
        a.nodes()
            .filter(|id| !b.contains(id.as_str()))
            .cloned()
            .collect::<Vec<_>>()
    };
    RowChange {
        partition: new.partition(),
        added: only(new, old),
        removed: only(old, new),
        primary_before: old.primary().cloned(),
        primary_after: new.primary().cloned(),
    }
}
