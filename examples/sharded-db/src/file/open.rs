//! Opening, making and removing the file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ck_node::{Epoch, Incarnation, PartitionId};
use parking_lot::Mutex;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

use super::policy::Guard;
use super::wal::{Reached, beside, index_beside, sync_folder};
use super::{FileError, Mark, PartitionFile, Reader, Seen, Writer};

/// What only this node's own short steps can hold.
const BUSY: Duration = Duration::from_secs(2);

/// Pages of the write-ahead log above which it is written back after a transaction.
pub(super) const LOG_PAGES_MAX: u32 = 1_024;

/// Ours in every file: which partition it is, the highest grant seen, and the last transaction.
const META: &str = "
    CREATE TABLE ck_meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        format INTEGER NOT NULL,
        partition INTEGER NOT NULL,
        fence_incarnation INTEGER NOT NULL,
        fence_epoch INTEGER NOT NULL,
        incarnation INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL
    ) STRICT";

impl PartitionFile {
    /// Opens the file of a partition, which is there.
    ///
    /// # Errors
    /// [`FileError`]: it is not there, damaged, or another partition's.
    pub fn open(path: &Path, partition: PartitionId) -> Result<Self, FileError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open_with(path, partition, flags)
    }

    /// Makes the file of a partition, empty, and opens it. Durable when this returns.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn create(path: &Path, partition: PartitionId) -> Result<Self, FileError> {
        // A log that was left would be taken for the new file's.
        remove(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(path, flags).map_err(FileError::sqlite(path))?;
        let make = |connection: &mut Connection| {
            configure(connection)?;
            let made = connection.transaction()?;
            made.execute_batch(META)?;
            made.execute(
                "INSERT INTO ck_meta VALUES (1, 1, ?1, 0, 0, 0, 0, 0)",
                [partition.0],
            )?;
            made.commit()
        };
        make(&mut connection).map_err(FileError::sqlite(path))?;
        drop(connection);
        sync_folder(path).map_err(FileError::io(path))?;
        Self::open(path, partition)
    }

    fn open_with(path: &Path, partition: PartitionId, flags: OpenFlags) -> Result<Self, FileError> {
        let mut connection =
            Connection::open_with_flags(path, flags).map_err(FileError::sqlite(path))?;
        configure(&connection).map_err(FileError::sqlite(path))?;
        let (fence, mark) = read_meta(&connection, path, partition)?;
        let frames = Arc::new(AtomicU32::new(0));
        let prepare = |connection: &mut Connection| {
            // From here on the log is empty, so that what it holds is what this connection wrote.
            write_back(connection)?;
            let told = Arc::clone(&frames);
            // In place of SQLite's own write-back, which would not tell when a sync fails.
            connection.wal_hook(Some(move |_: &mut Wal, pages: i32| {
                told.store(u32::try_from(pages).unwrap_or(0), Ordering::SeqCst);
                Ok(())
            }))?;
            let page_bytes: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            Ok((Guard::install(connection)?, page_bytes))
        };
        let (guard, page_bytes) = prepare(&mut connection).map_err(FileError::sqlite(path))?;
        let log = beside(path);
        let log = File::open(&log).map_err(FileError::io(&log))?;
        Ok(Self {
            partition,
            path: path.to_owned(),
            writer: Mutex::new(Writer {
                connection,
                guard,
                log,
                reached: Reached::default(),
                frames,
                page_bytes,
                fence,
                mark,
            }),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// A connection that cannot write.
    pub(super) fn open_reader(&self) -> rusqlite::Result<Reader> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        let guard = Guard::install(&mut connection)?;
        Ok(Reader { connection, guard })
    }

    /// Writes the write-ahead log back, so that the next opening finds it empty.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn close(self) -> Result<(), FileError> {
        drop(self.readers);
        let writer = self.writer.into_inner();
        write_back(&writer.connection)
            .map(|_| ())
            .map_err(FileError::sqlite(&self.path))
    }
}

/// Writes the log back and empties it; `false` when somebody still reads what it holds.
pub(super) fn write_back(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok(row.get::<_, i64>(0)? == 0)
    })
}

/// Writes back what no reader holds up. Waits for nobody: once all is written back and nobody reads
/// the log any more, the next transaction begins it anew.
pub(super) fn write_back_in_passing(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// What is acknowledged is on the disk: the log is synced at every commit.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // On systems whose fsync leaves data in the disk's own memory.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

/// The grant a file has seen, and where it stands.
pub(super) fn read_meta(
    connection: &Connection,
    path: &Path,
    partition: PartitionId,
) -> Result<(Seen, Mark), FileError> {
    let mut numbers = [0_u64; 5];
    let (format, found) = connection
        .query_row(
            "SELECT format, partition, fence_incarnation, fence_epoch, incarnation, epoch, seq \
             FROM ck_meta",
            [],
            |row| {
                for (at, number) in numbers.iter_mut().enumerate() {
                    *number = row.get(2 + at)?;
                }
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            },
        )
        .map_err(FileError::sqlite(path))?;
    if format != 1 || found != i64::from(partition.0) {
        return Err(FileError::Other {
            path: path.to_owned(),
            found,
            format,
            wanted: partition,
        });
    }
    let [fence_incarnation, fence_epoch, incarnation, epoch, seq] = numbers;
    let fence = Seen {
        incarnation: Incarnation(fence_incarnation),
        epoch: Epoch(fence_epoch),
    };
    let mark = Mark {
        incarnation: Incarnation(incarnation),
        epoch: Epoch(epoch),
        seq,
    };
    Ok((fence, mark))
}

/// Removes the file, its log first: a log without its file would be taken for that of the next one.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    for one in [&beside(path), &index_beside(path), path] {
        match std::fs::remove_file(one) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io(one)(error)),
        }
    }
    sync_folder(path).map_err(FileError::io(path))
}
