use core::time::Duration;

use crate::LeaseTerms;

/// How long a leader gives each part of planned work.
///
/// Kept outside the replicated configuration: these times decide when something is tried, never
/// what is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// Time a target has to copy before the move is aborted. Default an hour.
    pub prepare: Duration,
    /// Time a target has to get in sync after that. Default 10 min.
    pub catch_up: Duration,
    /// Time a source has to give its role up, and a switch may stay open. Default twice the lease
    /// of profile `lan`, 4 s.
    pub release: Duration,
    /// Time a target has to serve before the move goes on without its word. Default 30 s.
    pub activate: Duration,
    /// Grace period in which the source redirects and keeps its copy. Default 5 s.
    pub clean_up: Duration,
    /// Time before a partition whose move failed is tried again; doubled by each failure in a row,
    /// up to 64 times. Default 1 s.
    pub back_off: Duration,
    /// Time looked back on when lost nodes are counted. Default 30 s.
    pub brake_window: Duration,
    /// Time without a loss after which the brake lets go by itself. Default 5 min.
    pub brake_hold: Duration,
    /// Registrations of one node within `flap_window` that make it a flapping one, which gets no
    /// new copies until the window is past. Default 3.
    pub flaps: u32,
    /// Default 2 min.
    pub flap_window: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            prepare: Duration::from_secs(3_600),
            catch_up: Duration::from_secs(600),
            release: Duration::from_secs(4),
            activate: Duration::from_secs(30),
            clean_up: Duration::from_secs(5),
            back_off: Duration::from_secs(1),
            brake_window: Duration::from_secs(30),
            brake_hold: Duration::from_secs(300),
            flaps: 3,
            flap_window: Duration::from_secs(120),
        }
    }
}

impl Pace {
    /// Times in proportion to a lease, so short that a simulated run goes through every one.
    #[must_use]
    pub const fn scaled(terms: &LeaseTerms) -> Self {
        let lease = terms.lease();
        Self {
            prepare: lease.saturating_mul(10),
            catch_up: lease.saturating_mul(10),
            release: lease.saturating_mul(2),
            activate: lease.saturating_mul(4),
            clean_up: lease,
            back_off: lease,
            brake_window: lease.saturating_mul(15),
            brake_hold: lease.saturating_mul(15),
            flaps: 3,
            flap_window: lease.saturating_mul(15),
        }
    }
}
