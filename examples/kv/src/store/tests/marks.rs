//! What marks records is always what the data says.

use std::collections::BTreeMap;

use super::*;
use crate::store::{Mark, MarkedBy};

/// By the first letter of the value; values that begin with `-` are in no order.
const BY_VALUE: MarkedBy = MarkedBy {
    version: 1,
    marks: by_value,
};

fn by_value(key: &[u8], value: &[u8]) -> Vec<Mark> {
    let first = value.first().filter(|first| **first != b'-');
    let mark = |first: &u8| Mark {
        group: Bytes::copy_from_slice(&[*first]),
        member: Bytes::copy_from_slice(key),
    };
    first.map(mark).into_iter().collect()
}

/// In one order, all of them.
const ALL: MarkedBy = MarkedBy {
    version: 2,
    marks: |key, _| {
        let (group, member) = (Bytes::from_static(b"all"), Bytes::copy_from_slice(key));
        vec![Mark { group, member }]
    },
};

fn open_marked(directory: &Path, by: Option<MarkedBy>) -> Store {
    let on_fatal = Arc::new(|what: &str| panic!("{what}"));
    Store::open(directory, 0, by, on_fatal).unwrap()
}

/// The members of a group with their values.
fn group(store: &Store, name: &'static str, from: &str) -> Vec<(String, String)> {
    let found = store.marked(P, name.as_bytes(), from.as_bytes(), 99, 9);
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let shown = found.unwrap().into_iter().map(|(member, entry, _)| {
        assert_eq!(member, entry.key);
        (text(&member), text(&entry.value))
    });
    shown.collect()
}

fn counts(store: &Store) -> BTreeMap<String, u64> {
    let counts = store.mark_counts(P).unwrap().into_iter();
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    counts.map(|(name, count)| (text(name), count)).collect()
}

fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test]
async fn a_record_stands_where_its_value_says_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_marked(directory.path(), Some(BY_VALUE));
    let records = vec![
        put(1, 1, "c", "r3"),
        put(1, 2, "a", "r1"),
        put(1, 3, "b", "d1"),
        put(1, 4, "x", "-"),
    ];
    receive(&store, 1, Stamp::ZERO, records).await.unwrap();
    assert_eq!(group(&store, "r", ""), of(&[("a", "r1"), ("c", "r3")]));
    assert_eq!(group(&store, "r", "b"), of(&[("c", "r3")]));
    assert_eq!(group(&store, "q", ""), []);
    // Moved, changed in its place, and gone; all in one transaction with others.
    let records = vec![
        put(1, 5, "b", "r2"),
        put(1, 6, "a", "r9"),
        delete(1, 7, "c"),
        delete(1, 8, "nothing"),
    ];
    receive(&store, 1, stamp(1, 4), records).await.unwrap();
    assert_eq!(group(&store, "r", ""), of(&[("a", "r9"), ("b", "r2")]));
    assert_eq!(counts(&store), BTreeMap::from([("r".to_owned(), 2)]));
    drop(store);
    let store = open_marked(directory.path(), Some(BY_VALUE));
    assert_eq!(group(&store, "r", ""), of(&[("a", "r9"), ("b", "r2")]));
    // With the copy.
    let partition = P;
    let more = store.run(|reply| Job::Drop { partition, reply }).await;
    assert!(!more.unwrap());
    assert_eq!(
        (group(&store, "r", ""), counts(&store)),
        (vec![], BTreeMap::new())
    );
}

/// All records in one place.
const ONE_PLACE: MarkedBy = MarkedBy {
    version: 3,
    marks: |_, _| {
        let (group, member) = (Bytes::from_static(b"one"), Bytes::from_static(b"place"));
        vec![Mark { group, member }]
    },
};

#[tokio::test]
async fn a_record_that_goes_leaves_another_one_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_marked(directory.path(), Some(ONE_PLACE));
    let records = vec![put(1, 1, "old", "v"), put(1, 2, "new", "w")];
    receive(&store, 1, Stamp::ZERO, records).await.unwrap();
    let gone = vec![delete(1, 3, "old")];
    receive(&store, 1, stamp(1, 2), gone).await.unwrap();
    let found = store.marked(P, b"one", b"", 99, 9).unwrap();
    let keys: Vec<&[u8]> = found.iter().map(|(_, entry, _)| &*entry.key).collect();
    assert_eq!(keys, [b"new"]);
    assert_eq!(counts(&store), BTreeMap::from([("one".to_owned(), 1)]));
}

#[tokio::test]
async fn marks_of_another_kind_are_made_anew_when_a_store_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_marked(directory.path(), None);
    let first = vec![put(1, 1, "a", "r1"), put(1, 2, "b", "d1")];
    receive(&store, 1, Stamp::ZERO, first).await.unwrap();
    drop(store);
    let store = open_marked(directory.path(), Some(BY_VALUE));
    assert_eq!(group(&store, "r", ""), of(&[("a", "r1")]));
    drop(store);
    // Written to by whoever knows of no marks: what is there then is not to be believed.
    let store = open_marked(directory.path(), None);
    receive(&store, 1, stamp(1, 2), vec![delete(1, 3, "a")])
        .await
        .unwrap();
    drop(store);
    let store = open_marked(directory.path(), Some(BY_VALUE));
    assert_eq!(counts(&store), BTreeMap::from([("d".to_owned(), 1)]));
    drop(store);
    let store = open_marked(directory.path(), Some(ALL));
    assert_eq!(group(&store, "all", ""), of(&[("b", "d1")]));
    assert_eq!(counts(&store), BTreeMap::from([("all".to_owned(), 1)]));
}
