//! Reading: each question in one transaction of its own, so its answer is of one instant.

use std::sync::Arc;

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase as _};
use xxhash_rust::xxh3::Xxh3;

use super::data::{self, bounds};
use super::marks::group_key;
use super::meta::Meta;
use super::{COUNTS, DATA, MARKS, META, Store, StoreError};
use crate::record::{Effect, Entry, Record};
use crate::stamp::Stamp;
use crate::wire::{Chunked, Refused, Verdict};

/// Bytes of a stretch, about; a single value may be larger.
const CHUNK_BYTES: usize = 256 << 10;

/// A stretch of a copy, by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its last key; absent where it goes to the end.
    pub(crate) until: Option<Bytes>,
    pub(crate) digest: u128,
}

/// A whole copy in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) position: Stamp,
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: u128,
}

type Data = ReadOnlyTable<&'static [u8], &'static [u8]>;

impl Store {
    /// A key's value and the record that set it.
    pub(crate) fn value(
        &self,
        partition: u32,
        key: &[u8],
    ) -> Result<Option<(Stamp, Bytes)>, StoreError> {
        self.reading(|txn| {
            let row = data::row_key(partition, key);
            let found = txn.open_table(DATA)?.get(row.as_slice())?;
            found
                .map(|row| {
                    let (stamp, value) = data::read_row(row.value()).map_err(data::damaged)?;
                    Ok((stamp, Bytes::copy_from_slice(value)))
                })
                .transpose()
        })
    }

    /// The record that set a key.
    pub(crate) fn stamp(&self, partition: u32, key: &[u8]) -> Result<Option<Stamp>, StoreError> {
        self.reading(|txn| {
            let row = data::row_key(partition, key);
            let found = txn.open_table(DATA)?.get(row.as_slice())?;
            found
                .map(|row| data::stamp_of(row.value()).map_err(data::damaged))
                .transpose()
        })
    }

    /// What a copy knows of itself; absent when there is none.
    pub(crate) fn meta(&self, partition: u32) -> Result<Option<Meta>, StoreError> {
        self.reading(|txn| meta(txn, partition))
    }

    /// The records after `after`, from those that may not be everywhere.
    pub(crate) fn recent(
        &self,
        partition: u32,
        after: Stamp,
    ) -> Result<Verdict<Vec<Arc<Record>>>, StoreError> {
        self.reading(|txn| {
            let Some(meta) = meta(txn, partition)? else {
                return Ok(Err(Refused::Forgotten));
            };
            if meta.position == after {
                return Ok(Ok(Vec::new()));
            }
            let from = meta.traces.iter().position(|one| one.stamp == after);
            let covered = match from {
                Some(at) => at + 1,
                None if after.seq == meta.stable => 0,
                None => return Ok(Err(Refused::Forgotten)),
            };
            let data = txn.open_table(DATA)?;
            let mut records = Vec::new();
            for trace in meta.traces.iter().skip(covered) {
                let row = data::row_key(partition, &trace.key);
                let effect = match data.get(row.as_slice())? {
                    Some(row) => match data::read_row(row.value()).map_err(data::damaged)? {
                        (stamp, value) if stamp == trace.stamp => {
                            Effect::Put(Bytes::copy_from_slice(value))
                        }
                        _ => Effect::Superseded,
                    },
                    // Deleted by this record or by a later one, which comes to the same in the end.
                    None => Effect::Delete,
                };
                records.push(Arc::new(Record {
                    stamp: trace.stamp,
                    key: trace.key.clone(),
                    effect,
                }));
            }
            Ok(Ok(records))
        })
    }

    /// The stretch after `start`, as long as a chunk.
    pub(crate) fn stretch(
        &self,
        partition: u32,
        start: Option<&Bytes>,
    ) -> Result<Stretch, StoreError> {
        self.reading(|txn| {
            let data = txn.open_table(DATA)?;
            let read = read_chunk(&data, partition, start, None, |_, _, _| ())?;
            let (until, digest) = (read.until, read.digest);
            Ok(Stretch { until, digest })
        })
    }

    /// What a source answers: that its stretch is the same, or what is in it.
    pub(crate) fn compare(
        &self,
        partition: u32,
        start: Option<&Bytes>,
        end: Option<&Bytes>,
        digest: u128,
    ) -> Result<Chunked, StoreError> {
        self.reading(|txn| {
            let meta = meta(txn, partition)?.unwrap_or_default();
            let data = txn.open_table(DATA)?;
            let mut entries = Vec::new();
            let read = read_chunk(&data, partition, start, end, |key, stamp, value| {
                entries.push(Entry {
                    key: Bytes::copy_from_slice(key),
                    stamp,
                    value: Bytes::copy_from_slice(value),
                });
            })?;
            // A stretch that was cut short has less in it than was asked about.
            let same = read.digest == digest && read.until.as_ref() == end;
            Ok(Chunked {
                at: meta.position,
                until: read.until,
                entries: (!same).then_some(entries),
                total: meta.bytes,
            })
        })
    }

    /// The keys after `after`, at most `rows` of them, each with the first `head` bytes of its value
    /// and the length of all of it.
    pub(crate) fn scan(
        &self,
        partition: u32,
        after: Option<&[u8]>,
        rows: usize,
        head: usize,
    ) -> Result<Vec<(Entry, usize)>, StoreError> {
        self.reading(|txn| {
            let data = txn.open_table(DATA)?;
            let mut found = Vec::new();
            let range = bounds(partition, after, None);
            for row in data.range::<&[u8]>(range.as_ref())?.take(rows) {
                let (key, row) = row?;
                let (stamp, value) = data::read_row(row.value()).map_err(data::damaged)?;
                let entry = Entry {
                    key: Bytes::copy_from_slice(&key.value()[4..]),
                    stamp,
                    value: Bytes::copy_from_slice(&value[..value.len().min(head)]),
                };
                found.push((entry, value.len()));
            }
            Ok(found)
        })
    }

