//! Where a store is: which file, on which machine, since which boot.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The place of one file on one running kernel.
///
/// While a process has the file open there, neither its number nor its file system's is another's.
/// So whoever holds the lock of the file in the same place knows that the one before has let go of it.
/// A copy of the file, or the same file after a reboot or on another machine, is in another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Drawn by the kernel when it boots.
    boot: String,
    /// Number of the file system.
    device: u64,
    /// Number of the file in it.
    file: u64,
}

impl Place {
    /// The place of an open file; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let boot = boot.trim();
        (!boot.is_empty()).then(|| Self {
            boot: boot.to_owned(),
            device: found.dev(),
            file: found.ino(),
        })
    }

    /// The place of an open file; not known here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) const fn of(_: &Path) -> Option<Self> {
        None
    }
}
