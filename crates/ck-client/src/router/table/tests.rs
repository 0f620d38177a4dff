//! What a table takes in, and what it refuses.

use ck_api::{DeltaRow, HashConfig, Partition, TableRow};

use super::*;

fn list(incarnation: u64, version: u64, epochs: &[u64]) -> PartitionList {
    let partition = |(at, epoch): (usize, &u64)| Partition {
        id: format!("partition-{at}"),
        primary_node: "node-1".into(),
        replica_nodes: vec!["node-2".into()],
        epoch: *epoch,
        state: "stable".into(),
    };
    PartitionList {
        partitions: epochs.iter().enumerate().map(partition).collect(),
        incarnation,
        version,
        ..PartitionList::default()
    }
}

fn table(incarnation: u64, version: u64, epochs: &[u64]) -> RouteTable {
    let node = |id: &str, ip: &str| Node {
        id: id.into(),
        ip: ip.into(),
        ..Node::default()
    };
    let nodes = [node("node-1", "127.0.0.1:1"), node("node-2", "127.0.0.1:2")];
    RouteTable::new(KeyHash::Xxh3, list(incarnation, version, epochs), &nodes).unwrap()
}

fn newest(incarnation: u64, version: u64, epoch: u64) -> Newest {
    Newest {
        incarnation,
        version,
        partition: Some("partition-1".into()),
        primary_node: Some("node-2".into()),
        primary_address: Some("127.0.0.1:2".into()),
        epoch: Some(epoch),
        ..Newest::default()
    }
}

#[test]
fn only_news_is_learned() {
    let known = table(2, 10, &[3, 3]);
    for (incarnation, version, epoch, news) in [
        (2, 11, 4, true),
        (3, 1, 1, false),
        (2, 11, 3, true),
        (2, 10, 3, false),
        (2, 12, 2, false),
        (1, 99, 99, false),
    ] {
        let newest = newest(incarnation, version, epoch);
        assert_eq!(known.with(&newest).is_some(), news, "{newest:?}");
    }
    let learned = known.with(&newest(2, 11, 4)).unwrap();
    let route = learned.route(PartitionId(1)).unwrap();
    assert_eq!(route.primary().unwrap().address(), Some("127.0.0.1:2"));
    assert_eq!(route.fence(), "2.1.4");
    let other = learned.route(PartitionId(0)).unwrap();
    assert_eq!(other.primary().unwrap().id(), "node-1");
    assert!(learned.with(&newest(2, 11, 4)).is_none(), "not twice");
}

#[test]
fn nothing_is_learned_of_a_node_that_is_not_known() {
    let known = table(2, 10, &[3, 3]);
    let of = |node: &str| Newest {
        primary_node: Some(node.into()),
        ..newest(2, 11, 4)
    };
    assert!(known.with(&of("node-3")).is_none());
    assert!(known.with(&of("node-1")).is_some());
    let nobody = known.with(&of("")).unwrap();
    assert!(nobody.route(PartitionId(1)).unwrap().primary().is_none());
}

#[test]
fn what_was_learned_gives_way_to_a_table_that_is_as_new() {
    let learned = table(1, 10, &[3, 3]).with(&newest(1, 14, 5)).unwrap();
    let behind = table(1, 12, &[3, 4]).after(&learned);
    assert_eq!(behind.route(PartitionId(1)).unwrap().epoch(), Epoch(5));
    let ahead = table(1, 14, &[3, 5]).after(&learned);
    assert!(ahead.learned.is_empty());
    let restored = table(2, 1, &[1, 1]).after(&learned);
    assert_eq!(restored.route(PartitionId(1)).unwrap().epoch(), Epoch(1));
}

