//! Bugs that can be switched on, so that a checker can be shown to find them. A build without the
//! feature `planted` has none of them.

/// A rule that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Reads are answered without asking whether the node still owns the partition.
    StaleRead,
    /// A write is acknowledged once the primary has it, and sent to the replicas some time later.
    LostWrite,
    /// Replicas take records of any grant.
    NoTokenCheck,
    /// What is committed is not synced.
    NoFsync,
}

/// Environment variable with the names of the bugs to switch on, with commas.
#[cfg(feature = "planted")]
const VARIABLE: &str = "CK_KV_PLANTED";

#[cfg(feature = "planted")]
impl Bug {
    const fn name(self) -> &'static str {
        match self {
            Self::StaleRead => "stale-read",
            Self::LostWrite => "lost-write",
            Self::NoTokenCheck => "no-token-check",
            Self::NoFsync => "no-fsync",
        }
    }

    pub(crate) fn is_on(self) -> bool {
        static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        ON.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default())
            .split(',')
            .any(|name| name == self.name())
    }
}

#[cfg(not(feature = "planted"))]
impl Bug {
    #[inline]
    #[expect(
        clippy::unused_self,
        reason = "the same call with the feature asks which bug"
    )]
    pub(crate) const fn is_on(self) -> bool {
        false
    }
}
