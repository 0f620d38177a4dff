use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use redb::{Database, Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::{LOG, META, Replacement, SNAPSHOT, SNAPSHOT_KEY, StoreError, key};

/// Jobs that may wait; a further one waits for room.
const QUEUE: usize = 1024;

/// Jobs committed together at most.
const BATCH: usize = 256;

/// Told when a job is durable, or has failed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(super) enum Job {
    Put {
        name: &'static str,
        record: Vec<u8>,
        durable: bool,
        reply: Reply,
    },
    Append {
        records: Vec<(u64, Arc<[u8]>)>,
        reply: Reply,
    },
    /// Removes the entries from `from` on.
    Truncate {
        from: u64,
        reply: Reply,
    },
    /// Removes the entries up to `upto`, which `record` names.
    Purge {
        upto: u64,
        record: Vec<u8>,
        reply: Reply,
    },
    Snapshot {
        record: Vec<u8>,
        reply: Reply,
    },
    /// Removes all entries and the snapshot.
    Replace {
        replacement: Replacement,
        reply: Reply,
    },
}

/// The thread that writes. When the last handle on it goes, what was handed over is written and
/// the thread has ended, so that the file can be opened anew at once.
pub(super) struct Writer {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the thread of the store panicked");
        }
    }
}

type Pending = Arc<Mutex<BTreeMap<u64, Arc<[u8]>>>>;

impl Writer {
    pub(super) fn start(
        db: Arc<Database>,
        pending: Pending,
        path: PathBuf,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let task = Task {
            db,
            pending,
            path: path.clone(),
            failed: None,
        };
        let thread = std::thread::Builder::new()
            .name("ck-store".to_owned())
            .spawn(move || task.run(queue))
            .map_err(|source| StoreError::Directory {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            path,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Hands a job over; its reply comes later.
    pub(super) async fn send(&self, job: Job) -> Result<(), StoreError> {
        let closed = || StoreError::Closed {
            path: self.path.clone(),
        };
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }

    /// Hands a job over and waits for its reply.
    pub(super) async fn run(&self, job: impl FnOnce(Reply) -> Job) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        let reply: Reply = Box::new(move |result| {
            // A caller that went away no longer wants to know.
            let _ = done.send(result);
        });
        self.send(job(reply)).await?;
        wait.await.unwrap_or_else(|_| {
            Err(StoreError::Closed {
                path: self.path.clone(),
            })
        })
    }
}

struct Task {
    db: Arc<Database>,
    pending: Pending,
    path: PathBuf,
    failed: Option<String>,
}

impl Task {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(job) = queue.try_recv()
            {
                batch.push(job);
            }
            self.commit(batch);
        }
    }

    fn commit(&mut self, batch: Vec<Job>) {
        let result = match &self.failed {
            Some(what) => Err(what.clone()),
            None => self.write(&batch).map_err(|source| source.to_string()),
        };
        if let Err(what) = &result
            && self.failed.is_none()
        {
            tracing::error!(path = %self.path.display(), %what, "a write failed; the store takes no more");
            self.failed = Some(what.clone());
        }
        for job in batch {
            let outcome = match &result {
                Ok(()) => Ok(()),
                Err(what) => Err(StoreError::Write {
                    path: self.path.clone(),
                    what: what.clone(),
                }),
            };
            if let Job::Append { records, .. } = &job {
                let mut pending = self.pending.lock();
                for (index, record) in records {
                    // A later append may have put another record at the same index.
                    if pending
                        .get(index)
                        .is_some_and(|found| Arc::ptr_eq(found, record))
                    {
                        pending.remove(index);
                    }
                }
            }
            job.into_reply()(outcome);
        }
    }

    fn write(&self, batch: &[Job]) -> Result<(), redb::Error> {
        let mut txn = self.db.begin_write()?;
        let lazy = batch
            .iter()
            .all(|job| matches!(job, Job::Put { durable: false, .. }));
        txn.set_durability(if lazy {
            Durability::None
        } else {
            Durability::Immediate
        })?;
        for job in batch {
            job.write(&txn)?;
        }
        txn.commit()?;
        Ok(())
    }
}

impl Job {
    fn write(&self, txn: &WriteTransaction) -> Result<(), redb::Error> {
        match self {
            Self::Put { name, record, .. } => {
                txn.open_table(META)?.insert(*name, record.as_slice())?;
            }
            Self::Append { records, .. } => {
                let mut log = txn.open_table(LOG)?;
                for (index, record) in records {
                    log.insert(index, &**record)?;
                }
            }
            Self::Truncate { from, .. } => {
                txn.open_table(LOG)?
                    .retain_in::<u64, _>(*from.., |_, _| false)?;
            }
            Self::Purge { upto, record, .. } => {
                txn.open_table(LOG)?
                    .retain_in::<u64, _>(..=*upto, |_, _| false)?;
                txn.open_table(META)?
                    .insert(key::PURGED, record.as_slice())?;
            }
            Self::Snapshot { record, .. } => {
                txn.open_table(SNAPSHOT)?
                    .insert(SNAPSHOT_KEY, record.as_slice())?;
            }
            Self::Replace { replacement, .. } => replacement.write(txn)?,
        }
        Ok(())
    }

    fn into_reply(self) -> Reply {
        match self {
            Self::Put { reply, .. }
            | Self::Append { reply, .. }
            | Self::Truncate { reply, .. }
            | Self::Purge { reply, .. }
            | Self::Snapshot { reply, .. }
            | Self::Replace { reply, .. } => reply,
        }
    }
}

impl Replacement {
    fn write(&self, txn: &WriteTransaction) -> Result<(), redb::Error> {
        txn.open_table(LOG)?.retain(|_, _| false)?;
        let mut meta = txn.open_table(META)?;
        for name in &self.without {
            meta.remove(*name)?;
        }
        for (name, record) in &self.values {
            meta.insert(*name, record.as_slice())?;
        }
        let mut snapshots = txn.open_table(SNAPSHOT)?;
        match &self.snapshot {
            Some(record) => snapshots.insert(SNAPSHOT_KEY, record.as_slice())?,
            None => snapshots.remove(SNAPSHOT_KEY)?,
        };
        Ok(())
    }
}
