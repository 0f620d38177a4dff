use std::sync::Arc;

use ck_control::{Command, MemberNumber, Nonce, Proposal};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader, RaftSnapshotBuilder};
use tempfile::TempDir;

use super::log_store::{LogStore, resign};
use super::machine::Machine;
use super::types::{LogEntry, LogId, StorageError, TypeConfig};
use crate::published::Publisher;
use crate::store::{Store, StoreError};

/// What a member asks for votes with.
pub(crate) fn candidacy(member: u64, term: u64) -> Vec<u8> {
    let rpc = openraft::raft::VoteRequest::new(openraft::Vote::new(term, member), None);
    crate::codec::encode(&rpc).unwrap()
}

/// What a member that leads says when it has nothing to tell.
pub(crate) fn heartbeat(member: u64, term: u64) -> Vec<u8> {
    let rpc = openraft::raft::AppendEntriesRequest::<TypeConfig> {
        vote: openraft::Vote::new_committed(term, member),
        prev_log_id: None,
        entries: Vec::new(),
        leader_commit: None,
    };
    crate::codec::encode(&rpc).unwrap()
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a new store opens");
        let machine = Machine::restore(store.clone(), Publisher::new(16), 0)?;
        Ok((directory, LogStore::new(store), machine))
    }
}

/// The library's own suite for what a log and a state machine must do.
#[test]
fn store_passes_the_consensus_suite() {
    Suite::test_all(Builder).unwrap();
}

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, 1), index)
}

fn entry(index: u64) -> LogEntry {
    let command = Command::Office {
        member: MemberNumber(1),
        nonce: Nonce(7),
        term: 1,
    };
    let proposal = Proposal::new(0, "test".to_owned(), command);
    LogEntry {
        log_id: id(index),
        payload: EntryPayload::Normal(proposal),
    }
}

#[tokio::test]
async fn appended_entries_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    {
        let mut log = LogStore::new(Store::open(directory.path()).unwrap());
        log.blocking_append((1..=5).map(entry)).await.unwrap();
        log.save_committed(Some(id(3))).await.unwrap();
        log.save_vote(&openraft::Vote::new(4, 2)).await.unwrap();
        drop(log);
    }
    let mut log = LogStore::new(Store::open(directory.path()).unwrap());
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(5)));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(3)));
    assert_eq!(
        log.read_vote().await.unwrap(),
        Some(openraft::Vote::new(4, 2))
    );
    assert_eq!(
        log.try_get_log_entries(2..4).await.unwrap(),
        vec![entry(2), entry(3)]
    );
}

#[tokio::test]
async fn who_resigns_keeps_the_vote_and_no_other_vote_changes() {
    let directory = tempfile::tempdir().unwrap();
    let elected = openraft::Vote::new_committed(4, 2);
    let voted = openraft::Vote::new(4, 2);
    for (stored, member, expected) in [
        (elected, 2, voted),
        (voted, 2, voted),
        (elected, 3, elected),
    ] {
        let store = Store::open(directory.path()).unwrap();
        let mut log = LogStore::new(store.clone());
        log.save_vote(&stored).await.unwrap();
        resign(&store, MemberNumber(member)).await.unwrap();
        drop((log, store));
        let mut log = LogStore::new(Store::open(directory.path()).unwrap());
        assert_eq!(log.read_vote().await.unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn snapshot_restores_the_state_it_was_taken_of() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let publisher = Publisher::new(16);
    let mut machine = Machine::restore(store.clone(), Arc::clone(&publisher), 0).unwrap();
    machine.apply([entry(1), entry(2)]).await.unwrap();
    machine
        .get_snapshot_builder()
        .await
        .build_snapshot()
        .await
        .unwrap();
    let mut restored = Machine::restore(store, Publisher::new(16), 0).unwrap();
    assert_eq!(restored.applied_state().await.unwrap().0, Some(id(2)));
    assert_eq!(publisher.current().state.applied().0, 2);
}

#[tokio::test]
async fn store_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _held = Store::open(directory.path()).unwrap();
    assert!(matches!(
        Store::open(directory.path()),
        Err(StoreError::Locked { .. })
    ));
}

fn spoiled(spoil: impl Fn(&std::path::Path)) -> StoreError {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut log = LogStore::new(Store::open(directory.path()).unwrap());
        log.blocking_append((1..=50).map(entry)).await.unwrap();
        drop(log);
        drop(Store::open(directory.path()).unwrap());
    });
    let file = directory.path().join("node.redb");
    spoil(&file);
    match Store::open(directory.path()) {
        Err(source) => source,
        Ok(_) => panic!("a spoiled store was opened"),
    }
}

#[test]
fn truncated_store_is_refused() {
    let error = spoiled(|file| {
        let whole = std::fs::metadata(file).unwrap().len();
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(whole / 3)
            .unwrap();
    });
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn emptied_store_is_not_taken_for_a_new_one() {
    let error = spoiled(|file| {
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(0)
            .unwrap();
    });
    assert!(error.to_string().contains("missing or empty"), "{error}");
    let error = spoiled(|file| std::fs::remove_file(file).unwrap());
    assert!(error.to_string().contains("missing or empty"), "{error}");
}

#[test]
fn garbage_is_refused() {
    let error = spoiled(|file| {
        let whole = usize::try_from(std::fs::metadata(file).unwrap().len()).unwrap();
        std::fs::write(file, vec![0x5a; whole]).unwrap();
    });
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}
