//! Keys and tables to measure with, the same in every run.

use ck_core::{NodeId, Table};

/// Keys in a round: a power of two, small enough to stay in the cache.
pub const KEYS: usize = 1024;

/// 16-byte keys, as `user:00000001001`.
#[must_use]
pub fn keys() -> Vec<[u8; 16]> {
    (0..KEYS).map(key).collect()
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"user:00000000000";
    let mut rest = number;
    for digit in key.iter_mut().rev().take(11) {
        *digit += u8::try_from(rest % 10).expect("a decimal digit fits a byte");
        rest /= 10;
    }
    key
}

/// Ids `node-000`, `node-001`, …, sorted.
#[must_use]
pub fn node_ids(count: u32) -> Vec<NodeId> {
    let id = |number| NodeId::new(&format!("node-{number:03}"));
    (0..count)
        .map(|number| id(number).expect("the name is short and printable"))
        .collect()
}

/// A table of three copies a partition, dealt out in turn. How it was placed does not matter to
/// how fast it is read.
///
/// # Panics
/// With fewer than three nodes, or a number of partitions no table has.
#[must_use]
pub fn table(partitions: u32, nodes: u32) -> Table {
    assert!(nodes >= 3, "three copies need three nodes, got {nodes}");
    let row = |number: u32| [number, number + 1, number + 2].map(|index| index % nodes);
    let table = Table::from_rows(node_ids(nodes), 3, (0..partitions).map(row));
    table.expect("rows of three different nodes make a table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decimal_and_all_different() {
        let keys = keys();
        assert_eq!(&keys[1001], b"user:00000001001");
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn table_has_three_copies_a_partition() {
        let table = table(64, 10);
        assert!(table.rows().all(|row| row.indexes().len() == 3));
    }
}
