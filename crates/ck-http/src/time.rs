//! Instants as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What stands for "never": the year 1, as clients of the Go library know it.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// The wall clock in milliseconds since 1970. For people only.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Milliseconds since 1970 as RFC 3339 in UTC; [`NEVER`] for none.
pub(crate) fn rfc3339(at_ms: Option<u64>) -> String {
    let Some(at_ms) = at_ms.filter(|at| *at > 0) else {
        return NEVER.to_owned();
    };
    let (seconds, millis) = (at_ms / 1000, at_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year; 719,468 days lie
/// between 0000-03-01 and 1970-01-01, 146,097 in a cycle of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year_of_era + later, month, day)
}

/// A length of time in seconds, such as `16.129s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{}.{:03}s", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339() {
        for (at_ms, text) in [
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_407_117_250, "2026-11-23T04:11:57.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Some(at_ms)), text);
        }
        assert_eq!(rfc3339(None), NEVER);
        assert_eq!(rfc3339(Some(0)), NEVER);
    }

    #[test]
    fn durations_are_written_in_seconds() {
        assert_eq!(seconds(Duration::from_millis(16_129)), "16.129s");
    }
}
