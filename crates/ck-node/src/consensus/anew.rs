//! A store's log read back without running it, and a new one put in its place.

use std::collections::{BTreeMap, BTreeSet};

use ck_control::{Entry, MemberNumber, Position, State};
use openraft::{CommittedLeaderId, EntryPayload, Membership};

use super::machine::{decode_snapshot, encode_snapshot};
use super::types::{LogEntry, LogId, PeerNode, StoredMembership, Vote};
use crate::codec;
use crate::offline::OfflineError;
use crate::store::{Replacement, Store, key};

/// What a store's snapshot and log lead to.
pub(crate) struct ReadBack {
    /// Every entry of the log is applied in it, the ones that are not known to be committed too.
    pub(crate) state: State,
    /// Index of the last entry.
    pub(crate) last: u64,
    /// Its term.
    pub(crate) last_term: u64,
    /// Index of the last entry that is known to be committed.
    pub(crate) committed: u64,
    /// The highest term that is known.
    pub(crate) term: u64,
}

/// Reads a store back. Nothing is written.
pub(crate) fn read_back(store: &Store) -> Result<ReadBack, OfflineError> {
    let purged: Option<LogId> = store.read(key::PURGED)?;
    let (mut state, snapshot) = match store.snapshot()? {
        Some(bytes) => decode_snapshot(&bytes)
            .map_err(|what| OfflineError::from(store.damaged(format_args!("snapshot: {what}"))))?,
        None => (State::default(), None),
    };
    let applied = snapshot.map_or(0, |id| id.index);
    let first = purged.map_or(0, |id| id.index + 1);
    if first > applied + 1 {
        let what = format!("the log begins at {first}, the snapshot ends at {applied}");
        return Err(store.damaged(what).into());
    }
    if let Some(index) = store.first_gap(first)? {
        return Err(store
            .damaged(format_args!("log entry {index} is missing"))
            .into());
    }
    let mut last = snapshot.max(purged);
    for (index, bytes) in store.records(applied + 1..)? {
        let entry: LogEntry = codec::decode(&bytes)
            .map_err(|what| store.damaged(format_args!("log entry {index}: {what}")))?;
        last = Some(entry.log_id);
        if let EntryPayload::Normal(proposal) = entry.payload {
            let term = entry.log_id.leader_id.term;
            let position = Position(index);
            // Refused entries are as agreed on as accepted ones.
            let _ = state.apply(&Entry {
                position,
                term,
                proposal,
            })?;
        }
    }
    let committed: Option<Option<LogId>> = store.read(key::COMMITTED)?;
    let vote: Option<Vote> = store.read(key::VOTE)?;
    let term = last.map_or(0, |id| id.leader_id.term);
    Ok(ReadBack {
        state,
        last: last.map_or(0, |id| id.index),
        last_term: term,
        committed: committed.flatten().map_or(0, |id| id.index).max(applied),
        term: vote.map_or(0, |vote| vote.leader_id.term).max(term),
    })
}

/// A log that begins with a state, at the position that has it, with one voter.
pub(crate) fn begun(
    state: &State,
    term: u64,
    voter: MemberNumber,
    address: &str,
) -> Result<Replacement, codec::CodecError> {
    let leader = CommittedLeaderId::new(term, voter.0);
    let last = LogId::new(leader, state.applied().0);
    let address = address.to_owned();
    let nodes = BTreeMap::from([(voter.0, PeerNode { address })]);
    let membership = Membership::new(vec![BTreeSet::from([voter.0])], nodes);
    let membership = StoredMembership::new(Some(last), membership);
    let snapshot = encode_snapshot(last, membership, state)?;
    Ok(Replacement::default()
        .with(key::VOTE, &Vote::new(term, voter.0))?
        .with(key::PURGED, &last)?
        .with(key::COMMITTED, &Some(last))?
        .with_snapshot(&snapshot))
}

/// A log that has not begun, and is not begun here: the leader sends it.
pub(crate) fn awaited(member: MemberNumber) -> Result<Replacement, codec::CodecError> {
    // A vote that was never given keeps the founder from forming the cluster a second time.
    Ok(Replacement::default()
        .with(key::VOTE, &Vote::new(0, member.0))?
        .without(key::PURGED)
        .without(key::COMMITTED))
}
