//! How much of the disk is left.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Space that must be left for a write to be admitted, unless told otherwise: enough to end what is
/// under way, and for the node's own log.
pub(crate) const RESERVE_DEFAULT: u64 = 64 << 20;

/// The space on the disk of a directory.
#[derive(Debug)]
pub(crate) struct Space {
    directory: PathBuf,
    reserve: u64,
    low: AtomicBool,
}

impl Space {
    pub(super) fn new(directory: PathBuf, reserve: u64) -> Self {
        let space = Self {
            directory,
            reserve,
            low: AtomicBool::new(false),
        };
        space.look();
        space
    }

    /// Looks anew. A disk that cannot be asked counts as it did before.
    pub(super) fn look(&self) {
        if let Ok(stat) = nix::sys::statvfs::statvfs(&self.directory) {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            self.low.store(free < self.reserve, Ordering::Relaxed);
        }
    }

    /// Whether less than the reserve was left when it was last looked at. A disk that was too full is
    /// looked at anew: a node that refuses every write has nothing else that looks.
    pub(crate) fn is_low(&self) -> bool {
        if self.low.load(Ordering::Relaxed) {
            self.look();
        }
        self.low.load(Ordering::Relaxed)
    }

    /// The same, with another reserve, not looked at anew.
    #[cfg(test)]
    pub(super) fn with_reserve(self, reserve: u64) -> Self {
        Self { reserve, ..self }
    }

    /// Bytes that must be left.
    pub(crate) const fn reserve(&self) -> u64 {
        self.reserve
    }
}