    /// The members of a group from `from` on, at most `rows` of them, each with its record as
    /// [`Store::scan`] gives it.
    pub(crate) fn marked(
        &self,
        partition: u32,
        group: &[u8],
        from: &[u8],
        rows: usize,
        head: usize,
    ) -> Result<Vec<(Bytes, Entry, usize)>, StoreError> {
        self.reading(|txn| {
            let start = group_key(partition, group);
            let first = [&*start, from].concat();
            let (marks, data) = (txn.open_table(MARKS)?, txn.open_table(DATA)?);
            let mut found = Vec::new();
            for mark in marks.range::<&[u8]>(&*first..)?.take(rows) {
                let (place, key) = mark?;
                let Some(member) = place.value().strip_prefix(&*start) else {
                    break;
                };
                let Some(row) = data.get(&*data::row_key(partition, key.value()))? else {
                    continue;
                };
                let (stamp, value) = data::read_row(row.value()).map_err(data::damaged)?;
                let entry = Entry {
                    key: Bytes::copy_from_slice(key.value()),
                    stamp,
                    value: Bytes::copy_from_slice(&value[..value.len().min(head)]),
                };
                found.push((Bytes::copy_from_slice(member), entry, value.len()));
            }
            Ok(found)
        })
    }

    /// How many members each group of a partition has.
    pub(crate) fn mark_counts(&self, partition: u32) -> Result<Vec<(Bytes, u64)>, StoreError> {
        self.reading(|txn| {
            let counts = txn.open_table(COUNTS)?;
            let all = counts.range::<&[u8]>(bounds(partition, None, None).as_ref())?;
            all.map(|row| {
                let (group, count) = row?;
                Ok((Bytes::copy_from_slice(&group.value()[4..]), count.value()))
            })
            .collect()
        })
    }

    /// A whole copy in figures; absent when there is none. Reads all of it.
    pub(crate) fn figures(&self, partition: u32) -> Result<Option<Figures>, StoreError> {
        self.reading(|txn| {
            let Some(meta) = meta(txn, partition)? else {
                return Ok(None);
            };
            let data = txn.open_table(DATA)?;
            let mut digest = Xxh3::new();
            let (mut keys, mut bytes) = (0, 0);
            for row in data.range::<&[u8]>(bounds(partition, None, None).as_ref())? {
                let (key, row) = row?;
                let key = &key.value()[4..];
                let (stamp, value) = data::read_row(row.value()).map_err(data::damaged)?;
                digest_entry(&mut digest, key, stamp, value);
                keys += 1;
                bytes += (key.len() + value.len()) as u64;
            }
            Ok(Some(Figures {
                position: meta.position,
                keys,
                bytes,
                digest: digest.digest128(),
            }))
        })
    }

    fn reading<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let answer = self.db.begin_read().map_err(redb::Error::from);
        answer.and_then(|txn| read(&txn)).map_err(|source| {
            // A disk that cannot be read, or tells something else than was written, is no
            // primary's: the others take over once the process has ended.
            if matches!(
                source,
                redb::Error::Io(_) | redb::Error::Corrupted(_) | redb::Error::PreviousIo
            ) {
                (self.on_fatal)(&format!("{}: {source}", self.path.display()));
            }
            self.failed(source)
        })
    }
}

fn meta(txn: &ReadTransaction, partition: u32) -> Result<Option<Meta>, redb::Error> {
    let found = txn.open_table(META)?.get(partition)?;
    found
        .map(|row| Meta::from_bytes(row.value()).map_err(data::damaged))
        .transpose()
}

/// What [`read_chunk`] came to.
struct Read {
    /// The last key that was read, where it was cut short or an end was given; absent where it went
    /// to the last key.
    until: Option<Bytes>,
    digest: u128,
}

/// Reads the keys after `start` up to `end`, and no more than fit into a chunk.
fn read_chunk(
    data: &Data,
    partition: u32,
    start: Option<&Bytes>,
    end: Option<&Bytes>,
    mut found: impl FnMut(&[u8], Stamp, &[u8]),
) -> Result<Read, redb::Error> {
    let range = bounds(partition, start.map(|key| &**key), end.map(|key| &**key));
    let mut digest = Xxh3::new();
    let mut bytes = 0;
    let mut last: Option<Bytes> = None;
    for row in data.range::<&[u8]>(range.as_ref())? {
        if bytes >= CHUNK_BYTES {
            return Ok(Read {
                until: last,
                digest: digest.digest128(),
            });
        }
        let (key, row) = row?;
        let key = &key.value()[4..];
        let (stamp, value) = data::read_row(row.value()).map_err(data::damaged)?;
        digest_entry(&mut digest, key, stamp, value);
        found(key, stamp, value);
        bytes += key.len() + value.len();
        last = Some(Bytes::copy_from_slice(key));
    }
    Ok(Read {
        until: end.cloned(),
        digest: digest.digest128(),
    })
}

fn digest_entry(digest: &mut Xxh3, key: &[u8], stamp: Stamp, value: &[u8]) {
    digest.update(&(key.len() as u64).to_le_bytes());
    digest.update(key);
    digest.update(&stamp.grant.incarnation.to_le_bytes());
    digest.update(&stamp.grant.epoch.to_le_bytes());
    digest.update(&stamp.grant.round.to_le_bytes());
    digest.update(&stamp.seq.to_le_bytes());
    digest.update(&(value.len() as u64).to_le_bytes());
    digest.update(value);
}
