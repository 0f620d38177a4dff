mod disk;
mod marks;
mod torn;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::record::{Effect, Record};
use crate::stamp::{Grant, Stamp};
use crate::wire::{Refused, Section};

const P: u32 = 7;

fn grant(epoch: u64) -> Grant {
    Grant {
        incarnation: 1,
        epoch,
        round: 1,
    }
}

fn stamp(epoch: u64, seq: u64) -> Stamp {
    Stamp {
        grant: grant(epoch),
        seq,
    }
}

fn put(epoch: u64, seq: u64, key: &str, value: &str) -> Arc<Record> {
    Arc::new(Record {
        stamp: stamp(epoch, seq),
        key: Bytes::copy_from_slice(key.as_bytes()),
        effect: Effect::Put(Bytes::copy_from_slice(value.as_bytes())),
    })
}

fn delete(epoch: u64, seq: u64, key: &str) -> Arc<Record> {
    Arc::new(Record {
        stamp: stamp(epoch, seq),
        key: Bytes::copy_from_slice(key.as_bytes()),
        effect: Effect::Delete,
    })
}

fn open(directory: &Path) -> Store {
    Store::open(directory, 0, None, Arc::new(|what: &str| panic!("{what}"))).unwrap()
}

async fn receive(
    store: &Store,
    epoch: u64,
    after: Stamp,
    records: Vec<Arc<Record>>,
) -> Result<Stamp, Refused> {
    let section = Section {
        partition: P,
        grant: grant(epoch),
        after,
        records,
        stable: 0,
    };
    let sections = vec![section];
    let verdicts = store.run(|reply| Job::Receive { sections, reply }).await;
    verdicts.unwrap().remove(0).map(|ack| ack.position)
}

async fn fence(store: &Store, epoch: u64) -> Result<Stamp, Refused> {
    let standing = store.run(|reply| Job::Fence {
        partition: P,
        grant: grant(epoch),
        reply,
    });
    standing.await.unwrap().map(|standing| standing.position)
}

fn value(store: &Store, key: &str) -> Option<String> {
    let found = store.value(P, key.as_bytes()).unwrap();
    found.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
}

#[tokio::test]
async fn records_are_taken_in_order_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = receive(
        &store,
        1,
        Stamp::ZERO,
        vec![put(1, 1, "a", "1"), put(1, 2, "b", "2")],
    );
    assert_eq!(first.await, Ok(stamp(1, 2)));
    // Twice the same, and one with a hole before it.
    let position = stamp(1, 2);
    let again = receive(&store, 1, Stamp::ZERO, vec![put(1, 1, "a", "9")]).await;
    assert_eq!(again, Err(Refused::Gap { position }));
    let hole = receive(&store, 1, stamp(1, 3), vec![put(1, 4, "a", "9")]).await;
    assert_eq!(hole, Err(Refused::Gap { position }));
    let next = receive(&store, 1, stamp(1, 2), vec![delete(1, 3, "a")]).await;
    assert_eq!(next, Ok(stamp(1, 3)));
    drop(store);
    let store = open(directory.path());
    assert_eq!(
        (value(&store, "a"), value(&store, "b").as_deref()),
        (None, Some("2"))
    );
    let meta = store.meta(P).unwrap().unwrap();
    assert_eq!(
        (meta.position, meta.traces.len(), meta.keys),
        (stamp(1, 3), 3, 1)
    );
}

/// What makes a primary that was paused for longer than its lease harmless.
#[tokio::test]
async fn records_of_an_older_grant_are_refused_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = receive(&store, 1, Stamp::ZERO, vec![put(1, 1, "a", "1")]);
    assert_eq!(first.await, Ok(stamp(1, 1)));
    assert_eq!(fence(&store, 2).await, Ok(stamp(1, 1)));
    let newest = grant(2);
    let late = receive(&store, 1, stamp(1, 1), vec![put(1, 2, "a", "late")]).await;
    assert_eq!(late, Err(Refused::Fenced { newest }));
    assert_eq!(fence(&store, 1).await, Err(Refused::Fenced { newest }));
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    drop(store);
    let store = open(directory.path());
    let late = receive(&store, 1, stamp(1, 1), vec![put(1, 2, "a", "late")]).await;
    assert_eq!(late, Err(Refused::Fenced { newest }), "it is remembered");
}

