//! A whole file at one transaction, while others go on writing.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use xxhash_rust::xxh3::Xxh3;

use super::open::read_meta;
use super::{FileError, Mark, PartitionFile};

/// Pages between two looks at whether anybody still wants the snapshot.
const PAGES_AT_A_TIME: i32 = 1_024;

/// Steps that may find the file busy in a row.
const BUSY_MAX: u32 = 100;

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Where the file stood.
    pub mark: Mark,
    /// Bytes of the snapshot.
    pub bytes: u64,
    /// Its checksum.
    pub sum: u64,
}

impl PartitionFile {
    /// Writes the file as of now to `to`, which is made anew. Writers are not held up. `None` when
    /// `wanted` said no.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn snapshot(
        &self,
        to: &Path,
        wanted: impl Fn() -> bool,
    ) -> Result<Option<Taken>, FileError> {
        super::remove(to)?;
        let failed = FileError::sqlite(&self.path);
        let reader = self.open_reader().map_err(&failed)?;
        // As long as this is open the connection sees one transaction's end, and so does the backup.
        let seen = reader.connection.unchecked_transaction().map_err(&failed)?;
        let (_, mark) = read_meta(&seen, &self.path, self.partition)?;
        let mut target = Connection::open(to).map_err(FileError::sqlite(to))?;
        let backup = Backup::new(&seen, &mut target).map_err(&failed)?;
        let mut busy = 0;
        loop {
            if !wanted() {
                return Ok(None);
            }
            match backup.step(PAGES_AT_A_TIME).map_err(&failed)? {
                StepResult::Done => break,
                StepResult::More => busy = 0,
                _ if busy < BUSY_MAX => {
                    busy += 1;
                    std::thread::yield_now();
                }
                _ => {
                    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                    return Err(failed(rusqlite::Error::SqliteFailure(code, None)));
                }
            }
        }
        drop(backup);
        // Whoever opens it later keeps its log beside it, as the original does.
        target
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(FileError::sqlite(to))?;
        target
            .close()
            .map_err(|(_, error)| FileError::sqlite(to)(error))?;
        let (bytes, sum) = checksum(to)?;
        Ok(Some(Taken { mark, bytes, sum }))
    }
}

/// The length and the checksum of a file, which is on the disk when this returns.
pub(crate) fn checksum(path: &Path) -> Result<(u64, u64), FileError> {
    let failed = FileError::io(path);
    let mut file = File::open(path).map_err(&failed)?;
    file.sync_all().map_err(&failed)?;
    let mut sum = Xxh3::new();
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0_u64;
    loop {
        let read = file.read(&mut buffer).map_err(&failed)?;
        if read == 0 {
            return Ok((bytes, sum.digest()));
        }
        sum.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Opens a file only to look where it stands.
pub(super) fn look(
    path: &Path,
    partition: ck_node::PartitionId,
) -> Result<(super::Seen, Mark, u32), FileError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = FileError::sqlite(path);
    let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    let (seen, mark) = read_meta(&connection, path, partition)?;
    let page_bytes = connection.query_row("PRAGMA page_size", [], |row| row.get(0));
    let page_bytes = page_bytes.map_err(&failed)?;
    super::open::write_back(&connection).map_err(&failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok((seen, mark, page_bytes))
}
