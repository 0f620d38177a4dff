//! The replicated state behind consensus: applies what is committed, publishes it, snapshots it.

use std::io::Cursor;
use std::sync::Arc;

use ck_control::{Entry, Position, State};
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};

use super::types::{
    Applied, LogEntry, LogId, PeerNode, Snapshot, SnapshotMeta, StorageError, StorageIOError,
    StoredMembership, TypeConfig,
};
use crate::codec::{self, CodecError};
use crate::published::{Notice, Publisher};
use crate::store::Store;

/// A snapshot as it is stored: what consensus needs to know of it, and the state.
#[derive(Serialize, Deserialize)]
struct SnapshotRecord {
    last: Option<LogId>,
    membership: StoredMembership,
    id: String,
    state: Vec<u8>,
}

/// A stored snapshot's state, and the last entry in it.
pub(super) fn decode_snapshot(bytes: &[u8]) -> Result<(State, Option<LogId>), String> {
    let record: SnapshotRecord = codec::decode(bytes).map_err(|source| source.to_string())?;
    let snapshot: ck_control::Snapshot =
        codec::decode(&record.state).map_err(|source| source.to_string())?;
    let state = snapshot.into_state().map_err(|source| source.to_string())?;
    Ok((state, record.last))
}

/// A snapshot as it is stored.
pub(super) fn encode_snapshot(
    last: LogId,
    membership: StoredMembership,
    state: &State,
) -> Result<Vec<u8>, CodecError> {
    codec::encode(&SnapshotRecord {
        last: Some(last),
        membership,
        id: last.to_string(),
        state: codec::encode(&ck_control::Snapshot::of(state))?,
    })
}

/// Applies committed entries to a [`State`].
pub(crate) struct Machine {
    store: Store,
    publisher: Arc<Publisher>,
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
    /// Events up to here were told before this start.
    told: u64,
}

impl Machine {
    /// The state of the last snapshot, or an empty one. Events up to `told` stay untold.
    pub(crate) fn restore(
        store: Store,
        publisher: Arc<Publisher>,
        told: u64,
    ) -> Result<Self, StorageError> {
        let mut machine = Self {
            store,
            publisher,
            state: State::default(),
            last: None,
            membership: StoredMembership::default(),
            told,
        };
        let record = machine
            .store
            .snapshot()
            .map_err(|source| reading(&AnyError::new(&source)))?;
        if let Some(bytes) = record {
            let record: SnapshotRecord =
                codec::decode(&bytes).map_err(|source| reading(&AnyError::new(&source)))?;
            machine.adopt(&record)?;
            machine.publish(Vec::new());
        }
        Ok(machine)
    }

    fn adopt(&mut self, record: &SnapshotRecord) -> Result<(), StorageError> {
        let snapshot: ck_control::Snapshot =
            codec::decode(&record.state).map_err(|source| reading(&AnyError::new(&source)))?;
        self.state = snapshot
            .into_state()
            .map_err(|source| reading(&AnyError::new(&source)))?;
        self.last = record.last;
        self.membership = record.membership.clone();
        Ok(())
    }

    fn publish(&self, notices: Vec<Notice>) {
        let applied = Position(self.last.map_or(0, |id| id.index));
        self.publisher.publish(&self.state, applied, notices);
    }

    fn apply_one(
        &mut self,
        entry: LogEntry,
        notices: &mut Vec<Notice>,
    ) -> Result<Applied, StorageError> {
        let position = entry.log_id.index;
        self.last = Some(entry.log_id);
        let result = match entry.payload {
            EntryPayload::Blank => Ok(self.state.version()),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Ok(self.state.version())
            }
            EntryPayload::Normal(proposal) => {
                let entry = Entry {
                    position: Position(position),
                    term: entry.log_id.leader_id.term,
                    proposal,
                };
                // A command of a later version must stop this node, not be skipped.
                let outcome = self.state.apply(&entry).map_err(|fatal| {
                    StorageError::from(StorageIOError::apply(
                        self.last.unwrap_or_default(),
                        AnyError::new(&fatal),
                    ))
                })?;
                outcome.map(|events| {
                    if position > self.told {
                        notices.extend(
                            events
                                .into_iter()
                                .map(|event| Notice::Event(Arc::new(event))),
                        );
                    }
                    self.state.version()
                })
            }
        };
        Ok(Applied { position, result })
    }
}

fn reading(source: &AnyError) -> StorageError {
    StorageIOError::read_snapshot(None, source.clone()).into()
}

fn writing(source: &CodecError) -> StorageError {
    StorageIOError::write_snapshot(None, AnyError::new(source)).into()
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut notices = Vec::new();
        let mut applied = Vec::new();
        for entry in entries {
            applied.push(self.apply_one(entry, &mut notices)?);
        }
        self.publish(notices);
        Ok(applied)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            store: self.store.clone(),
            state: self.state.clone(),
            last: self.last,
            membership: self.membership.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let record = SnapshotRecord {
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
            id: meta.snapshot_id.clone(),
            state: snapshot.into_inner(),
        };
        self.adopt(&record)?;
        save(&self.store, &record).await?;
        let upto = Position(self.last.map_or(0, |id| id.index));
        self.publish(vec![Notice::Skipped { upto }]);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let bytes = self
            .store
            .snapshot()
            .map_err(|source| reading(&AnyError::new(&source)))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let record: SnapshotRecord =
            codec::decode(&bytes).map_err(|source| reading(&AnyError::new(&source)))?;
        Ok(Some(handed_out(record)))
    }
}

fn handed_out(record: SnapshotRecord) -> Snapshot {
    Snapshot {
        meta: openraft::SnapshotMeta::<u64, PeerNode> {
            last_log_id: record.last,
            last_membership: record.membership,
            snapshot_id: record.id,
        },
        snapshot: Box::new(Cursor::new(record.state)),
    }
}

async fn save(store: &Store, record: &SnapshotRecord) -> Result<(), StorageError> {
    let bytes = codec::encode(record).map_err(|source| writing(&source))?;
    let saved = store.save_snapshot(&bytes).await;
    saved.map_err(|source| StorageIOError::write_snapshot(None, AnyError::new(&source)).into())
}

/// Writes down the state as it was when the snapshot was asked for.
pub(crate) struct Builder {
    store: Store,
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let snapshot = ck_control::Snapshot::of(&self.state);
        let encoded = tokio::task::spawn_blocking(move || codec::encode(&snapshot)).await;
        let state = match encoded {
            Ok(state) => state.map_err(|source| writing(&source))?,
            Err(source) => {
                return Err(StorageIOError::write_snapshot(None, AnyError::new(&source)).into());
            }
        };
        let id = self
            .last
            .map_or_else(|| "empty".to_owned(), |last| last.to_string());
        let record = SnapshotRecord {
            last: self.last,
            membership: self.membership.clone(),
            id,
            state,
        };
        save(&self.store, &record).await?;
        Ok(handed_out(record))
    }
}
