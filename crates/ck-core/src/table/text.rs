//! A table as text that reads well in a review: one line a node, one line a partition.

use core::fmt;

use alloc::vec;

use crate::{NodeId, Table};

/// The text form of a table; see [`Table::text`].
#[derive(Debug, Clone, Copy)]
pub struct TableText<'a> {
    table: &'a Table,
}

impl Table {
    /// The table as text made for snapshot tests and reviews.
    ///
    /// A header with what each node holds, then one row a line, primary first. No column is
    /// aligned, so a change of one row changes one line of it and the lines of the nodes concerned.
    /// The form is stable: it changes only with a new major version.
    ///
    /// ```
    /// use ck_core::{NodeId, Table};
    /// let id = |name| NodeId::new(name);
    /// let table = Table::from_named_rows(2, [vec![id("a")?, id("b")?], vec![id("b")?]])?;
    /// assert_eq!(
    ///     table.text().to_string(),
    ///     "partitions: 2\ncopies: 3\nnodes: 2\n  a: 1 copies, 1 primaries\n  \
    ///      b: 2 copies, 1 primaries\nrows:\n  0: a b\n  1: b\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn text(&self) -> TableText<'_> {
        TableText { table: self }
    }
}

impl fmt::Display for TableText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table;
        let mut counts = vec![(0_u32, 0_u32); table.nodes().len()];
        let mut copies = 0_u64;
        for row in table.rows() {
            for (place, index) in row.indexes().iter().enumerate() {
                let count = &mut counts[*index as usize];
                count.0 += 1;
                count.1 += u32::from(place == 0);
                copies += 1;
            }
        }
        writeln!(f, "partitions: {}", table.partitions())?;
        writeln!(f, "copies: {copies}")?;
        writeln!(f, "nodes: {}", table.nodes().len())?;
        for (id, (copies, primaries)) in table.nodes().iter().zip(&counts) {
            writeln!(f, "  {}: {copies} copies, {primaries} primaries", Name(id))?;
        }
        writeln!(f, "rows:")?;
        for row in table.rows() {
            write!(f, "  {}:", row.partition().0)?;
            if row.indexes().is_empty() {
                f.write_str(" -")?;
            }
            for id in row.nodes() {
                write!(f, " {}", Name(id))?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// A node id that cannot be mistaken for two, or for an empty row.
struct Name<'a>(&'a NodeId);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0.as_str();
        if id == "-" || id.contains(|c: char| c.is_whitespace() || matches!(c, '"' | ':' | ',')) {
            write!(f, "{id:?}")
        } else {
            f.write_str(id)
        }
    }
}
