//! Rows as member numbers, and tables made from edited rows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ck_core::{NodeId, PartitionId, Row, Table};

use crate::MemberNumber;
use crate::state::member::Members;

/// What fills a row up behind its last copy.
const VACANT: u32 = u32::MAX;

/// Rows to put into a table, by partition.
pub(super) type Edits = BTreeMap<PartitionId, Vec<MemberNumber>>;

/// Member numbers by index of the table's nodes; `None` for a node that is no member.
pub(super) fn numbers(members: &Members, table: &Table) -> Vec<Option<MemberNumber>> {
    table
        .nodes()
        .iter()
        .map(|node| members.number_of(node.as_str()))
        .collect()
}

/// A row's members, primary first; nodes that are no members are left out.
pub(super) fn row_of(numbers: &[Option<MemberNumber>], row: Row<'_>) -> Vec<MemberNumber> {
    row.indexes()
        .iter()
        .filter_map(|index| numbers[*index as usize])
        .collect()
}

/// `row` with `first` in front and the others behind it, as they were.
pub(super) fn fronted(row: &[MemberNumber], first: MemberNumber) -> Vec<MemberNumber> {
    let others = row.iter().copied().filter(|member| *member != first);
    core::iter::once(first).chain(others).collect()
}

/// `table` with some rows replaced, over the nodes that are members.
///
/// The rows that are not replaced must name members only.
pub(super) fn edited(table: &Table, members: &Members, edits: &Edits) -> Table {
    let mut nodes: Vec<&NodeId> = table
        .nodes()
        .iter()
        .chain(
            edits
                .values()
                .flatten()
                .filter_map(|number| Some(&members.member(*number)?.node)),
        )
        .filter(|node| members.number_of(node.as_str()).is_some())
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    let index_of = |node: &NodeId| {
        let at = nodes.binary_search(&node).ok();
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(VACANT)
    };
    let moved: Vec<u32> = table.nodes().iter().map(index_of).collect();
    let longest = edits.values().map(Vec::len).max().unwrap_or(0);
    let width = usize::from(table.width()).max(longest);
    let mut cells = Vec::with_capacity(width * table.partitions() as usize);
    for row in table.rows() {
        match edits.get(&row.partition()) {
            Some(edit) => cells.extend(
                edit.iter()
                    .filter_map(|number| Some(index_of(&members.member(*number)?.node))),
            ),
            None => cells.extend(row.indexes().iter().map(|index| moved[*index as usize])),
        }
        cells.resize((row.partition().index() + 1) * width, VACANT);
    }
    let width = u8::try_from(width).expect("a row has at most 16 copies and one being added");
    let nodes = nodes.into_iter().cloned().collect();
    Table::from_cells(nodes, width, cells).expect("rows of members, none twice, make a table")
}
