//! Rows beside the data, by which a service finds its records otherwise than by their keys.
//!
//! They follow from the data alone, and are written with it, so they are in no message and no digest:
//! each copy makes its own.

use std::collections::BTreeSet;

use bytes::Bytes;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, WriteTransaction};

use super::data::{damaged, read_row, row_key};
use super::{ABOUT, COUNTS, DATA, MARKS};

/// Where a record stands in one of the orders of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Which order it is, at most 255 bytes. Members are counted for each.
    pub group: Bytes,
    /// Its place there. One record a place, as the last one written: a copy that is being filled may meet
    /// an older one of which it has not been told that it has gone.
    pub member: Bytes,
}

/// By what a service finds its records.
#[derive(Debug, Clone, Copy)]
pub struct MarkedBy {
    /// Raised whenever `marks` gives others, from 1: then they are made anew when a store is opened.
    pub version: u8,
    /// The marks of a key with that value. Always the same for the same.
    pub marks: fn(&[u8], &[u8]) -> Vec<Mark>,
}

/// The tables of marks in a transaction.
pub(super) struct Marking<'txn> {
    by: MarkedBy,
    marks: Table<'txn, &'static [u8], &'static [u8]>,
    counts: Table<'txn, &'static [u8], u64>,
}

/// Name under which it is noted by what the store's records are marked.
const NOTE: &str = "marks";

impl<'txn> Marking<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction, by: MarkedBy) -> Result<Self, redb::Error> {
        Ok(Self {
            by,
            marks: txn.open_table(MARKS)?,
            counts: txn.open_table(COUNTS)?,
        })
    }

    /// The marks of a row's value.
    pub(super) fn of(&self, key: &[u8], row: &[u8]) -> Result<BTreeSet<Mark>, redb::Error> {
        let (_, value) = read_row(row).map_err(damaged)?;
        Ok((self.by.marks)(key, value).into_iter().collect())
    }

    /// What of a record's marks has changed.
    pub(super) fn change(
        &mut self,
        partition: u32,
        key: &[u8],
        before: &BTreeSet<Mark>,
        after: &BTreeSet<Mark>,
    ) -> Result<(), redb::Error> {
        for mark in before.difference(after) {
            let place = mark_key(partition, mark);
            // Another record may stand there by now.
            let is_its = matches!(self.marks.get(&*place)?, Some(stands) if stands.value() == key);
            if is_its {
                self.marks.remove(&*place)?;
                self.count(partition, &mark.group, false)?;
            }
        }
        for mark in after.difference(before) {
            if self
                .marks
                .insert(&*mark_key(partition, mark), key)?
                .is_none()
            {
                self.count(partition, &mark.group, true)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, partition: u32, group: &[u8], more: bool) -> Result<(), redb::Error> {
        let row = row_key(partition, group);
        let before = self.counts.get(&*row)?.map_or(0, |count| count.value());
        match if more {
            before + 1
        } else {
            before.saturating_sub(1)
        } {
            0 => drop(self.counts.remove(&*row)?),
            now => drop(self.counts.insert(&*row, now)?),
        }
        Ok(())
    }
}

/// Makes all marks anew unless they are those of `by`; where there is none, notes that they are none.
pub(super) fn prepare(db: &Database, by: Option<MarkedBy>) -> Result<(), redb::Error> {
    let noted = db.begin_read()?.open_table(ABOUT)?.get(NOTE)?;
    let noted = noted.map(|noted| noted.value());
    if noted == by.map(|by| by.version) {
        return Ok(());
    }
    let txn = db.begin_write()?;
    txn.delete_table(MARKS)?;
    txn.delete_table(COUNTS)?;
    match by {
        None => drop(txn.open_table(ABOUT)?.remove(NOTE)?),
        Some(by) => {
            drop(txn.open_table(ABOUT)?.insert(NOTE, by.version)?);
            let (data, mut marking) = (txn.open_table(DATA)?, Marking::open(&txn, by)?);
            for row in data.iter()? {
                let (key, value) = row?;
                let (partition, key) = parted(key.value());
                let marks = marking.of(key, value.value())?;
                marking.change(partition, key, &BTreeSet::new(), &marks)?;
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn parted(row: &[u8]) -> (u32, &[u8]) {
    let (partition, key) = row.split_first_chunk().unwrap_or((&[0; 4], row));
    (u32::from_be_bytes(*partition), key)
}

/// The row of a mark: members of one group follow one another.
fn mark_key(partition: u32, mark: &Mark) -> Vec<u8> {
    let mut row = group_key(partition, &mark.group);
    row.extend_from_slice(&mark.member);
    row
}

/// What the rows of a group begin with.
pub(super) fn group_key(partition: u32, group: &[u8]) -> Vec<u8> {
    debug_assert!(group.len() <= usize::from(u8::MAX));
    let mut row = row_key(partition, &[u8::try_from(group.len()).unwrap_or(u8::MAX)]);
    row.extend_from_slice(group);
    row
}
