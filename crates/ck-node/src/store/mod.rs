//! What a node keeps on its disk: who it is, the consensus log, the vote, the last snapshot.
//!
//! One file, one process: the file is locked while the store is open. Writes go through one
//! thread that commits what has queued up together; `Ok` means it is durable, except where a
//! method says otherwise. After a failed write nothing more is accepted: what the disk holds is
//! then unknown, and only a restart finds out.

mod home;
mod identity;
mod log;
mod open;
mod replace;
mod writer;

pub(crate) use identity::{Identity, Membership};
pub use open::StoreError;
pub(crate) use open::{FILE, MARKER};
pub(crate) use replace::Replacement;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use writer::{Job, Writer};

/// Newest layout this version reads and writes.
pub(crate) const FORMAT: u16 = 1;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshot");

const SNAPSHOT_KEY: &str = "current";

/// Names of single values.
pub(crate) mod key {
    pub(crate) const FORMAT: &str = "format";
    pub(crate) const IDENTITY: &str = "identity";
    /// The newest start that told an outside process what it may act on.
    pub(crate) const SERVED: &str = "served";
    /// The session that was stopped cleanly, until the next one may act.
    pub(crate) const STOPPED: &str = "stopped";
    pub(crate) const VOTE: &str = "vote";
    pub(crate) const COMMITTED: &str = "committed";
    pub(crate) const PURGED: &str = "purged";
}

/// An open store. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    db: Arc<Database>,
    writer: Writer,
    /// Log records handed to the writer and not yet committed, so that they can be read at once.
    pending: Arc<Mutex<BTreeMap<u64, Arc<[u8]>>>>,
}

impl Store {
    /// The file it is in.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.inner.path
    }

    fn wrap(path: PathBuf, db: Database) -> Result<Self, StoreError> {
        let db = Arc::new(db);
        let pending = Arc::new(Mutex::new(BTreeMap::new()));
        let writer = Writer::start(Arc::clone(&db), Arc::clone(&pending), path.clone())?;
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                db,
                writer,
                pending,
            }),
        })
    }

    pub(crate) fn damaged(&self, what: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged {
            path: self.inner.path.clone(),
            what: what.to_string(),
        }
    }

    /// A single value, `None` when it was never written.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let txn = self.inner.db.begin_read()?;
            let table = txn.open_table(META)?;
            Ok(table.get(name)?.map(|value| value.value().to_vec()))
        };
        let record = read().map_err(|source| self.damaged(source))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let bytes = codec::unseal(&record).map_err(|source| self.damaged(source))?;
        codec::decode(bytes)
            .map(Some)
            .map_err(|source| self.damaged(source))
    }

    /// Writes a single value durably.
    pub(crate) async fn write<T: Serialize>(
        &self,
        name: &'static str,
        value: &T,
    ) -> Result<(), StoreError> {
        let record = self.record(value)?;
        self.inner
            .writer
            .run(|reply| Job::Put {
                name,
                record,
                durable: true,
                reply,
            })
            .await
    }

    /// Writes a single value without waiting for the disk: it is durable once anything written
    /// after it is.
    pub(crate) async fn write_lazily<T: Serialize>(
        &self,
        name: &'static str,
        value: &T,
    ) -> Result<(), StoreError> {
        let record = self.record(value)?;
        self.inner
            .writer
            .run(|reply| Job::Put {
                name,
                record,
                durable: false,
                reply,
            })
            .await
    }

    fn record<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        let bytes = codec::encode(value).map_err(|source| self.damaged(source))?;
        Ok(codec::seal(&bytes))
    }

    /// Keeps a snapshot durably, in place of the one before.
    pub(crate) async fn save_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let record = codec::seal(bytes);
        self.inner
            .writer
            .run(|reply| Job::Snapshot { record, reply })
            .await
    }

    /// The last snapshot kept.
    pub(crate) fn snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let txn = self.inner.db.begin_read()?;
            let table = txn.open_table(SNAPSHOT)?;
            Ok(table.get(SNAPSHOT_KEY)?.map(|value| value.value().to_vec()))
        };
        let record = read().map_err(|source| self.damaged(source))?;
        match record {
            None => Ok(None),
            Some(record) => match codec::unseal(&record) {
                Ok(bytes) => Ok(Some(bytes.to_vec())),
                Err(source) => Err(self.damaged(source)),
            },
        }
    }
}