#[tokio::test]
async fn recent_records_bring_another_copy_to_the_same_place() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (long, short) = (open(one.path()), open(two.path()));
    let common = vec![put(1, 1, "a", "1"), put(1, 2, "b", "1")];
    for store in [&long, &short] {
        let got = receive(store, 1, Stamp::ZERO, common.clone()).await;
        assert_eq!(got, Ok(stamp(1, 2)));
    }
    let more = vec![
        put(1, 3, "a", "2"),
        delete(1, 4, "b"),
        put(1, 5, "a", "3"),
        put(1, 6, "c", "1"),
    ];
    assert_eq!(receive(&long, 1, stamp(1, 2), more).await, Ok(stamp(1, 6)));
    let records = long.recent(P, stamp(1, 2)).unwrap().unwrap();
    let effects: Vec<_> = records.iter().map(|one| one.effect.clone()).collect();
    let put = |text: &'static str| Effect::Put(Bytes::from_static(text.as_bytes()));
    assert_eq!(
        effects,
        [Effect::Superseded, Effect::Delete, put("3"), put("1")]
    );
    assert_eq!(
        receive(&short, 2, stamp(1, 2), records).await,
        Ok(stamp(1, 6))
    );
    assert_eq!(long.figures(P).unwrap(), short.figures(P).unwrap());
    assert_eq!(long.recent(P, stamp(1, 6)).unwrap(), Ok(Vec::new()));
    let elsewhere = long.recent(P, stamp(2, 2)).unwrap();
    assert_eq!(elsewhere, Err(Refused::Forgotten), "another line");
}

async fn attach(store: &Store, epoch: u64, at: Stamp) {
    let attached = store.run(|reply| Job::Attach {
        partition: P,
        grant: grant(epoch),
        at,
        reply,
    });
    assert_eq!(attached.await.unwrap(), Ok(()));
}

/// One walk of `target` through `source`. Returns how many entries were sent.
async fn walk(source: &Store, target: &Store, attached: Option<Grant>) -> usize {
    let (mut start, mut sent) = (None, 0);
    loop {
        let here = target.stretch(P, start.as_ref()).unwrap();
        let there = source
            .compare(P, start.as_ref(), here.until.as_ref(), here.digest)
            .unwrap();
        if let Some(entries) = there.entries {
            sent += entries.len();
            let filled = target.run(|reply| {
                Job::Fill(Fill {
                    partition: P,
                    grant: attached,
                    start: start.clone(),
                    until: there.until.clone(),
                    entries,
                    at: there.at,
                    reply,
                })
            });
            assert_eq!(filled.await.unwrap(), Ok(()));
        }
        match there.until {
            Some(until) => start = Some(until),
            None => return sent,
        }
    }
}

