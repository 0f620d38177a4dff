//! The replicated state as a file: what `ck backup` writes and `ck restore` reads.
//!
//! A backup is what the cluster has agreed on at one version: members, table, epochs, in-sync sets,
//! configuration, custom values, history. The data of an application is not in it.

use std::io::Read;

use ck_control::{Snapshot, SnapshotError, State};
use ck_core::NodeId;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};

/// The format this build writes; it reads this one and every one before it.
pub const BACKUP_FORMAT: u16 = 1;

/// Most bytes of a backup that are read.
pub const BACKUP_BYTES_MAX: u64 = 1 << 30;

/// What a backup begins with.
const MAGIC: [u8; 8] = *b"ckbackup";

/// The state of a cluster at one version.
#[derive(Debug, Clone)]
pub struct Backup {
    /// When it was taken, by the clock of the node, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// The node that it was taken from.
    pub node: NodeId,
    /// The state.
    pub state: State,
}

#[derive(Serialize, Deserialize)]
struct Body {
    taken_at_ms: u64,
    node: NodeId,
    snapshot: Snapshot,
}

/// Why bytes are no backup that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Something else.
    #[error("this is no backup: it does not begin as one; `ck backup FILE` makes one")]
    Other,
    /// Written by a newer build.
    #[error(
        "backup format {got} is newer than {BACKUP_FORMAT}, the newest this build reads; use a newer `ck`"
    )]
    Newer {
        /// The format as given.
        got: u16,
    },
    /// A format that never was.
    #[error("backup format 0 never existed; the file is damaged, use another backup")]
    Unknown,
    /// Longer than is read.
    #[error("a backup of more than {BACKUP_BYTES_MAX} bytes; no node writes one")]
    TooLong,
    /// Cut short, or changed since.
    #[error("the backup is damaged: {0}; use another one")]
    Damaged(#[source] CodecError),
    /// Its state breaks a rule, or is of a newer build.
    #[error(transparent)]
    State(#[from] SnapshotError),
    /// The state is of no cluster: there is nothing to back up.
    #[error("the node is not part of a cluster yet; there is nothing to back up")]
    NotFormed,
    /// It cannot be read.
    #[error("the backup cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

impl Backup {
    /// The bytes of a backup.
    ///
    /// # Errors
    /// [`BackupError::NotFormed`], and [`BackupError::Damaged`] when it would be longer than
    /// [`BACKUP_BYTES_MAX`].
    pub fn encode(state: &State, node: NodeId, taken_at_ms: u64) -> Result<Vec<u8>, BackupError> {
        if state.formed().is_none() {
            return Err(BackupError::NotFormed);
        }
        let body = codec::encode(&Body {
            taken_at_ms,
            node,
            snapshot: Snapshot::of(state),
        });
        let body = body.map_err(BackupError::Damaged)?;
        let mut bytes = Vec::with_capacity(body.len() + 18);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&BACKUP_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&codec::seal(&body));
        Ok(bytes)
    }

    /// The backup in those bytes, its digest and its state checked.
    ///
    /// # Errors
    /// [`BackupError`] says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(BackupError::Other)?;
        let (format, record) = rest.split_first_chunk::<2>().ok_or(BackupError::Other)?;
        match u16::from_le_bytes(*format) {
            0 => return Err(BackupError::Unknown),
            got if got > BACKUP_FORMAT => return Err(BackupError::Newer { got }),
            _ => {}
        }
        let body = codec::unseal(record).map_err(BackupError::Damaged)?;
        let body: Body = codec::decode(body).map_err(BackupError::Damaged)?;
        let state = body.snapshot.into_state()?;
        if state.formed().is_none() {
            return Err(BackupError::NotFormed);
        }
        Ok(Self {
            taken_at_ms: body.taken_at_ms,
            node: body.node,
            state,
        })
    }

    /// Reads a backup to its end.
    ///
    /// # Errors
    /// As [`Backup::decode`], [`BackupError::Read`] and [`BackupError::TooLong`].
    pub fn read(from: impl Read) -> Result<Self, BackupError> {
        let mut bytes = Vec::new();
        from.take(BACKUP_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > BACKUP_BYTES_MAX {
            return Err(BackupError::TooLong);
        }
        Self::decode(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use ck_control::Entry;

    use super::*;

    /// A state that most commands have left something in.
    fn state() -> State {
        let log = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../ck-control/tests/golden/commands-1.bin"
        );
        let log: Vec<Entry> = codec::decode(&std::fs::read(log).unwrap()).unwrap();
        let mut state = State::default();
        for entry in &log {
            state.apply(entry).unwrap().unwrap();
        }
        state
    }

    fn encoded() -> Vec<u8> {
        Backup::encode(&state(), NodeId::new("node-1").unwrap(), 1_795_000_000_000).unwrap()
    }

    /// To make the file of a new format: `CK_GOLDEN=write cargo test -p ck-node --lib golden`.
    #[test]
    fn the_golden_backup_of_format_1_is_read_and_written_byte_for_byte() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/backup-1.bin");
        let bytes = encoded();
        if std::env::var_os("CK_GOLDEN").is_some_and(|value| value == "write") {
            assert!(!std::fs::exists(path).unwrap(), "{path} is never changed");
            std::fs::write(path, &bytes).unwrap();
        }
        let golden = std::fs::read(path).unwrap();
        assert_eq!(bytes, golden, "format 1 never changes");
        let backup = Backup::decode(&golden).unwrap();
        assert_eq!(backup.state, state());
        let (node, taken_at_ms) = (backup.node.as_str(), backup.taken_at_ms);
        assert_eq!((node, taken_at_ms), ("node-1", 1_795_000_000_000));
    }

    #[test]
    fn no_changed_byte_and_no_cut_goes_unnoticed() {
        let whole = encoded();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(Backup::decode(&changed).is_err(), "byte {at}");
            assert!(Backup::decode(&whole[..at]).is_err(), "cut at {at}");
        }
        let newer = Backup::decode(&[&MAGIC[..], &[9, 0], &[0; 32]].concat());
        assert!(matches!(newer, Err(BackupError::Newer { got: 9 })));
    }

    #[test]
    fn there_is_nothing_to_back_up_before_a_cluster_is_formed() {
        let none = Backup::encode(&State::default(), NodeId::new("node-1").unwrap(), 0);
        assert!(matches!(none, Err(BackupError::NotFormed)));
    }
}
