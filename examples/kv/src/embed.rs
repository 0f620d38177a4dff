//! The store as a library: for a service that keeps its own records in partitions and wants them
//! replicated, fenced and handed over like any key's.
//!
//! Such a service is the only writer of its partitions: it answers its own routes, and passes
//! requests on below `/kv-peer/` alone to [`Routes`](ck_http::Routes) of [`Kv`].

use std::time::Duration;

use bytes::Bytes;
use ck_node::{FencingToken, NotOwner, PartitionId};

use crate::error::KvError;
use crate::kv::Kv;
use crate::ops::{Condition, Consistency};
use crate::record::{Effect, Entry, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::stamp::{Grant, Stamp};
use crate::store::{Store, StoreError};

/// Time that what was under way before a scan has to come to its end.
const SETTLES: Duration = Duration::from_secs(5);

/// Why a call of the library was not carried out, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The key is empty or too long.
    #[error("a key of {bytes} bytes is out of range; use 1 to {KEY_BYTES_MAX}")]
    KeyBytes {
        /// Its length.
        bytes: usize,
    },
    /// The value is too long.
    #[error("a value of {bytes} bytes is too long; use at most {VALUE_BYTES_MAX}")]
    ValueBytes {
        /// Its length.
        bytes: usize,
    },
    /// As a request of the key would have been answered.
    #[error(transparent)]
    Kv(#[from] KvError),
}

impl EmbedError {
    /// Whether the call certainly changed nothing.
    #[must_use]
    pub const fn is_unapplied(&self) -> bool {
        match self {
            Self::KeyBytes { .. } | Self::ValueBytes { .. } => true,
            Self::Kv(error) => error.is_unapplied(),
        }
    }
}

impl From<NotOwner> for EmbedError {
    fn from(refused: NotOwner) -> Self {
        Self::Kv(refused.into())
    }
}

/// One key as a scan finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The key.
    pub key: Bytes,
    /// The record that set it.
    pub stamp: Stamp,
    /// The first bytes of its value, as many as were asked for.
    pub head: Bytes,
    /// Bytes of the whole value.
    pub value_bytes: usize,
}

impl From<(Entry, usize)> for Scanned {
    fn from((entry, value_bytes): (Entry, usize)) -> Self {
        Self {
            key: entry.key,
            stamp: entry.stamp,
            head: entry.value,
            value_bytes,
        }
    }
}

/// A member of a group of marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its place in the group.
    pub member: Bytes,
    /// The record.
    pub record: Scanned,
}

/// How much one call of [`Kv::scan`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Keys at most; fewer mean that the end was reached.
    pub keys: usize,
    /// Bytes of each value at most.
    pub head_bytes: usize,
}

impl Kv {
    /// Makes one change of one key. `Ok` means what a 2xx of `PUT /kv/KEY` means: every copy in
    /// sync has it on its disk (in mode `async`: the primary has).
    ///
    /// Dropping the future does not take the change back. A planned move waits for changes that are
    /// under way.
    ///
    /// # Errors
    /// [`EmbedError`]; where [`EmbedError::is_unapplied`] nothing was changed, else the change may
    /// have been made, or may come to be as long as this node serves.
    pub async fn write(
        &self,
        partition: PartitionId,
        key: Bytes,
        effect: Effect,
        condition: Condition,
    ) -> Result<Stamp, EmbedError> {
        fit(&key)?;
        if let Effect::Put(value) = &effect
            && value.len() > VALUE_BYTES_MAX
        {
            let bytes = value.len();
            return Err(EmbedError::ValueBytes { bytes });
        }
        let write = self.core.write(partition, key, effect, condition, None);
        Ok(write.await?)
    }

    /// A key's value and the record that set it; `None` when the key is absent.
    ///
    /// # Errors
    /// [`EmbedError`], as `GET /kv/KEY` answers.
    pub async fn read(
        &self,
        partition: PartitionId,
        key: &[u8],
        consistency: Consistency,
    ) -> Result<Option<(Stamp, Bytes)>, EmbedError> {
        fit(key)?;
        Ok(self.core.read(partition, key, consistency, None).await?)
    }