/// Many keys of very different sizes, so that stretches begin and end anywhere.
fn many(epoch: u64, keys: std::ops::Range<u64>, value: impl Fn(u64) -> usize) -> Vec<Arc<Record>> {
    keys.clone()
        .zip(1..)
        .map(|(key, seq)| {
            put(
                epoch,
                seq,
                &format!("key-{key:05}"),
                &"v".repeat(value(key)),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_walk_makes_a_copy_equal_and_a_second_one_sends_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (open(one.path()), open(two.path()));
    let records = many(1, 0..900, |key| (key * 37 % 2_000) as usize);
    receive(&source, 1, Stamp::ZERO, records).await.unwrap();
    // An old copy: some keys of its own, some older values.
    let old = many(0, 500..1_200, |key| (key % 50) as usize);
    receive(&target, 0, Stamp::ZERO, old).await.unwrap();
    assert_eq!(walk(&source, &target, None).await, 900);
    let digest = |store: &Store| store.figures(P).unwrap().map(|one| (one.digest, one.keys));
    assert_eq!(digest(&source), digest(&target));
    assert_eq!(walk(&source, &target, None).await, 0);
    let (here, there) = (
        target.meta(P).unwrap().unwrap(),
        source.meta(P).unwrap().unwrap(),
    );
    assert_eq!((here.keys, here.bytes), (there.keys, there.bytes));
    // One key apart costs its stretch, not the whole.
    let last = stamp(1, 900);
    receive(&source, 1, last, vec![put(1, 901, "key-00450", "new")])
        .await
        .unwrap();
    let sent = walk(&source, &target, None).await;
    assert!(sent > 0 && sent < 500, "{sent}");
    assert_eq!(digest(&source), digest(&target));
}

/// The copy takes records while it is filled; what they did stands, whatever the source had before.
#[tokio::test]
async fn what_a_record_did_is_not_undone_by_an_older_stretch() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (open(one.path()), open(two.path()));
    let before = vec![
        put(1, 1, "gone", "1"),
        put(1, 2, "kept", "1"),
        put(1, 3, "new", "1"),
    ];
    receive(&source, 1, Stamp::ZERO, before).await.unwrap();
    let stray = vec![put(0, 1, "stray", "0"), put(0, 2, "kept", "0")];
    receive(&target, 0, Stamp::ZERO, stray).await.unwrap();
    attach(&target, 1, stamp(1, 3)).await;
    let meanwhile = vec![
        delete(1, 4, "gone"),
        put(1, 5, "new", "2"),
        put(1, 6, "more", "1"),
    ];
    receive(&target, 1, stamp(1, 3), meanwhile.clone())
        .await
        .unwrap();
    // The source answers as of before.
    walk(&source, &target, Some(grant(1))).await;
    receive(&source, 1, stamp(1, 3), meanwhile).await.unwrap();
    assert_eq!(value(&target, "gone"), None);
    assert_eq!(value(&target, "stray"), None);
    assert_eq!(value(&target, "kept").as_deref(), Some("1"));
    assert_eq!(value(&target, "new").as_deref(), Some("2"));
    assert_eq!(source.figures(P).unwrap(), target.figures(P).unwrap());
    let filled = |epoch| {
        target.run(move |reply| Job::Filled {
            partition: P,
            grant: grant(epoch),
            upto: 6,
            reply,
        })
    };
    assert_eq!(filled(1).await.unwrap(), Ok(()));
    assert_eq!(filled(1).await.unwrap(), Err(Refused::Forgotten), "once");
}

/// A stretch may hold what records did that are still on their way. Until they are there the copy
/// is no prefix of the line, and must not count.
#[tokio::test]
async fn a_copy_is_not_whole_before_it_has_the_records_it_was_filled_with() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (open(one.path()), open(two.path()));
    let records = vec![put(1, 1, "a", "1"), put(1, 2, "a", "2")];
    receive(&source, 1, Stamp::ZERO, records.clone())
        .await
        .unwrap();
    attach(&target, 1, Stamp::ZERO).await;
    walk(&source, &target, Some(grant(1))).await;
    assert_eq!(value(&target, "a").as_deref(), Some("2"));
    let filled = || {
        target.run(|reply| Job::Filled {
            partition: P,
            grant: grant(1),
            upto: 2,
            reply,
        })
    };
    let position = Stamp::ZERO;
    assert_eq!(filled().await.unwrap(), Err(Refused::Gap { position }));
    receive(&target, 1, Stamp::ZERO, records).await.unwrap();
    assert_eq!(filled().await.unwrap(), Ok(()));
    assert_eq!(source.figures(P).unwrap(), target.figures(P).unwrap());
}

#[tokio::test]
async fn a_copy_that_was_dropped_remembers_what_it_has_seen() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let records = many(3, 0..10_000, |_| 1);
    for part in records.chunks(1_000) {
        let after = part[0].stamp.seq - 1;
        let after = if after == 0 {
            Stamp::ZERO
        } else {
            stamp(3, after)
        };
        let section = part.to_vec();
        receive(&store, 3, after, section).await.unwrap();
        let settled = Section {
            partition: P,
            grant: grant(3),
            after: part[part.len() - 1].stamp,
            records: Vec::new(),
            stable: u64::MAX,
        };
        let sections = vec![settled];
        store
            .run(|reply| Job::Receive { sections, reply })
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }
    let mut turns = 1;
    while store
        .run(|reply| Job::Drop {
            partition: P,
            reply,
        })
        .await
        .unwrap()
    {
        turns += 1;
    }
    assert_eq!(turns, 3);
    let meta = store.meta(P).unwrap().unwrap();
    assert_eq!(
        (meta.keys, meta.position, meta.fence),
        (0, Stamp::ZERO, grant(3))
    );
    assert_eq!(store.figures(P).unwrap().unwrap().keys, 0);
    assert!(matches!(
        fence(&store, 2).await,
        Err(Refused::Fenced { .. })
    ));
}
