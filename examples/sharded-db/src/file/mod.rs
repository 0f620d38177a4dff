//! One partition as one SQLite file, at one node.
//!
//! Everything here blocks and belongs on a thread that may. A write takes a proof of ownership and
//! compares its token with the one in the file, within the transaction; so a primary that was
//! deposed without noticing changes nothing once the file has seen its successor.

mod error;
mod follower;
mod open;
mod policy;
mod read;
mod record;
mod schema;
mod snapshot;
#[cfg(test)]
mod tests;
mod value;
mod wal;
mod write;

pub use error::{Fenced, FileError, Refused};
pub use follower::Follower;
pub use read::{Answer, Limits, Statement};
pub use record::{Mark, NoMark, Record};
pub use schema::SchemaRefused;
pub use snapshot::Taken;
pub use write::{Capture, Done};

pub(crate) use error::die;
pub(crate) use open::remove;
pub(crate) use schema::try_out;
pub(crate) use wal::sync_folder;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ck_node::{Epoch, FencingToken, Incarnation, PartitionId};
use parking_lot::Mutex;
use rusqlite::Connection;

use policy::Guard;
use wal::Reached;

/// Connections for reading that are kept open for one file.
const READERS_MAX: usize = 4;

/// The file of one partition, open.
pub struct PartitionFile {
    partition: PartitionId,
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Reader>>,
}

/// The one connection that writes.
struct Writer {
    connection: Connection,
    guard: Arc<Guard>,
    /// The write-ahead log, to see what a transaction wrote.
    log: File,
    reached: Reached,
    /// Frames of the log after the last commit, as SQLite says.
    frames: Arc<AtomicU32>,
    page_bytes: u32,
    fence: Seen,
    mark: Mark,
}

/// A connection that cannot write.
struct Reader {
    connection: Connection,
    guard: Arc<Guard>,
}

/// The highest grant a file has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    incarnation: Incarnation,
    epoch: Epoch,
}

impl Seen {
    pub(crate) const fn of(token: FencingToken) -> Self {
        Self {
            incarnation: token.incarnation,
            epoch: token.epoch,
        }
    }

    /// Refuses a token that is older.
    pub(crate) fn admit(self, token: FencingToken) -> Result<(), Fenced> {
        if Self::of(token) >= self {
            return Ok(());
        }
        Err(Fenced {
            got: token,
            incarnation: self.incarnation,
            epoch: self.epoch,
        })
    }
}

impl PartitionFile {
    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Where the file stands.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.writer.lock().mark
    }
}

impl std::fmt::Debug for PartitionFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
