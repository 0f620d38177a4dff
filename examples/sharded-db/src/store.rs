//! What one node keeps: its partitions, its open files, and threads that may block.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ck_http::Problem;
use ck_node::{Handle, Ownership, PartitionId, Version};
use ck_serve::{Bodies, Courier};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::SqlConfig;
use crate::file::{FileError, PartitionFile, die, sync_folder};
use crate::line::Part;
use crate::problems;

/// Longest answer of another node that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Memory that bodies of clients may take up at a time, and those of other nodes.
const BODIES: usize = 128 << 20;
const PEER_BODIES: usize = 256 << 20;

/// One node's databases.
pub(crate) struct Store {
    pub(crate) config: SqlConfig,
    /// What asks the other nodes.
    pub(crate) courier: Courier,
    /// Bodies of clients.
    pub(crate) bodies: Bodies,
    /// Those of other nodes, which get on while clients fill theirs, and wait for them.
    pub(crate) peer_bodies: Bodies,
    folder: PathBuf,
    node: OnceLock<Handle>,
    parts: Mutex<BTreeMap<PartitionId, Arc<Part>>>,
    /// Open files, the one used last at the end.
    open: Mutex<VecDeque<Arc<PartitionFile>>>,
    blocking: Arc<Semaphore>,
    pub(crate) schema: Mutex<(Version, Arc<Vec<String>>)>,
}

impl Store {
    /// Makes the folders under `data`, and clears what an earlier process left half done.
    pub(crate) fn open(
        data: &Path,
        config: SqlConfig,
        courier: Courier,
    ) -> Result<Arc<Self>, FileError> {
        let folder = data.join("sql");
        for passing in [folder.join("incoming"), folder.join("outgoing")] {
            match std::fs::remove_dir_all(&passing) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::io(&passing)(error));
                }
                _ => {}
            }
            std::fs::create_dir_all(&passing).map_err(FileError::io(&passing))?;
        }
        for made in [&folder, &folder.join("incoming")] {
            sync_folder(made).map_err(FileError::io(made))?;
        }
        Ok(Arc::new(Self {
            blocking: Arc::new(Semaphore::new(config.blocking_max)),
            config,
            courier: courier.with_answer_bytes_max(ANSWER_BYTES_MAX),
            bodies: Bodies::new(BODIES),
            peer_bodies: Bodies::new(PEER_BODIES),
            folder,
            node: OnceLock::new(),
            parts: Mutex::default(),
            open: Mutex::default(),
            schema: Mutex::default(),
        }))
    }

    /// The node has started. Said once.
    pub(crate) fn starts(&self, node: Handle) {
        let _ = self.node.set(node);
    }

    /// The node, which is there before anything is asked of it.
    pub(crate) fn node(&self) -> Result<&Handle, Box<Problem>> {
        self.node.get().ok_or_else(|| {
            let problem = Problem::new(ck_http::Code::NotFormed, "the node is starting");
            Box::new(problem.with_retry_after_ms(50))
        })
    }

    /// One partition at this node.
    pub(crate) fn part(&self, id: PartitionId) -> Arc<Part> {
        let waiting_max = self.config.waiting_max;
        let mut parts = self.parts.lock();
        let part = parts.entry(id);
        Arc::clone(part.or_insert_with(|| Arc::new(Part::new(id, waiting_max))))
    }

    /// Where the file of a partition is. Its name is made of the number alone.
    pub(crate) fn path(&self, id: PartitionId) -> PathBuf {
        self.folder.join(format!("partition-{}.db", id.0))
    }

    /// Where a copy is received.
    pub(crate) fn incoming(&self, id: PartitionId) -> PathBuf {
        self.folder
            .join("incoming")
            .join(format!("partition-{}.db", id.0))
    }

    /// Where a snapshot is made.
    pub(crate) fn outgoing(&self, id: PartitionId, snapshot: &str) -> PathBuf {
        let name = format!("partition-{}-{snapshot}.db", id.0);
        self.folder.join("outgoing").join(name)
    }

    /// Runs something that blocks, when it is its turn. Not ended by dropping the future.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let permit = Arc::clone(&self.blocking).acquire_owned().await;
        let store = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _permit: Option<OwnedSemaphorePermit> = permit.ok();
            work(&store)
        });
        match done.await {
            Ok(done) => done,
            // A defect of ours ends the request that met it. A transaction that it left open is
            // found by the next, which ends the process.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// The open file of a partition, opened if it is not. Blocks.
    pub(crate) fn file(&self, id: PartitionId) -> Result<Arc<PartitionFile>, FileError> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|file| file.partition() == id)
            && let Some(file) = open.remove(at)
        {
            open.push_back(Arc::clone(&file));
            return Ok(file);
        }
        let file = Arc::new(PartitionFile::open(&self.path(id), id)?);
        self.keep(&mut open, Arc::clone(&file));
        Ok(file)
    }

    /// Keeps a file open, and closes those that were used longest ago and are not in use.
    fn keep(&self, open: &mut VecDeque<Arc<PartitionFile>>, file: Arc<PartitionFile>) {
        open.push_back(file);
        let mut at = 0;
        while open.len() > self.config.files_open_max && at + 1 < open.len() {
            // Whoever takes a file takes it under this lock, so a count of one stays one.
            if Arc::strong_count(&open[at]) > 1 {
                at += 1;
                continue;
            }
            if let Some(file) = open.remove(at).and_then(Arc::into_inner) {
                let path = file.path().to_owned();
                if let Err(error) = file.close()
                    && !error.is_full()
                {
                    die(&path, "closing", &error);
                }
            }
        }
    }

    /// Makes the file of a partition, empty. Blocks.
    pub(crate) fn create(&self, id: PartitionId) -> Result<Arc<PartitionFile>, FileError> {
        let mut open = self.open.lock();
        let file = Arc::new(PartitionFile::create(&self.path(id), id)?);
        self.keep(&mut open, Arc::clone(&file));
        Ok(file)
    }

    /// Lets go of an open file, so that another can take its place. Readers that are at it finish
    /// with the old one.
    pub(crate) fn let_go(&self, id: PartitionId) {
        self.open.lock().retain(|file| file.partition() != id);
    }

    /// Files that are open.
    #[cfg(test)]
    pub(crate) fn files_open(&self) -> usize {
        self.open.lock().len()
    }

    /// The right to act on a partition.
    pub(crate) fn acquire(&self, id: PartitionId) -> Result<Ownership, Box<Problem>> {
        let node = self.node()?;
        node.acquire(id)
            .map_err(|refused| problems::not_owner(node, &refused))
    }
}

