//! Whether another process renews the session that bars this one.

use std::time::Duration;

use ck_control::{OfficeId, SessionId, Time};

/// Leases of one office after which a session that stays open, though this process does not renew
/// it, is another process's. One is enough, but for leaders that stall.
const TWIN_AFTER_LEASES: u32 = 8;

/// A session of this member that stands in the way of its registration.
#[derive(Debug, Default)]
pub(super) struct Barred {
    /// By which session, in which office, and since when both are the same.
    by: Option<(SessionId, Option<OfficeId>, Time)>,
}

impl Barred {
    /// Whether `session`, found open once more, has been for so long that somebody renews it.
    ///
    /// `office` is the last one in the log. Each office gives every session a whole lease, `waits`,
    /// anew, so that a session nobody renews stays open for as long as leaders follow one another:
    /// only time within one office counts.
    pub(super) fn is_renewed(
        &mut self,
        session: SessionId,
        office: Option<OfficeId>,
        waits: Duration,
        now: Time,
    ) -> bool {
        let since = match self.by {
            Some((by, within, since)) if by == session && within == office => since,
            _ => self.by.insert((session, office, now)).2,
        };
        now.since(since) >= waits.saturating_mul(TWIN_AFTER_LEASES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Duration = Duration::from_millis(525);

    /// Asks once a lease for as many leases, with the office of each; whether it ever said so.
    fn ever_renewed(leases: u64, session: u64, office: impl Fn(u64) -> u64) -> bool {
        let mut barred = Barred::default();
        (0..=leases).any(|lease| {
            let now = Time::ZERO.after(WAITS.saturating_mul(u32::try_from(lease).unwrap()));
            let office = Some(OfficeId(office(lease)));
            barred.is_renewed(SessionId(session), office, WAITS, now)
        })
    }

    #[test]
    fn a_session_that_outlasts_eight_leases_of_one_office_is_renewed() {
        assert!(!ever_renewed(7, 3, |_| 1));
        assert!(ever_renewed(8, 3, |_| 1));
    }

    #[test]
    fn a_session_that_is_kept_open_by_new_offices_alone_is_not_renewed() {
        assert!(!ever_renewed(100, 3, |lease| lease / 2));
        assert!(!ever_renewed(100, 3, |lease| lease / 7));
        // The last office stays: it is renewed after all.
        assert!(ever_renewed(18, 3, |lease| lease.min(10)));
    }

    #[test]
    fn another_session_is_counted_from_its_own_beginning() {
        let mut barred = Barred::default();
        let at = |lease: u32| Time::ZERO.after(WAITS.saturating_mul(lease));
        let office = Some(OfficeId(1));
        assert!(!barred.is_renewed(SessionId(3), office, WAITS, at(0)));
        assert!(!barred.is_renewed(SessionId(4), office, WAITS, at(8)));
        assert!(!barred.is_renewed(SessionId(4), office, WAITS, at(15)));
        assert!(barred.is_renewed(SessionId(4), office, WAITS, at(16)));
    }
}
