extern crate std;

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::topology::Domain;
use crate::{Node, NodeState, Spec, Topology};

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn table(width: u8, rows: &[&str]) -> Table {
    let row = |row: &&str| row.split_whitespace().map(id).collect::<Vec<_>>();
    Table::from_named_rows(width, rows.iter().map(row)).unwrap()
}

#[test]
fn rows_come_back_as_given_primary_first() {
    let table = table(3, &["c a", "", "b c a"]);
    assert_eq!(table.nodes(), [id("a"), id("b"), id("c")]);
    let rows: Vec<Vec<&str>> = table
        .rows()
        .map(|row| row.nodes().map(NodeId::as_str).collect())
        .collect();
    assert_eq!(rows, [["c", "a"].as_slice(), &[], &["b", "c", "a"]]);
    let last = table.row(PartitionId(2)).unwrap();
    assert_eq!(last.primary(), Some(&id("b")));
    assert!(last.replicas().eq([&id("c"), &id("a")]));
    assert_eq!(table.row(PartitionId(1)).unwrap().primary(), None);
    assert!(table.row(PartitionId(3)).is_none());
}

#[test]
fn what_is_no_table_is_refused_by_name() {
    let ab = || [id("a"), id("b")].to_vec();
    let partition = PartitionId(0);
    let none = u32::MAX;
    let cases = [
        (
            Table::from_cells(ab(), 0, [0].to_vec()),
            TableError::Width { got: 0 },
        ),
        (
            Table::from_cells(ab(), 17, [0].to_vec()),
            TableError::Width { got: 17 },
        ),
        (
            Table::from_cells(ab(), 2, Vec::new()),
            TableError::Cells { cells: 0, width: 2 },
        ),
        (
            Table::from_cells(ab(), 2, [0, 1, 0].to_vec()),
            TableError::Cells { cells: 3, width: 2 },
        ),
        (
            Table::from_cells([id("b"), id("a")].to_vec(), 1, [0].to_vec()),
            TableError::Nodes { id: id("a") },
        ),
        (
            Table::from_cells([id("a"), id("a")].to_vec(), 1, [0].to_vec()),
            TableError::Nodes { id: id("a") },
        ),
        (
            Table::from_cells(ab(), 1, [2].to_vec()),
            TableError::Cell {
                partition,
                got: 2,
                nodes: 2,
            },
        ),
        (
            Table::from_cells(ab(), 2, [none, 1].to_vec()),
            TableError::Cell {
                partition,
                got: 1,
                nodes: 2,
            },
        ),
        (
            Table::from_cells(ab(), 2, [1, 1].to_vec()),
            TableError::Twice {
                partition,
                id: id("b"),
            },
        ),
        (
            Table::from_rows(ab(), 1, [[0, 1].as_slice()]),
            TableError::RowTooLong {
                partition,
                got: 2,
                width: 1,
            },
        ),
    ];
    for (result, expected) in cases {
        assert_eq!(result.unwrap_err(), expected);
    }
}

#[test]
fn serialized_tables_are_validated_when_read() {
    let table = table(2, &["a b", "b"]);
    let json = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<Table>(&json).unwrap(), table);
    let hostile = r#"{"nodes":["a","b"],"width":2,"cells":[0,0]}"#;
    let refused = serde_json::from_str::<Table>(hostile)
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("partition-0: node \"a\" stands twice in the row"),
        "{refused}"
    );
    let unknown = r#"{"nodes":[],"width":1,"cells":[4294967295],"more":1}"#;
    assert!(serde_json::from_str::<Table>(unknown).is_err());
}

#[test]
fn a_partition_takes_twelve_bytes_at_three_copies() {
    let rows = (0..10_000_u32).map(|p| [p % 3, (p + 1) % 3, (p + 2) % 3]);
    let table = Table::from_rows([id("a"), id("b"), id("c")].to_vec(), 3, rows).unwrap();
    assert_eq!(size_of_val(table.cells()), 12 * 10_000);
    assert!(table.heap_bytes() >= 12 * 10_000);
}

