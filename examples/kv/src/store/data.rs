//! The rows of the data table, and what a transaction does to them.

use bytes::{Bytes, BytesMut};
use redb::{ReadableTable, Table, WriteTransaction};

use super::marks::Marking;
use super::meta::{Admitted, Meta};
use super::{DATA, MarkedBy};
use crate::record::{Effect, Record};
use crate::stamp::Stamp;
use crate::wire::{Wire, WireError};

use ck_node::Proof;

/// Rows of all partitions, in order of partition and key, and what marks them.
pub(super) struct Rows<'txn> {
    pub(super) data: Table<'txn, &'static [u8], &'static [u8]>,
    marking: Option<Marking<'txn>>,
}

impl<'txn> Rows<'txn> {
    pub(super) fn open(
        txn: &'txn WriteTransaction,
        by: Option<MarkedBy>,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            data: txn.open_table(DATA)?,
            marking: by.map(|by| Marking::open(txn, by)).transpose()?,
        })
    }

    /// Sets a key, or takes it away. Returns the length of the value that was there.
    pub(super) fn set(
        &mut self,
        partition: u32,
        key: &[u8],
        row: Option<&[u8]>,
    ) -> Result<Option<usize>, redb::Error> {
        let at = row_key(partition, key);
        let old = match row {
            Some(row) => self.data.insert(at.as_slice(), row)?,
            None => self.data.remove(at.as_slice())?,
        };
        let length = old.as_ref().map(|old| old.value().len() - STAMP_BYTES);
        if let Some(marking) = &mut self.marking {
            let before = old.map(|old| marking.of(key, old.value())).transpose()?;
            let after = row.map(|row| marking.of(key, row)).transpose()?;
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            marking.change(partition, key, &before, &after)?;
        }
        Ok(length)
    }
}

/// Bytes of a stamp before the value.
const STAMP_BYTES: usize = 28;

/// The right to write one record: the token was checked against what the copy has seen, and where
/// the node is the primary, its ownership was checked at this instant.
///
/// Nothing outside the store can make one:
///
/// ```compile_fail
/// let permit = ck_kv::Permit { admitted: todo!(), proof: None };
/// ```
///
/// ```compile_fail
/// let admitted = ck_kv::Admitted(());
/// ```
pub struct Permit<'a> {
    #[expect(dead_code, reason = "held as the witness that the token was checked")]
    admitted: Admitted,
    #[expect(
        dead_code,
        reason = "held as the witness that the ownership was checked"
    )]
    proof: Option<&'a Proof<'a>>,
}

impl<'a> Permit<'a> {
    /// The primary's: its own store checks the token like any other.
    pub(super) const fn of_primary(admitted: Admitted, proof: &'a Proof<'a>) -> Self {
        Self {
            admitted,
            proof: Some(proof),
        }
    }

    /// A replica's: that the token is the newest is all it can know.
    pub(super) const fn of_replica(admitted: Admitted) -> Self {
        Self {
            admitted,
            proof: None,
        }
    }
}

impl std::fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// The row of a key.
pub(super) fn row_key(partition: u32, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(4 + key.len());
    row.extend_from_slice(&partition.to_be_bytes());
    row.extend_from_slice(key);
    row
}

/// The first row that is another partition's.
pub(super) fn row_end(partition: u32) -> Vec<u8> {
    match partition.checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => vec![0xff; 5],
    }
}

pub(super) fn row_value(stamp: Stamp, value: &[u8]) -> BytesMut {
    let mut row = BytesMut::with_capacity(STAMP_BYTES + value.len());
    stamp.write(&mut row);
    row.extend_from_slice(value);
    row
}

/// Stamp and value of a row.
pub(super) fn read_row(row: &[u8]) -> Result<(Stamp, &[u8]), WireError> {
    let stamp = stamp_of(row)?;
    Ok((stamp, &row[STAMP_BYTES..]))
}

pub(super) fn stamp_of(row: &[u8]) -> Result<Stamp, WireError> {
    let head = row.get(..STAMP_BYTES).unwrap_or(row);
    Stamp::read(&mut Bytes::copy_from_slice(head))
}

/// Applies one record, which follows what the copy has.
pub(super) fn apply(
    rows: &mut Rows<'_>,
    meta: &mut Meta,
    partition: u32,
    record: &Record,
    permit: &Permit<'_>,
) -> Result<(), redb::Error> {
    match &record.effect {
        Effect::Put(value) => put(
            rows,
            meta,
            partition,
            &record.key,
            record.stamp,
            value,
            permit,
        ),
        Effect::Delete => remove(rows, meta, partition, &record.key, permit),
        Effect::Superseded => Ok(()),
    }
}

/// Sets a key.
pub(super) fn put(
    rows: &mut Rows<'_>,
    meta: &mut Meta,
    partition: u32,
    key: &[u8],
    stamp: Stamp,
    value: &[u8],
    _: &Permit<'_>,
) -> Result<(), redb::Error> {
    let old = rows.set(partition, key, Some(row_value(stamp, value).as_ref()))?;
    let size = |value: usize| (key.len() + value) as u64;
    match old {
        Some(old) => meta.bytes = meta.bytes.saturating_sub(size(old)),
        None => meta.keys += 1,
    }
    meta.bytes += size(value.len());
    Ok(())
}

/// Takes a key away.
pub(super) fn remove(
    rows: &mut Rows<'_>,
    meta: &mut Meta,
    partition: u32,
    key: &[u8],
    _: &Permit<'_>,
) -> Result<(), redb::Error> {
    if let Some(old) = rows.set(partition, key, None)? {
        let old = key.len() + old;
        meta.keys = meta.keys.saturating_sub(1);
        meta.bytes = meta.bytes.saturating_sub(old as u64);
    }
    Ok(())
}

/// The keys with their stamps after `start` up to `until`.
pub(super) fn keys_between(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    partition: u32,
    start: Option<&[u8]>,
    until: Option<&[u8]>,
) -> Result<Vec<(Bytes, Stamp)>, redb::Error> {
    let mut found = Vec::new();
    for row in rows.range::<&[u8]>(bounds(partition, start, until).as_ref())? {
        let (key, value) = row?;
        let stamp = stamp_of(value.value()).map_err(damaged)?;
        found.push((Bytes::copy_from_slice(&key.value()[4..]), stamp));
    }
    Ok(found)
}

/// A row that does not read back, as an error of the database.
pub(super) fn damaged(source: WireError) -> redb::Error {
    redb::Error::Corrupted(source.to_string())
}

/// Bounds of a stretch of rows.
pub(super) struct Bounds {
    start: std::ops::Bound<Vec<u8>>,
    end: std::ops::Bound<Vec<u8>>,
}

impl Bounds {
    pub(super) fn as_ref(&self) -> (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) {
        (
            self.start.as_ref().map(Vec::as_slice),
            self.end.as_ref().map(Vec::as_slice),
        )
    }
}

/// The rows of the keys after `start` up to `end`; absent bounds are those of the partition.
pub(super) fn bounds(partition: u32, start: Option<&[u8]>, end: Option<&[u8]>) -> Bounds {
    use std::ops::Bound::{Excluded, Included};
    Bounds {
        start: match start {
            Some(key) => Excluded(row_key(partition, key)),
            None => Included(row_key(partition, &[])),
        },
        end: match end {
            Some(key) => Included(row_key(partition, key)),
            None => Excluded(row_end(partition)),
        },
    }
}