#[test]
fn what_is_learned_has_a_limit() {
    let epochs = vec![1; LEARNED_MAX + 1];
    let mut known = table(1, 1, &epochs);
    for at in 0..LEARNED_MAX {
        let newest = Newest {
            partition: Some(format!("partition-{at}")),
            ..newest(1, 2, 2)
        };
        known = known.with(&newest).unwrap();
    }
    let one_more = Newest {
        partition: Some(format!("partition-{LEARNED_MAX}")),
        ..newest(1, 2, 2)
    };
    assert!(known.with(&one_more).is_none());
    assert!(known.with(&newest(1, 3, 3)).is_some(), "one that is known");
}

#[test]
fn a_list_that_is_no_table_is_refused() {
    let mut swapped = list(1, 1, &[1, 1]);
    swapped.partitions.swap(0, 1);
    let refused = |list| RouteTable::new(KeyHash::Xxh3, list, &[]).unwrap_err();
    assert!(refused(swapped).to_string().contains("partition-1"));
    assert!(refused(list(1, 1, &[])).to_string().contains("created"));
}

fn member(number: u64, http: &str) -> TableMember {
    TableMember {
        member: number,
        id: format!("node-{number}"),
        http: http.into(),
        ..TableMember::default()
    }
}

fn answer(incarnation: u64, version: u64, rows: usize) -> TableAnswer {
    let row = TableRow {
        epoch: 1,
        state: "stable".into(),
        primary: Some(1),
        replicas: vec![2],
    };
    TableAnswer {
        incarnation,
        version,
        hash_config: HashConfig {
            hash: "xxh3".into(),
            ..HashConfig::default()
        },
        members: vec![member(1, "h:1"), member(2, "h:2")],
        rows: vec![row; rows],
        ..TableAnswer::default()
    }
}

fn delta(from: u64, version: u64, partition: u32, primary: u64) -> TableDelta {
    TableDelta {
        incarnation: 1,
        from,
        version,
        rows: vec![DeltaRow {
            partition,
            epoch: 2,
            state: "stable".into(),
            primary: Some(primary),
            replicas: vec![1],
        }],
        ..TableDelta::default()
    }
}

fn address(table: &RouteTable, partition: u32) -> &str {
    let route = table.route(PartitionId(partition)).unwrap();
    route.primary().unwrap().address().unwrap()
}

#[test]
fn a_change_is_taken_by_any_table_from_its_beginning_on() {
    let known = RouteTable::whole(&answer(1, 10, 200)).unwrap();
    let changed = known.changed(&delta(10, 12, 150, 2)).unwrap().unwrap();
    assert_eq!(changed.age(), (1, 12));
    assert_eq!(
        (address(&changed, 150), address(&changed, 151)),
        ("h:2", "h:1")
    );
    assert_eq!(changed.route(PartitionId(150)).unwrap().fence(), "1.150.2");
    assert_eq!(
        (address(&known, 150), known.age()),
        ("h:1", (1, 10)),
        "not in place"
    );
    for old in [delta(10, 12, 0, 2), delta(9, 11, 0, 2)] {
        assert!(changed.changed(&old).unwrap().is_none(), "{old:?}");
    }
    let earlier = TableDelta {
        incarnation: 0,
        ..delta(12, 13, 0, 2)
    };
    assert!(changed.changed(&earlier).unwrap().is_none());
    let later = TableDelta {
        incarnation: 2,
        ..delta(12, 13, 0, 2)
    };
    let joined = changed.changed(&delta(11, 14, 0, 2)).unwrap().unwrap();
    assert_eq!((joined.age(), address(&joined, 0)), ((1, 14), "h:2"));
    assert_eq!(address(&joined, 150), "h:2");
    for gap in [delta(13, 14, 0, 2), later] {
        let refused = changed.changed(&gap).unwrap_err();
        assert!(matches!(refused, NoTable::Gap { .. }), "{refused}");
        assert!(refused.to_string().contains("1.12 is known"), "{refused}");
    }
}