#[test]
fn a_difference_goes_by_id_not_by_index() {
    let before = table(2, &["b c", "c b", "b c"]);
    let after = table(2, &["a", "c b", "c b"]);
    let diff = before.diff(&after).unwrap();
    assert_eq!(
        (
            diff.copies_added,
            diff.copies_removed,
            diff.primaries_changed
        ),
        (1, 2, 2)
    );
    assert_eq!(diff.rows.len(), 2);
    assert_eq!(
        (&*diff.rows[0].added, &*diff.rows[0].removed),
        (&[id("a")][..], &[id("b"), id("c")][..])
    );
    assert!(diff.rows[1].is_reorder() && diff.rows[1].primary_changed());
    assert!(before.diff(&before).unwrap().is_empty());
}

#[test]
fn a_row_that_gains_its_first_primary_changes_none() {
    let (before, after) = (table(2, &["", "a"]), table(2, &["a", ""]));
    let diff = before.diff(&after).unwrap();
    assert_eq!(
        (
            diff.copies_added,
            diff.copies_removed,
            diff.primaries_changed
        ),
        (1, 1, 1)
    );
    assert!(!diff.rows[0].primary_changed());
    assert!(diff.rows[1].primary_changed());
}

#[test]
fn tables_of_different_counts_are_not_compared() {
    let refused = table(1, &["a"]).diff(&table(1, &["a", "a"])).unwrap_err();
    assert_eq!(
        refused,
        DiffError::Partitions {
            before: 1,
            after: 2
        }
    );
}

#[test]
fn the_text_names_empty_rows_and_odd_ids_unmistakably() {
    let rows = [
        [id("a b")].to_vec(),
        Vec::new(),
        [id("-"), id("x:1")].to_vec(),
    ];
    let text = Table::from_named_rows(2, rows).unwrap().text().to_string();
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "rows:")
        .skip(1)
        .collect();
    assert_eq!(rows, ["  0: \"a b\"", "  1: -", "  2: \"-\" \"x:1\""]);
}

#[test]
fn figures_count_what_is_short_narrow_and_off_quota() {
    let within = |name, domain| Node::new(id(name)).with_domain(Domain::new(domain).unwrap());
    let topology = Topology::new([
        within("a", "east/1"),
        within("b", "east/2"),
        within("c", "west"),
        Node::new(id("d")).with_state(NodeState::Down),
    ])
    .unwrap();
    let spec = Spec::new(4, 2, 2).unwrap();
    let stats = table(2, &["a b", "a c", "x", ""]).stats(&topology, &spec);
    assert_eq!((stats.partitions, stats.copies), (4, 5));
    assert_eq!(
        (
            stats.under_replicated,
            stats.unowned,
            stats.spread_violations
        ),
        (2, 1, 2)
    );
    let listed: Vec<_> = stats
        .nodes
        .iter()
        .map(|n| (n.id.as_str(), n.copies, n.primaries, n.quota.to_string()))
        .collect();
    let node = |name, copies, primaries, quota: &str| (name, copies, primaries, quota.to_string());
    assert_eq!(
        listed,
        [
            node("a", 2, 2, "2.000"),
            node("b", 1, 0, "2.000"),
            node("c", 1, 0, "4.000"),
            node("d", 0, 0, "0.000"),
            node("x", 1, 1, "0.000"),
        ]
    );
    assert_eq!(
        (stats.copies_off_quota, stats.copies_balance),
        (3, crate::Fraction::from(1))
    );
    let domains: Vec<_> = stats
        .domains
        .iter()
        .map(|d| (&*d.name, d.nodes, d.copies, d.partitions))
        .collect();
    assert_eq!(domains, [("east", 2, 3, 2), ("west", 1, 1, 1)]);
    assert_eq!(stats.nodes[4].state, None);
}