    /// The keys after `after` (from the first on, without one), in order of their bytes, as this
    /// node's copy has them while it serves the partition at `token`.
    ///
    /// Meant for what a service keeps in memory beside its records, and builds when its role
    /// begins: it may be called from `become_primary`, after the store's own has returned and before
    /// the node owns the partition. What was written before the call is in the answer, once it is
    /// certain; a change that is made meanwhile may be or may not be.
    ///
    /// # Errors
    /// [`KvError::NotOwner`] when this node does not serve the partition at `token`, before or
    /// after; [`KvError::Busy`] when a write before the call came to no end within 5 s;
    /// [`KvError::Store`].
    pub async fn scan(
        &self,
        token: FencingToken,
        after: Option<&[u8]>,
        page: Page,
    ) -> Result<Vec<Scanned>, EmbedError> {
        let partition = token.partition;
        self.settled(token).await?;
        let (keys, head_bytes) = (page.keys, page.head_bytes);
        let after = after.map(Bytes::copy_from_slice);
        let found = self.reading_at(token, move |store| {
            store.scan(partition.0, after.as_deref(), keys, head_bytes)
        });
        Ok(found.await?.into_iter().map(Scanned::from).collect())
    }

    /// How many members each group of marks has ([`KvConfig::marked_by`](crate::KvConfig)), as
    /// [`Kv::scan`] finds keys: once what was written before the call is certain.
    ///
    /// # Errors
    /// As [`Kv::scan`].
    pub async fn mark_counts(&self, token: FencingToken) -> Result<Vec<(Bytes, u64)>, EmbedError> {
        let partition = token.partition.0;
        self.settled(token).await?;
        self.reading_at(token, move |store| store.mark_counts(partition))
            .await
    }

    /// The members of a group of marks from `from` on, in order of their bytes, as this node's copy has
    /// them now: what is being written may be there or not.
    ///
    /// # Errors
    /// As [`Kv::scan`], but that nothing is waited for.
    pub async fn marked(
        &self,
        token: FencingToken,
        group: Bytes,
        from: Bytes,
        page: Page,
    ) -> Result<Vec<Marked>, EmbedError> {
        let partition = token.partition.0;
        let found = self.reading_at(token, move |store| {
            let (keys, head_bytes) = (page.keys, page.head_bytes);
            store.marked(partition, &group, &from, keys, head_bytes)
        });
        let marked = found
            .await?
            .into_iter()
            .map(|(member, entry, bytes)| Marked {
                member,
                record: Scanned::from((entry, bytes)),
            });
        Ok(marked.collect())
    }

    /// Waits until what was written before is certain.
    async fn settled(&self, token: FencingToken) -> Result<(), EmbedError> {
        let partition = token.partition;
        let (mut progress, newest) = {
            let part = self.core.part(partition);
            let serving = part.lock();
            let serving = serving
                .as_ref()
                .filter(|now| is_of(now.grant, token))
                .ok_or(NotOwner::Moving { partition })?;
            (serving.progress(), serving.newest_assigned())
        };
        let settled = progress.wait_for(|now| !now.open || now.committed >= newest);
        if tokio::time::timeout(SETTLES, settled).await.is_err() {
            return Err(KvError::Busy { partition }.into());
        }
        Ok(())
    }

    /// Reads the store while this node serves the partition at `token`, and says so afterwards.
    async fn reading_at<T: Send + 'static>(
        &self,
        token: FencingToken,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, EmbedError> {
        let partition = token.partition;
        let part = self.core.part(partition);
        let grant = || {
            let serving = part.lock();
            let now = serving.as_ref().map(|now| now.grant);
            let now = now.filter(|grant| is_of(*grant, token));
            now.ok_or(NotOwner::Moving { partition })
        };
        let before = grant()?;
        let found = self.core.reading(read).await.map_err(KvError::from)?;
        // A round that has begun since might have brought what was not read.
        if grant()? != before {
            return Err(NotOwner::Moving { partition }.into());
        }
        Ok(found)
    }
}

