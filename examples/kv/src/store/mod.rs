//! A node's copies: one file, one thread that writes, any number of readers.
//!
//! `Ok` means that it is on the disk. After a failed write the process ends: what the disk holds is
//! then unknown.

mod batch;
mod data;
mod error;
mod job;
mod marks;
mod meta;
mod read;
mod space;
mod writer;

pub use data::Permit;
pub use error::StoreError;
pub use marks::{Mark, MarkedBy};
pub use meta::Admitted;

pub(crate) use job::{Append, Fill, Job};
pub(crate) use meta::TRACES_MAX;
pub(crate) use read::Figures;
pub(crate) use space::RESERVE_DEFAULT;
pub(crate) use writer::{OnFatal, Sink};

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase as _, TableDefinition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::wire::FORMAT;
use space::Space;
use writer::Task;

const META: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("meta");
const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
const MARKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("marks");
const COUNTS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("mark-counts");
const ABOUT: TableDefinition<'_, &str, u8> = TableDefinition::new("about");

/// Name of the file in the node's data directory.
const FILE: &str = "kv/store.redb";

/// What the node writes into its data directory once it has data there.
const NODE_FILE: &str = "node.redb";

/// Jobs that may wait; a further one waits for room.
const QUEUE: usize = 4_096;

/// Memory of jobs that wait or are being committed, in units of [`UNIT`]; a job that is larger by
/// itself takes all of it.
const QUEUE_UNITS: usize = 64 << 10;

/// Bytes of one unit.
const UNIT: usize = 1 << 10;

/// Questions that read the file at a time, each on a thread that may wait for the disk.
const READS: usize = 64;

/// Whole copies read at a time.
const WALKS: usize = 2;

/// Memory for pages, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// An open store.
pub(crate) struct Store {
    path: PathBuf,
    db: Arc<Database>,
    space: Arc<Space>,
    sink: Arc<OnceLock<Arc<dyn Sink>>>,
    on_fatal: OnFatal,
    jobs: mpsc::Sender<Queued>,
    memory: Arc<Semaphore>,
    /// One for each whole copy that is read, so that they leave room for all other questions.
    pub(crate) walks: Arc<Semaphore>,
    /// One permit for each question that reads the file.
    pub(crate) reads: Arc<Semaphore>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// Room for one job, taken before a record is given its place.
pub(crate) struct Room<'a> {
    place: mpsc::Permit<'a, Queued>,
    memory: OwnedSemaphorePermit,
}

impl Room<'_> {
    /// Hands the job over, which is no larger than the room was taken for.
    pub(crate) fn send(self, job: Job) {
        let memory = self.memory;
        self.place.send(Queued { job, memory });
    }
}

/// A job in the queue, and its share of the memory until it was answered.
#[derive(Debug)]
struct Queued {
    job: Job,
    memory: OwnedSemaphorePermit,
}

impl Store {
    /// Opens the store in a node's data directory, or makes one there.
    ///
    /// # Errors
    /// [`StoreError`]; a node that has been here before without its store is one.
    pub(crate) fn open(
        directory: &Path,
        reserve: u64,
        marked_by: Option<MarkedBy>,
        on_fatal: OnFatal,
    ) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let is_new = !directory.join(NODE_FILE).exists();
        if !is_new && !path.exists() {
            // Its copies count as in sync: an empty store under the old name would lose them.
            return Err(StoreError::Missing { path });
        }
        let own = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(own).map_err(|source| StoreError::Directory {
            path: own.to_owned(),
            source,
        })?;
        let failed = |source: redb::Error| StoreError::Database {
            path: path.clone(),
            source: Box::new(source),
        };
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path)
            .map_err(|source| failed(source.into()))?;
        match lay_out(&db, is_new).map_err(failed)? {
            Some(FORMAT) => {}
            Some(found) => return Err(StoreError::Newer { path, found }),
            None => return Err(StoreError::Missing { path }),
        }
        marks::prepare(&db, marked_by).map_err(failed)?;
        // The file's own pages are synced with each commit; that it is there, with its directories.
        for synced in [own, directory] {
            let done = std::fs::File::open(synced).and_then(|open| open.sync_all());
            done.map_err(|source| StoreError::Directory {
                path: synced.to_owned(),
                source,
            })?;
        }
        let copies = writer::load(&db).map_err(failed)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (db, sink) = (Arc::new(db), Arc::new(OnceLock::new()));
        let space = Arc::new(Space::new(directory.to_owned(), reserve));
        let task = Task {
            db: Arc::clone(&db),
            path: path.clone(),
            space: Arc::clone(&space),
            sink: Arc::clone(&sink),
            on_fatal: Arc::clone(&on_fatal),
            copies,
            marked_by,
            looked: None,
        };
        let guard = (path.clone(), Arc::clone(&on_fatal));
        let thread = std::thread::Builder::new()
            .name("kv-store".to_owned())
            .spawn(move || writer::guarded(&guard.0, &guard.1, || task.run(queue)))
            .map_err(|source| StoreError::Directory {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            path,
            db,
            space,
            sink,
            on_fatal,
            jobs,
            memory: Arc::new(Semaphore::new(QUEUE_UNITS)),
            walks: Arc::new(Semaphore::new(WALKS)),
            reads: Arc::new(Semaphore::new(READS)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Names who is told of the primary's records. Once.
    pub(crate) fn tell(&self, sink: Arc<dyn Sink>) {
        let _ = self.sink.set(sink);
    }

    /// Room for a job of so many bytes, waited for.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room<'_>, StoreError> {
        let units = bytes.div_ceil(UNIT).clamp(1, QUEUE_UNITS);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory).acquire_many_owned(units);
        let memory = memory.await.map_err(|_| self.closed())?;
        let place = self.jobs.reserve().await.map_err(|_| self.closed())?;
        Ok(Room { place, memory })
    }

    /// Hands a job over, and waits until it is on the disk.
    pub(crate) async fn run<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = job(reply);
        self.room(job.weight()).await?.send(job);
        answer.await.map_err(|_| self.closed())
    }

    /// The disk's space.
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn closed(&self) -> StoreError {
        StoreError::Closed {
            path: self.path.clone(),
        }
    }

    fn failed(&self, source: redb::Error) -> StoreError {
        StoreError::Database {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // What was handed over is written, and the file can be opened anew at once.
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.jobs, closed));
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the thread of the store panicked");
        }
    }
}

/// Makes the tables where there are none and `is_new` allows it. Returns the format of the file.
fn lay_out(db: &Database, is_new: bool) -> Result<Option<u8>, redb::Error> {
    let txn = db.begin_read()?;
    let known = match txn.open_table(ABOUT) {
        Ok(about) => about.get("format")?.map(|format| format.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(source) => return Err(source.into()),
    };
    drop(txn);
    if known.is_some() || !is_new {
        return Ok(known);
    }
    let txn = db.begin_write()?;
    txn.open_table(META)?;
    txn.open_table(DATA)?;
    txn.open_table(ABOUT)?.insert("format", FORMAT)?;
    txn.commit()?;
    Ok(Some(FORMAT))
}

#[cfg(test)]
mod tests;
