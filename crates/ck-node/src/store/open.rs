use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ck_control::ClusterId;
use ck_core::NodeId;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::{FORMAT, LOG, META, SNAPSHOT, Store, key};
use crate::codec;

/// Name of the database in the data directory.
pub(crate) const FILE: &str = "node.redb";

/// Written beside the database once it exists, so that a lost or emptied one is noticed.
pub(crate) const MARKER: &str = "CLUSTERKIT";

/// Memory the database may use for pages, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// Why a store was not opened, or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data directory cannot be made or read.
    #[error("data directory {}: {source}; name another with --data, or mend its permissions", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process; stop that one, or name another directory with --data", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error("{} has format {found}, this version knows up to {FORMAT}; start a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
    },
    /// It was made for another node.
    #[error("{} belongs to node {found}, not to {wanted}; start with --id {found}, or name another directory with --data", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node it belongs to.
        found: NodeId,
        /// The node that was started.
        wanted: NodeId,
    },
    /// It belongs to another cluster.
    #[error("{} belongs to cluster {found:?} ({id}), not to {wanted:?}; start with --cluster {found}, or name another directory with --data", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The name of its cluster.
        found: String,
        /// The id of its cluster.
        id: ClusterId,
        /// The name that was given.
        wanted: String,
    },
    /// Its content is damaged. Nothing was changed.
    #[error("{} is damaged: {what}; restore it from a backup, or take the node out with `ck remove` and start it with an empty directory", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A write or its fsync failed; what the disk holds is unknown until a restart.
    #[error("{}: a write failed: {what}; check the disk and restart the node", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What failed.
        what: String,
    },
    /// The store was closed.
    #[error("{} is closed", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

impl Store {
    /// Opens or makes the store in `directory`, verifying every page of it.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let refused = |source| StoreError::Directory {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(refused)?;
        let path = directory.join(FILE);
        let marker = directory.join(MARKER);
        let marked = marker.try_exists().map_err(refused)?;
        if marked && fs::metadata(&path).map_or(0, |found| found.len()) == 0 {
            let what = "the file is missing or empty, but the directory was in use".to_owned();
            return Err(StoreError::Damaged { path, what });
        }
        let db = open_verified(&path)?;
        check_format(&db, &path)?;
        if !marked {
            write_marker(directory, &marker).map_err(refused)?;
        }
        Self::wrap(path, db)
    }
}

/// A damaged file may make the database panic rather than fail; either is an error here.
fn open_verified(path: &Path) -> Result<Database, StoreError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create(path)?;
        prepare(&db)?;
        Ok::<_, redb::Error>(db)
    }));
    let path = path.to_owned();
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(redb::Error::DatabaseAlreadyOpen)) => Err(StoreError::Locked { path }),
        Ok(Err(redb::Error::Io(source)))
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Err(StoreError::Directory { path, source })
        }
        Ok(Err(source)) => Err(StoreError::Damaged {
            path,
            what: source.to_string(),
        }),
        Err(_) => {
            let what = "its pages do not fit together".to_owned();
            Err(StoreError::Damaged { path, what })
        }
    }
}

/// Makes the tables, so that reading one that was never written finds it empty.
fn prepare(db: &Database) -> Result<(), redb::Error> {
    let present = {
        let txn = db.begin_read()?;
        txn.list_tables()?.count()
    };
    if present == 3 {
        return Ok(());
    }
    let txn = db.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        txn.open_table(LOG)?;
        txn.open_table(SNAPSHOT)?;
        if meta.get(key::FORMAT)?.is_none() {
            meta.insert(key::FORMAT, codec::seal(&FORMAT.to_le_bytes()).as_slice())?;
        }
    }
    txn.commit()?;
    Ok(())
}

fn check_format(db: &Database, path: &Path) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        path: path.to_owned(),
        what,
    };
    let read = || -> Result<Option<Vec<u8>>, redb::Error> {
        let txn = db.begin_read()?;
        let table = txn.open_table(META)?;
        Ok(table.get(key::FORMAT)?.map(|value| value.value().to_vec()))
    };
    let record = read().map_err(|source| damaged(source.to_string()))?;
    let record = record.ok_or_else(|| damaged("it has no format number".to_owned()))?;
    let bytes = codec::unseal(&record).map_err(|source| damaged(source.to_string()))?;
    let found = bytes
        .try_into()
        .map(u16::from_le_bytes)
        .map_err(|_| damaged("its format number has the wrong length".to_owned()))?;
    if found > FORMAT {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    Ok(())
}

fn write_marker(directory: &Path, marker: &Path) -> std::io::Result<()> {
    let mut file = fs::File::create(marker)?;
    writeln!(
        file,
        "Data of a ClusterKit node, format {FORMAT}. Do not copy to another node."
    )?;
    file.sync_all()?;
    fs::File::open(directory)?.sync_all()
}