#[test]
fn a_change_that_makes_no_sense_is_refused() {
    let known = RouteTable::whole(&answer(1, 10, 4)).unwrap();
    for (change, text) in [
        (delta(10, 11, 4, 2), "partition-4"),
        (delta(10, 11, 0, 9), "member 9"),
    ] {
        let refused = known.changed(&change).unwrap_err().to_string();
        assert!(refused.contains(text), "{refused}");
    }
}

#[test]
fn a_node_that_has_moved_has_moved_in_every_row() {
    let known = RouteTable::whole(&answer(1, 10, 200)).unwrap();
    let change = TableDelta {
        members: vec![member(1, "h:9"), member(3, "h:3")],
        gone: vec![2],
        ..delta(10, 11, 0, 3)
    };
    let changed = known.changed(&change).unwrap().unwrap();
    assert_eq!(
        (address(&changed, 0), address(&changed, 199)),
        ("h:3", "h:9")
    );
    let replica = changed.route(PartitionId(0)).unwrap().replicas().next();
    assert_eq!(replica.unwrap().address(), Some("h:9"));
    assert_eq!(changed.addresses(), ["h:3", "h:9"]);
    // Its number means nobody any more.
    assert!(changed.changed(&delta(11, 12, 0, 2)).is_err());
}

#[test]
fn what_was_learned_lies_over_changes_until_they_are_as_new() {
    let known = RouteTable::whole(&answer(1, 10, 4)).unwrap();
    let learned = known.with(&newest(1, 13, 5)).unwrap();
    let behind = learned.changed(&delta(10, 12, 0, 2)).unwrap().unwrap();
    assert_eq!(behind.route(PartitionId(1)).unwrap().epoch(), Epoch(5));
    let ahead = behind.changed(&delta(12, 13, 0, 2)).unwrap().unwrap();
    // The change knows the row as it was: whoever taught it was wrong.
    assert_eq!(ahead.route(PartitionId(1)).unwrap().epoch(), Epoch(1));
}

#[test]
fn a_table_at_a_later_version_is_the_same_table() {
    let known = RouteTable::whole(&answer(1, 10, 4)).unwrap();
    let learned = known.with(&newest(1, 13, 5)).unwrap();
    assert!(learned.at(10).is_none() && learned.at(9).is_none());
    let later = learned.at(12).unwrap();
    assert_eq!(later.age(), (1, 12));
    assert_eq!(later.route(PartitionId(1)).unwrap().epoch(), Epoch(5));
    let later = later.at(13).unwrap();
    assert_eq!(later.route(PartitionId(1)).unwrap().epoch(), Epoch(1));
}

#[test]
fn a_later_incarnation_of_the_same_node_succeeds_and_no_other_table_does() {
    let known = RouteTable::whole(&answer(3, 10, 4)).unwrap();
    assert!(known.is_succeeded("h:2", &answer(4, 1, 4)));
    assert!(!known.is_succeeded("h:2", &answer(3, 99, 4)), "the same");
    assert!(!known.is_succeeded("h:9", &answer(4, 1, 4)), "a stranger");
    let mut other = answer(4, 1, 4);
    other.members[1].id = "node-7".into();
    assert!(!known.is_succeeded("h:2", &other), "another node");
    other.members[1] = member(2, "h:7");
    assert!(!known.is_succeeded("h:2", &other), "elsewhere");
}

#[test]
fn an_answer_that_is_no_table_is_refused() {
    let refused = |answer: &TableAnswer| RouteTable::whole(answer).unwrap_err().to_string();
    assert!(refused(&answer(1, 1, 0)).contains("created"));
    let mut strange = answer(1, 1, 2);
    strange.hash_config.hash = "crc32".into();
    assert!(refused(&strange).contains("crc32"));
    let mut nobody = answer(1, 1, 2);
    nobody.rows[1].replicas.push(7);
    assert_eq!(
        refused(&nobody),
        "a copy of partition-1 is at member 7, which is not listed"
    );
}
