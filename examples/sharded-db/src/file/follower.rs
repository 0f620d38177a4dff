//! A copy that is being made: pages are put into its write-ahead log, and SQLite does not have it
//! open.

use std::path::{Path, PathBuf};

use ck_node::{FencingToken, PartitionId};

use super::snapshot::{checksum, look};
use super::wal::{Log, beside, index_beside, sync_folder};
use super::{FileError, Mark, Record, Seen, Taken, die, remove};

/// Bytes of the log above which it is written back into the file. What is left is written back when
/// the copy becomes the primary, which is waited for.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// The file of a partition that another node writes.
#[derive(Debug)]
pub struct Follower {
    partition: PartitionId,
    path: PathBuf,
    log: Log,
    page_bytes: u32,
    seen: Seen,
    mark: Mark,
}

impl Follower {
    /// Puts a snapshot that was received as `from` in the place of whatever is at `path`.
    ///
    /// # Errors
    /// [`FileError::Checksum`] when it is not what was sent; whatever was at `path` is still there.
    pub fn install(
        from: &Path,
        path: &Path,
        partition: PartitionId,
        taken: &Taken,
    ) -> Result<Self, FileError> {
        if checksum(from)? != (taken.bytes, taken.sum) {
            let what = "the snapshot";
            return Err(FileError::Checksum {
                path: from.to_owned(),
                what,
            });
        }
        remove(path)?;
        std::fs::rename(from, path).map_err(FileError::io(path))?;
        sync_folder(path).map_err(FileError::io(path))?;
        Self::open(path, partition)
    }

    /// Takes the file at `path` up where it stands.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path, partition: PartitionId) -> Result<Self, FileError> {
        // Writes a log that is there back, and leaves none.
        let (seen, mark, page_bytes) = look(path, partition)?;
        for one in [beside(path), index_beside(path)] {
            match std::fs::remove_file(&one) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::io(&one)(error));
                }
                _ => {}
            }
        }
        let log = Log::create(path, page_bytes).map_err(FileError::io(path))?;
        Ok(Self {
            partition,
            path: path.to_owned(),
            log,
            page_bytes,
            seen,
            mark,
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the copy stands.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        self.mark
    }

    /// Appends what is new of `records`, which a primary sends that was granted `token`. Durable
    /// when this returns.
    ///
    /// # Errors
    /// [`FileError::Fenced`] when the copy has seen a later grant, [`FileError::Gap`] when records
    /// are missing in between; the copy is unchanged. A sync that fails ends the process.
    pub fn append(&mut self, token: FencingToken, records: &[Record]) -> Result<Mark, FileError> {
        // The check at the resource: without it a primary that was deposed could still write here.
        self.seen.admit(token)?;
        let mut mark = self.mark;
        let mut first = records.len();
        for (at, record) in records.iter().enumerate() {
            if record.mark.seq <= self.mark.seq {
                continue;
            }
            let follows = record.mark.seq == mark.seq + 1
                && record.mark > mark
                && record.page_bytes == self.page_bytes;
            if !follows {
                return Err(FileError::Gap {
                    path: self.path.clone(),
                    have: mark.seq,
                    got: record.mark.seq,
                });
            }
            first = first.min(at);
            mark = record.mark;
        }
        let news = &records[first..];
        if !news.is_empty() {
            let written = self.log.append(news).map_err(FileError::io(&self.path))?;
            if let Err(error) = written {
                die(&self.path, "a sync", &error);
            }
        }
        self.mark = mark;
        self.seen = self.seen.max(Seen::of(token));
        if self.log.bytes() > LOG_BYTES_MAX {
            self.write_back()?;
        }
        Ok(self.mark)
    }

    /// Has SQLite write the log back into the file, and begins a new one.
    fn write_back(&mut self) -> Result<(), FileError> {
        let seen = self.seen;
        let mark = self.mark;
        *self = Self::open(&self.path, self.partition)?;
        self.seen = self.seen.max(seen);
        if self.mark != mark {
            // SQLite has read other than what was synced.
            die(
                &self.path,
                "writing the log back",
                &"the file is shorter than its log",
            );
        }
        Ok(())
    }
}
