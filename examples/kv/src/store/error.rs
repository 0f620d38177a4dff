//! What goes wrong with the file.

use std::path::PathBuf;

use crate::wire::{FORMAT, WireError};

/// Why a store was not opened, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("data directory {}: {source}; name another with --data, or mend its permissions", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The node has been here before, and its data has not.
    #[error("{} is missing, although this node has data beside it; put the file back, or start the node with an empty directory, as a new member", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("{} has format {found}, this version knows {FORMAT}; start a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// The file cannot be opened, read or written.
    #[error("{}: {source}; check the disk, or restore the file from a backup", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// A row is not what it was when it was written.
    #[error("{}: a row is damaged: {source}; start the node with an empty directory, as a new member", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WireError,
    },
    /// The thread that writes has ended.
    #[error("{} takes no more writes: the node is stopping", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}
