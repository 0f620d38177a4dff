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
use crate::record::{Effect, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::stamp::{Grant, Stamp};

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
    /// Dropping the future does not take the change back. The role is not handed over before the
    /// change is answered.
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
    /// certain; a change that is made meanwhile may be or may not be. Blocks its thread for as long as
    /// reading a page takes.
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
        let (grant, mut progress, newest) = {
            let part = self.core.part(partition);
            let serving = part.lock();
            let serving = serving
                .as_ref()
                .filter(|now| is_of(now.grant, token))
                .ok_or(NotOwner::Moving { partition })?;
            (serving.grant, serving.progress(), serving.newest_assigned())
        };
        let settled = progress.wait_for(|now| !now.open || now.committed >= newest);
        if tokio::time::timeout(SETTLES, settled).await.is_err() {
            return Err(KvError::Busy { partition }.into());
        }
        let (keys, head_bytes) = (page.keys, page.head_bytes);
        let found = self.core.store.scan(partition.0, after, keys, head_bytes);
        let found = found.map_err(KvError::from)?;
        let part = self.core.part(partition);
        let serves = part.lock().as_ref().is_some_and(|now| now.grant == grant);
        if !serves {
            return Err(NotOwner::Moving { partition }.into());
        }
        let scanned = found.into_iter().map(|(entry, value_bytes)| Scanned {
            key: entry.key,
            stamp: entry.stamp,
            head: entry.value,
            value_bytes,
        });
        Ok(scanned.collect())
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
