//! A reading of the local clock, as an argument: this crate never reads one.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::LeaseTerms;

/// A reading of one node's clock that never goes back and also counts while the machine sleeps
/// (`CLOCK_BOOTTIME`), in nanoseconds since an arbitrary start.
///
/// Readings of different nodes, or of different boots, are never compared.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// Before or at every reading.
    pub const ZERO: Self = Self(0);

    /// The reading `span` after this one, or the last there is.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(span)))
    }

    /// Time from `earlier` to this; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}

const fn nanoseconds(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(span.subsec_nanos() as u64)
}

impl LeaseTerms {
    /// Length of a lease.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How long a node may act, counted on its own clock from the reading it took before it sent
    /// the renewal: lease × (1 − ρ).
    #[must_use]
    pub const fn acts_for(&self) -> Duration {
        // A millisecond has a million nanoseconds, so a millionth of it is exactly one.
        let parts = 1_000_000_u64.saturating_sub(self.rho_ppm as u64);
        Duration::from_nanos(self.lease_ms.saturating_mul(parts))
    }

    /// How long a leader waits on its own clock before it takes anything from a silent session:
    /// lease × (1 + ρ) + the freeze allowance.
    #[must_use]
    pub const fn waits_for(&self) -> Duration {
        let parts = 1_000_000_u64.saturating_add(self.rho_ppm as u64);
        Duration::from_nanos(self.lease_ms.saturating_mul(parts))
            .saturating_add(Duration::from_millis(self.freeze_allowance_ms))
    }

    /// Time between two renewals: a fifth of the lease.
    #[must_use]
    pub const fn renews_every(&self) -> Duration {
        Duration::from_nanos(self.lease_ms.saturating_mul(200_000))
    }

    /// Time after which a tick of the leader counts as late: a quarter of the lease.
    #[must_use]
    pub const fn late_after(&self) -> Duration {
        Duration::from_nanos(self.lease_ms.saturating_mul(250_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn the_node_stops_before_the_leader_stops_waiting() {
        let lan = LeaseTerms::of(Profile::Lan);
        assert_eq!(lan.acts_for(), Duration::from_millis(1_900));
        assert_eq!(lan.waits_for(), Duration::from_millis(2_100));
        assert_eq!(lan.renews_every(), Duration::from_millis(400));
        assert_eq!(lan.late_after(), Duration::from_millis(500));
    }

    #[test]
    fn a_freeze_allowance_is_waited_for_by_the_leader_alone() {
        let terms = LeaseTerms {
            freeze_allowance_ms: 300,
            ..LeaseTerms::of(Profile::Fast)
        };
        assert_eq!(terms.acts_for(), Duration::from_millis(475));
        assert_eq!(terms.waits_for(), Duration::from_millis(825));
    }

    #[test]
    fn times_never_wrap() {
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
        assert_eq!(Time(u64::MAX).after(Duration::MAX), Time(u64::MAX));
        assert_eq!(Time(1).after(Duration::from_secs(1)), Time(1_000_000_001));
    }
}