fn is_of(grant: Grant, token: FencingToken) -> bool {
    (grant.incarnation, grant.epoch) == (token.incarnation.0, token.epoch.0)
}

fn fit(key: &[u8]) -> Result<(), EmbedError> {
    let bytes = key.len();
    if (1..=KEY_BYTES_MAX).contains(&bytes) {
        Ok(())
    } else {
        Err(EmbedError::KeyBytes { bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kv::KvConfig;
    use crate::record::Record;
    use crate::store::Job;
    use crate::wire::Section;

    fn kv(directory: &std::path::Path) -> Kv {
        Kv::open(directory, KvConfig::default()).unwrap()
    }

    /// Puts keys into a copy, as a replica takes them.
    async fn fill(kv: &Kv, partition: u32, keys: &[(&str, &str)]) {
        let grant = Grant {
            incarnation: 1,
            epoch: 1,
            round: 1,
        };
        let records = keys.iter().zip(1..).map(|((key, value), seq)| {
            Arc::new(Record {
                stamp: Stamp { grant, seq },
                key: Bytes::copy_from_slice(key.as_bytes()),
                effect: Effect::Put(Bytes::copy_from_slice(value.as_bytes())),
            })
        });
        let sections = vec![Section {
            partition,
            grant,
            after: Stamp::ZERO,
            records: records.collect(),
            stable: 0,
        }];
        let taken = kv.core.store.run(|reply| Job::Receive { sections, reply });
        assert!(taken.await.unwrap().iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_page_is_in_order_of_one_partition_and_no_longer_than_asked() {
        let directory = tempfile::tempdir().unwrap();
        let kv = kv(directory.path());
        fill(&kv, 6, &[("z", "other")]).await;
        fill(&kv, 7, &[("c", "3"), ("a", "11111"), ("b", "")]).await;
        fill(&kv, 8, &[("a", "other")]).await;
        let scan = |after: Option<&[u8]>, rows| {
            let found = kv.core.store.scan(7, after, rows, 3).unwrap();
            let shown = found.into_iter().map(|(entry, bytes)| {
                let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                (text(&entry.key), text(&entry.value), bytes)
            });
            shown.collect::<Vec<_>>()
        };
        let row = |key: &str, head: &str, bytes| (key.to_owned(), head.to_owned(), bytes);
        assert_eq!(scan(None, 2), [row("a", "111", 5), row("b", "", 0)]);
        assert_eq!(scan(Some(b"b"), 2), [row("c", "3", 1)]);
        assert_eq!(scan(Some(b"c"), 2), []);
    }

    #[tokio::test]
    async fn who_does_not_serve_scans_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let kv = kv(directory.path());
        fill(&kv, 7, &[("a", "1")]).await;
        let page = Page {
            keys: 9,
            head_bytes: 9,
        };
        let refused = kv.scan("1.7.1".parse().unwrap(), None, page).await;
        let Err(EmbedError::Kv(KvError::NotOwner(NotOwner::Moving { partition }))) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(partition, PartitionId(7));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_before_anything_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let kv = kv(directory.path());
        let write = |key: Vec<u8>, value: Vec<u8>| {
            let effect = Effect::Put(value.into());
            kv.write(PartitionId(1), key.into(), effect, Condition::Always)
        };
        for bytes in [0, KEY_BYTES_MAX + 1] {
            let refused = write(vec![b'k'; bytes], Vec::new()).await.unwrap_err();
            assert!(refused.is_unapplied());
            assert!(matches!(refused, EmbedError::KeyBytes { bytes: got } if got == bytes));
        }
        let refused = write(vec![b'k'], vec![0; VALUE_BYTES_MAX + 1]).await;
        assert!(matches!(refused, Err(EmbedError::ValueBytes { .. })));
        let read = kv.read(PartitionId(1), b"", Consistency::Lease).await;
        assert!(matches!(read, Err(EmbedError::KeyBytes { bytes: 0 })));
    }
}
