//! The one thread that writes: takes what has queued up, commits it together, then answers all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _};
use tokio::sync::mpsc;

use super::batch::{Batch, Copies, Progress, Slot};
use super::data::{self, Rows};
use super::job::Done;
use super::meta::Meta;
use super::space::Space;
use super::{META, MarkedBy, Queued};
use crate::planted::Bug;
use crate::stamp::Grant;
use crate::wire::Refused;

/// Jobs committed together at most.
const BATCH_JOBS: usize = 1_024;

/// Bytes committed together, about; one job may be larger.
const BATCH_BYTES: usize = 8 << 20;

/// Between two looks at the space that is left.
const SPACE_EVERY: Duration = Duration::from_millis(200);

/// Told what became of a primary's records.
pub(crate) trait Sink: Send + Sync {
    /// Those up to `seq` are on the disk.
    fn appended(&self, partition: u32, grant: Grant, seq: u64);

    /// One was not written, so none after it can be.
    fn not_appended(&self, partition: u32, grant: Grant, why: Refused);
}

/// Called with the reason when a write has failed. It must not return: what the disk holds is
/// unknown, and only a restart finds out.
pub(crate) type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Runs the thread's work. One that panicked leaves a node that renews its lease and writes nothing
/// ever again, so it counts as a failed write.
pub(super) fn guarded(path: &std::path::Path, on_fatal: &OnFatal, work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        on_fatal(&format!(
            "{}: the thread that writes panicked",
            path.display()
        ));
    }
}

pub(super) struct Task {
    pub(super) db: Arc<Database>,
    pub(super) path: PathBuf,
    pub(super) space: Arc<Space>,
    pub(super) sink: Arc<std::sync::OnceLock<Arc<dyn Sink>>>,
    pub(super) on_fatal: OnFatal,
    pub(super) copies: Copies,
    pub(super) marked_by: Option<MarkedBy>,
    pub(super) looked: Option<Instant>,
}

/// Reads what every copy knows of itself.
pub(super) fn load(db: &Database) -> Result<Copies, redb::Error> {
    let txn = db.begin_read()?;
    let mut copies = Copies::default();
    for row in txn.open_table(META)?.iter()? {
        let (partition, meta) = row?;
        let meta = Meta::from_bytes(meta.value()).map_err(data::damaged)?;
        copies.metas.insert(partition.value(), meta);
    }
    Ok(copies)
}

impl Task {
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        while let Some(first) = queue.blocking_recv() {
            let mut weight = first.job.weight();
            let mut batch = vec![Slot::new(first)];
            while batch.len() < BATCH_JOBS
                && weight < BATCH_BYTES
                && let Ok(job) = queue.try_recv()
            {
                weight += job.job.weight();
                batch.push(Slot::new(job));
            }
            if self.looked.is_none_or(|at| at.elapsed() >= SPACE_EVERY) {
                self.space.look();
                self.looked = Some(Instant::now());
            }
            if let Err(source) = self.commit(&mut batch) {
                // Never tried again: pages that a failed sync left behind count as written.
                let what = source.to_string();
                tracing::error!(path = %self.path.display(), %what, "a write failed");
                (self.on_fatal)(&format!("{}: a write failed: {what}", self.path.display()));
                return;
            }
            self.answer(batch);
        }
    }

    fn commit(&mut self, slots: &mut [Slot]) -> Result<(), redb::Error> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(if Bug::NoFsync.is_on() {
            Durability::None
        } else {
            Durability::Immediate
        })?;
        let (proofs, mut touched) = {
            let mut batch = Batch {
                rows: Rows::open(&txn, self.marked_by)?,
                copies: &mut self.copies,
                touched: Vec::new(),
                full: self.space.is_low(),
                proofs: Vec::new(),
            };
            for slot in slots {
                batch.perform(slot)?;
            }
            (batch.proofs, batch.touched)
        };
        touched.sort_unstable();
        touched.dedup();
        {
            let mut metas = txn.open_table(META)?;
            for partition in touched {
                if let Some(meta) = self.copies.metas.get(&partition) {
                    metas.insert(partition, &*meta.to_bytes())?;
                }
            }
        }
        txn.commit()?;
        // Until here no partition of this batch was handed over.
        drop(proofs);
        Ok(())
    }

    fn answer(&self, batch: Vec<Slot>) {
        let mut progress = Progress::new();
        // A reader that went away no longer wants to know.
        for done in batch.into_iter().filter_map(Slot::into_done) {
            match done {
                Done::Appended {
                    partition,
                    grant,
                    seq,
                } => {
                    progress.insert((partition, grant), seq);
                }
                Done::NotAppended {
                    partition,
                    grant,
                    why,
                } => {
                    if let Some(sink) = self.sink.get() {
                        sink.not_appended(partition, grant, why);
                    }
                }
                Done::Received(reply, verdicts) => drop(reply.send(verdicts)),
                Done::Fenced(reply, standing) => drop(reply.send(standing)),
                Done::Plain(reply, verdict) => drop(reply.send(verdict)),
                Done::Dropped(reply, more) => drop(reply.send(more)),
            }
        }
        if let Some(sink) = self.sink.get() {
            for ((partition, grant), seq) in progress {
                sink.appended(partition, grant, seq);
            }
        }
    }
}
