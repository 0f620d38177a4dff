//! SQLite's write-ahead log as a file: read behind SQLite's back on the one side, written in its
//! place on the other.
//!
//! The format is documented and stable ("The WAL File Format" of SQLite's file format). Where a copy
//! is being made SQLite does not have the file open; it recovers the log when it opens it later, as
//! after a crash.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::record::Record;

/// Bytes before the first frame.
const HEAD: usize = 32;
/// Bytes before the page of a frame.
const FRAME: usize = 24;
/// Checksums are of little-endian words.
const MAGIC: u32 = 0x377f_0682;
const FORMAT: u32 = 3_007_000;
/// Bytes of a transaction that is read back. A copy that needs a longer one is made anew.
const TRANSACTION_BYTES_MAX: usize = 64 << 20;

/// Where the write-ahead log of `path` is.
pub(crate) fn beside(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// Where the index of that log is, in shared memory.
pub(crate) fn index_beside(path: &Path) -> PathBuf {
    with_suffix(path, "-shm")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How far the log of an open file had come after a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Differs each time the log begins anew.
    salt: [u8; 8],
    /// Frames in it.
    frames: u32,
}

/// The pages of one transaction, and the size of the file after it.
pub(crate) type Written = (u32, BTreeMap<u32, Vec<u8>>);

impl Reached {
    /// Moves on to the transaction just committed, whose last frame is number `frames`. With
    /// `page_bytes` gives the pages it wrote, unless they are more than are ever sent.
    ///
    /// To be called after each commit, before anything can write or reset the log.
    pub(crate) fn advance(
        &mut self,
        log: &File,
        frames: u32,
        page_bytes: Option<u32>,
    ) -> io::Result<Option<Written>> {
        let mut head = [0; HEAD];
        log.read_exact_at(&mut head, 0)?;
        let salt: [u8; 8] = head[16..24].try_into().unwrap_or_default();
        let first = if salt == self.salt { self.frames } else { 0 };
        *self = Self { salt, frames };
        let Some(page_bytes) = page_bytes else {
            return Ok(None);
        };
        let each = FRAME + page_bytes as usize;
        if frames.saturating_sub(first) as usize * each > TRANSACTION_BYTES_MAX {
            return Ok(None);
        }
        let mut frame = vec![0; each];
        let mut pages = BTreeMap::new();
        let mut file_pages = 0;
        for at in first..frames {
            log.read_exact_at(&mut frame, (HEAD + at as usize * each) as u64)?;
            let number = big(&frame[0..4]);
            file_pages = big(&frame[4..8]);
            let last = at + 1 == frames;
            if frame[8..16] != salt || (file_pages != 0) != last || number == 0 {
                return Err(unexpected(at));
            }
            // A page written twice counts as it was last.
            pages.insert(number, frame[FRAME..].to_vec());
        }
        if file_pages == 0 {
            return Err(unexpected(frames));
        }
        // What was cut off the end of the file is in the log, and in no copy.
        pages.retain(|number, _| *number <= file_pages);
        Ok(Some((file_pages, pages)))
    }
}

fn unexpected(frame: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("frame {frame} of the write-ahead log is not of the last transaction"),
    )
}

fn big(bytes: &[u8]) -> u32 {
    bytes.try_into().map(u32::from_be_bytes).unwrap_or_default()
}

/// A log that is written instead of by SQLite.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    salt: [u8; 8],
    page_bytes: u32,
    sum: (u32, u32),
    /// Length of what is whole.
    bytes: u64,
}

impl Log {
    /// An empty log beside `path`, which has none. Durable when this returns.
    pub(crate) fn create(path: &Path, page_bytes: u32) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(beside(path))?;
        let salt = uuid::Uuid::new_v4().into_bytes();
        let salt: [u8; 8] = salt[..8].try_into().unwrap_or_default();
        let mut head = [0; HEAD];
        for (at, number) in [MAGIC, FORMAT, page_bytes, 0].into_iter().enumerate() {
            head[at * 4..at * 4 + 4].copy_from_slice(&number.to_be_bytes());
        }
        head[16..24].copy_from_slice(&salt);
        let sum = checksum((0, 0), &head[..24]);
        put_sum(&mut head[24..32], sum);
        file.write_all_at(&head, 0)?;
        file.sync_all()?;
        sync_folder(path)?;
        Ok(Self {
            file,
            salt,
            page_bytes,
            sum,
            bytes: HEAD as u64,
        })
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends transactions, and returns once they are on the disk. The outer error is of writing,
    /// after which none of them counts; the inner one is of the sync, after which nobody can say.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<Result<(), io::Error>> {
        let mut frames = Vec::new();
        let mut sum = self.sum;
        for record in records {
            let last = record.pages.len();
            for (at, (number, page)) in record.pages.iter().enumerate() {
                let size = if at + 1 == last { record.file_pages } else { 0 };
                let mut head = [0; FRAME];
                head[0..4].copy_from_slice(&number.to_be_bytes());
                head[4..8].copy_from_slice(&size.to_be_bytes());
                head[8..16].copy_from_slice(&self.salt);
                sum = checksum(checksum(sum, &head[..8]), page);
                put_sum(&mut head[16..24], sum);
                frames.extend_from_slice(&head);
                frames.extend_from_slice(page);
            }
        }
        debug_assert!(records.iter().all(|one| one.page_bytes == self.page_bytes));
        self.file.write_all_at(&frames, self.bytes)?;
        if let Err(error) = self.file.sync_data() {
            return Ok(Err(error));
        }
        self.sum = sum;
        self.bytes += frames.len() as u64;
        Ok(Ok(()))
    }
}

fn put_sum(to: &mut [u8], sum: (u32, u32)) {
    to[..4].copy_from_slice(&sum.0.to_be_bytes());
    to[4..8].copy_from_slice(&sum.1.to_be_bytes());
}

/// The checksum of the format, over a multiple of 8 bytes, carried on from `sum`.
fn checksum((mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    for eight in bytes.chunks_exact(8) {
        let word = |at: usize| eight[at..at + 4].try_into().map(u32::from_le_bytes);
        first = first
            .wrapping_add(word(0).unwrap_or_default())
            .wrapping_add(second);
        second = second
            .wrapping_add(word(4).unwrap_or_default())
            .wrapping_add(first);
    }
    (first, second)
}

/// Makes names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
