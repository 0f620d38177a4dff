use std::ops::RangeBounds;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};
use serde::Serialize;

use super::writer::{Job, Reply};
use super::{LOG, Store, StoreError};
use crate::codec;

impl Store {
    /// Hands log records over to be written. They can be read at once; `reply` is told when they
    /// are durable.
    pub(crate) async fn append(
        &self,
        records: Vec<(u64, Vec<u8>)>,
        reply: Reply,
    ) -> Result<(), StoreError> {
        let records: Vec<(u64, Arc<[u8]>)> = records
            .into_iter()
            .map(|(index, bytes)| (index, codec::seal(&bytes).into()))
            .collect();
        {
            let mut pending = self.inner.pending.lock();
            pending.extend(
                records
                    .iter()
                    .map(|(index, record)| (*index, Arc::clone(record))),
            );
        }
        self.inner.writer.send(Job::Append { records, reply }).await
    }

    /// Removes the records from `from` on, durably.
    pub(crate) async fn truncate(&self, from: u64) -> Result<(), StoreError> {
        let result = self
            .inner
            .writer
            .run(|reply| Job::Truncate { from, reply })
            .await;
        self.inner.pending.lock().split_off(&from);
        result
    }

    /// Removes the records up to `upto`, and keeps `mark` as the last one removed, durably.
    pub(crate) async fn purge<T: Serialize>(&self, upto: u64, mark: &T) -> Result<(), StoreError> {
        let record = self.record(mark)?;
        self.inner
            .writer
            .run(|reply| Job::Purge {
                upto,
                record,
                reply,
            })
            .await
    }

    /// The records in `range`, in order.
    pub(crate) fn records(
        &self,
        range: impl RangeBounds<u64> + Clone,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        // Records leave `pending` only after they are committed, so looking there first finds
        // each in one of the two.
        let waiting: Vec<(u64, Arc<[u8]>)> = self
            .inner
            .pending
            .lock()
            .range(range.clone())
            .map(|(index, record)| (*index, Arc::clone(record)))
            .collect();
        let read = || -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
            let txn = self.inner.db.begin_read()?;
            let table = txn.open_table(LOG)?;
            let mut found = Vec::new();
            for item in table.range(range.clone())? {
                let (index, record) = item?;
                found.push((index.value(), record.value().to_vec()));
            }
            Ok(found)
        };
        let stored = read().map_err(|source| self.damaged(source))?;
        let mut merged: std::collections::BTreeMap<u64, Vec<u8>> = stored.into_iter().collect();
        merged.extend(
            waiting
                .into_iter()
                .map(|(index, record)| (index, record.to_vec())),
        );
        merged
            .into_iter()
            .map(|(index, record)| match codec::unseal(&record) {
                Ok(bytes) => Ok((index, bytes.to_vec())),
                Err(source) => Err(self.damaged(format_args!("log entry {index}: {source}"))),
            })
            .collect()
    }

    /// The last record.
    pub(crate) fn last_record(&self) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let waiting = self
            .inner
            .pending
            .lock()
            .last_key_value()
            .map(|(index, _)| *index);
        let read = || -> Result<Option<u64>, redb::Error> {
            let txn = self.inner.db.begin_read()?;
            let table = txn.open_table(LOG)?;
            Ok(table.last()?.map(|(index, _)| index.value()))
        };
        let stored = read().map_err(|source| self.damaged(source))?;
        match waiting.max(stored) {
            None => Ok(None),
            Some(last) => Ok(self.records(last..=last)?.pop()),
        }
    }

    /// Whether the records from `first` on stand without a gap; names the first one missing.
    pub(crate) fn first_gap(&self, first: u64) -> Result<Option<u64>, StoreError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let txn = self.inner.db.begin_read()?;
            let table = txn.open_table(LOG)?;
            for (expected, item) in (first..).zip(table.range(first..)?) {
                if item?.0.value() != expected {
                    return Ok(Some(expected));
                }
            }
            Ok(None)
        };
        read().map_err(|source| self.damaged(source))
    }
}