/// Runs `work` to its end even when the caller goes away.
pub(crate) async fn uncut<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Box<Problem>> {
    tokio::spawn(work)
        .await
        .map_err(|error| problems::unknown(format!("a task of this node ended: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(files_open_max: usize) -> (tempfile::TempDir, Arc<Store>) {
        let folder = tempfile::tempdir().unwrap();
        let config = SqlConfig {
            files_open_max,
            ..SqlConfig::default()
        };
        let store = Store::open(folder.path(), config, Courier::default()).unwrap();
        (folder, store)
    }

    #[test]
    fn files_that_were_used_longest_ago_are_closed_and_those_in_use_are_not() {
        let (_folder, store) = store(2);
        let first = store.create(PartitionId(0)).unwrap();
        for id in 1..5 {
            drop(store.create(PartitionId(id)).unwrap());
        }
        assert_eq!(store.files_open(), 2);
        let kept = |store: &Store| {
            let open = store.open.lock();
            open.iter()
                .map(|file| file.partition().0)
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(&store), [0, 4], "the first is in use");
        drop(first);
        drop(store.file(PartitionId(2)).unwrap());
        assert_eq!(kept(&store), [4, 2]);
        drop(store.file(PartitionId(4)).unwrap());
        drop(store.file(PartitionId(1)).unwrap());
        assert_eq!(kept(&store), [4, 1]);
    }

    #[test]
    fn what_an_earlier_process_left_half_done_is_cleared_and_files_are_not() {
        let (folder, store) = store(2);
        drop(store.create(PartitionId(3)).unwrap());
        std::fs::write(store.incoming(PartitionId(4)), b"half").unwrap();
        std::fs::write(store.outgoing(PartitionId(3), "id"), b"half").unwrap();
        let (incoming, file) = (store.incoming(PartitionId(4)), store.path(PartitionId(3)));
        drop(store);
        let store = Store::open(folder.path(), SqlConfig::default(), Courier::default()).unwrap();
        assert!(!incoming.exists() && file.exists());
        assert_eq!(store.file(PartitionId(3)).unwrap().mark().seq, 0);
        assert!(store.file(PartitionId(9)).is_err());
        assert!(!store.path(PartitionId(9)).exists());
    }
}
