//! The consensus log on the node's store.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ck_control::MemberNumber;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use super::types::{LogEntry, LogId, StorageError, StorageIOError, TypeConfig, Vote};
use crate::codec;
use crate::store::{Store, StoreError, key};

/// Bytes of log entries sent to a peer in one request, unless a single entry is larger.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// The log, the vote and the last committed position.
#[derive(Clone)]
pub(crate) struct LogStore {
    store: Store,
    progress: Arc<Progress>,
}

/// How far the log is, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    committed: AtomicU64,
    last_term: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Index of the last entry known to be committed, and term of the last entry.
    pub(crate) fn read(&self) -> (u64, u64) {
        (
            self.committed.load(Ordering::Relaxed),
            self.last_term.load(Ordering::Relaxed),
        )
    }

    /// Whether more than `limit` bytes were appended since this last said so.
    pub(crate) fn grown_by(&self, limit: u64) -> bool {
        let grown = self.bytes.load(Ordering::Relaxed) >= limit;
        if grown {
            self.bytes.store(0, Ordering::Relaxed);
        }
        grown
    }
}

impl LogStore {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            progress: Arc::default(),
        }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn entries(
        &self,
        range: impl RangeBounds<u64> + Clone,
    ) -> Result<Vec<(LogEntry, usize)>, StorageError> {
        let records = self
            .store
            .records(range)
            .map_err(|source| reading(&source))?;
        records
            .into_iter()
            .map(|(index, bytes)| match codec::decode::<LogEntry>(&bytes) {
                Ok(entry) => Ok((entry, bytes.len())),
                Err(source) => Err(StorageIOError::read_log_at_index(
                    index,
                    openraft::AnyError::new(&source),
                )
                .into()),
            })
            .collect()
    }
}

/// Takes back, durably, that `member` was elected, if its store says so.
///
/// The core leads again at once where its stored vote is its own and committed. The process that was
/// elected may be alive elsewhere, so this one has to win an election of its own. What it voted stays:
/// it votes for nobody else in that term. A vote for another is left alone, for the core leads nothing
/// by it, and may not vote anew below it.
pub(crate) async fn resign(store: &Store, member: MemberNumber) -> Result<(), StoreError> {
    let Some(mut vote) = store.read::<Vote>(key::VOTE)? else {
        return Ok(());
    };
    if !vote.committed || vote.leader_id.voted_for() != Some(member.0) {
        return Ok(());
    }
    vote.committed = false;
    store.write(key::VOTE, &vote).await
}

fn reading(source: &StoreError) -> StorageError {
    StorageIOError::read_logs(openraft::AnyError::new(source)).into()
}

fn writing(source: &StoreError) -> StorageError {
    StorageIOError::write_logs(openraft::AnyError::new(source)).into()
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, StorageError> {
        // The range may come with bounds that are not `'static`; copy them out.
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        Ok(self
            .entries(bounds)?
            .into_iter()
            .map(|(entry, _)| entry)
            .collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<LogEntry>, StorageError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for index in start..end {
            let found = self.entries(index..=index)?;
            for (entry, size) in found {
                bytes += size;
                entries.push(entry);
            }
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        Ok(entries)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let purged: Option<LogId> = self
            .store
            .read(key::PURGED)
            .map_err(|source| reading(&source))?;
        let last = match self
            .store
            .last_record()
            .map_err(|source| reading(&source))?
        {
            None => purged,
            Some((index, bytes)) => {
                let entry: LogEntry = codec::decode(&bytes).map_err(|source| {
                    StorageIOError::read_log_at_index(index, openraft::AnyError::new(&source))
                })?;
                Some(entry.log_id)
            }
        };
        let last_term = last.map_or(0, |id| id.leader_id.term);
        self.progress.last_term.store(last_term, Ordering::Relaxed);
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let written = self.store.write(key::VOTE, vote).await;
        written
            .map_err(|source| StorageIOError::write_vote(openraft::AnyError::new(&source)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let vote = self.store.read(key::VOTE);
        vote.map_err(|source| StorageIOError::read_vote(openraft::AnyError::new(&source)).into())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let index = committed.map_or(0, |id| id.index);
        self.progress.committed.store(index, Ordering::Relaxed);
        // Not waited for: the entries themselves are durable, this only tells how far to apply
        // them before the leader is heard at the next start.
        self.store
            .write_lazily(key::COMMITTED, &committed)
            .await
            .map_err(|source| writing(&source))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed: Option<Option<LogId>> = self
            .store
            .read(key::COMMITTED)
            .map_err(|source| reading(&source))?;
        Ok(committed.flatten())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        for entry in entries {
            let bytes = codec::encode(&entry).map_err(|source| {
                StorageIOError::write_log_entry(entry.log_id, openraft::AnyError::new(&source))
            })?;
            self.progress
                .bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            records.push((entry.log_id.index, bytes));
            self.progress
                .last_term
                .store(entry.log_id.leader_id.term, Ordering::Relaxed);
        }
        let reply = Box::new(move |result: Result<(), StoreError>| {
            callback.log_io_completed(result.map_err(io::Error::other));
        });
        self.store
            .append(records, reply)
            .await
            .map_err(|source| writing(&source))
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.store
            .truncate(log_id.index)
            .await
            .map_err(|source| writing(&source))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.store
            .purge(log_id.index, &log_id)
            .await
            .map_err(|source| writing(&source))
    }
}
