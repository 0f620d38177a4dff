//! Data that is deleted at the end, also when there was no chance to do so at the end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use tempfile::TempDir;

const PREFIX: &str = "ck-dev-";

/// Held locked by the process that uses the directory; the system lets go of it with the process.
const LOCK: &str = "in-use";

/// Most entries looked at, so that a crowded directory does not hold up a start.
const ENTRIES_MAX: usize = 10_000;

/// Attempts to have a directory to oneself.
const ATTEMPTS_MAX: usize = 8;

/// A directory that is deleted on drop, and by the next one's start when that did not come.
pub(super) struct Temporary {
    directory: TempDir,
    _lock: File,
}

impl Temporary {
    /// A new directory below `root`.
    pub(super) fn make(root: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS_MAX {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
            let path = directory.path().join(LOCK);
            let lock = File::create_new(&path)?;
            // Whoever clears up may have come between.
            if lock.try_lock().is_ok() && path.exists() {
                return Ok(Self {
                    directory,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other("another process takes them away"))
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Deletes the directories of this user below `root` whose process is gone.
pub(super) fn clear_stale(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries.take(ENTRIES_MAX).flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|data| data.is_dir() && data.uid() == geteuid().as_raw());
        if !ours {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            // What cannot be deleted now is left to the next one.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_any_more_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        let held = Temporary::make(root.path()).unwrap();
        let stale = root.path().join("ck-dev-gone");
        fs::create_dir(&stale).unwrap();
        fs::write(stale.join(LOCK), "").unwrap();
        for other in ["ck-dev-no-lock", "other"] {
            fs::create_dir(root.path().join(other)).unwrap();
        }
        fs::write(root.path().join("other").join(LOCK), "").unwrap();
        clear_stale(root.path());
        assert!(!stale.exists());
        assert!(held.path().is_dir());
        assert!(root.path().join("other").is_dir());
        assert!(root.path().join("ck-dev-no-lock").is_dir());
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
    }
}
