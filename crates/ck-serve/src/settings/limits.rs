//! The limits of the HTTP surface, put together and checked.

use ck_http::Limits;

use crate::error::SettingsError;
use crate::flags::LimitArgs;

/// Flags before the file, and both before the defaults.
pub(super) fn put_together(flags: &LimitArgs, file: &LimitArgs) -> Result<Limits, SettingsError> {
    let base = Limits::default();
    let connections_max = flags.connections_max.or(file.connections_max);
    let connections_max = connections_max.unwrap_or(base.connections_max);
    let watchers_max = flags.watchers_max.or(file.watchers_max);
    if let Some(watchers) = watchers_max.filter(|watchers| *watchers >= connections_max) {
        return Err(SettingsError::Watchers {
            watchers,
            connections: connections_max,
        });
    }
    // What is smaller by itself than its limit would be is no contradiction that somebody wrote.
    let watchers_max = watchers_max.unwrap_or(base.watchers_max.min(connections_max / 4 * 3));
    let header_bytes_max = flags.header_bytes_max.or(file.header_bytes_max);
    let header_bytes_max = header_bytes_max.unwrap_or(base.header_bytes_max);
    let body_bytes_max = flags.body_bytes_max.or(file.body_bytes_max);
    let body_bytes_max = body_bytes_max.unwrap_or(base.body_bytes_max);
    let count = |flag: Option<usize>, file: Option<usize>, base| flag.or(file).unwrap_or(base);
    let time = |flag: Option<_>, file: Option<_>, base| flag.or(file).unwrap_or(base);
    let limits = Limits {
        connections_max,
        watchers_max,
        requests_max: count(flags.requests_max, file.requests_max, base.requests_max),
        header_bytes_max,
        key_bytes_max: base.key_bytes_max.min(header_bytes_max / 3),
        header_count_max: count(
            flags.header_count_max,
            file.header_count_max,
            base.header_count_max,
        ),
        body_bytes_max,
        json_bytes_max: base.json_bytes_max.min(body_bytes_max),
        header_timeout: time(
            flags.header_timeout,
            file.header_timeout,
            base.header_timeout,
        ),
        body_timeout: time(flags.body_timeout, file.body_timeout, base.body_timeout),
        idle_timeout: time(flags.idle_timeout, file.idle_timeout, base.idle_timeout),
        write_timeout: time(flags.write_timeout, file.write_timeout, base.write_timeout),
        write_bytes_per_second_min: count(
            flags.write_bytes_per_second_min,
            file.write_bytes_per_second_min,
            base.write_bytes_per_second_min,
        ),
        ..base
    };
    limits.build().map_err(SettingsError::Limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> LimitArgs {
        toml::from_str(text).unwrap()
    }

    fn read(flags: &str, file: &str) -> Result<Limits, SettingsError> {
        put_together(&from(flags), &from(file))
    }

    #[test]
    fn every_limit_is_taken_over_and_a_flag_stands_before_the_file() {
        assert_eq!(read("", "").unwrap(), Limits::default());
        let all = "connections_max = 20\nrequests_max = 11\nwatchers_max = 12\n\
                   header_bytes_max = 1300\nheader_count_max = 14\nbody_bytes_max = 1500\n\
                   header_timeout = \"16s\"\nbody_timeout = \"17s\"\nidle_timeout = \"18s\"\n\
                   write_timeout = \"19s\"\nwrite_bytes_per_second_min = 21";
        let limits = read("", all).unwrap();
        let counts = [
            limits.connections_max,
            limits.requests_max,
            limits.watchers_max,
            limits.header_bytes_max,
            limits.header_count_max,
            limits.body_bytes_max,
            limits.write_bytes_per_second_min,
        ];
        assert_eq!(counts, [20, 11, 12, 1300, 14, 1500, 21]);
        let times = [
            limits.header_timeout,
            limits.body_timeout,
            limits.idle_timeout,
            limits.write_timeout,
        ];
        assert_eq!(times.map(|time| time.as_secs()), [16, 17, 18, 19]);
        // What has to fit into them is made to.
        assert_eq!((limits.key_bytes_max, limits.json_bytes_max), (433, 1500));
        let limits = read("requests_max = 7\nidle_timeout = \"1s\"", all).unwrap();
        assert_eq!((limits.requests_max, limits.header_count_max), (7, 14));
        assert_eq!(limits.idle_timeout.as_secs(), 1);
        assert_eq!(read("connections_max = 8", "").unwrap().watchers_max, 6);
    }

    #[test]
    fn nonsense_is_refused_by_the_name_of_its_flag() {
        for (flags, told) in [
            (
                "connections_max = 0",
                "--http-connections-max 0 is out of range; use 1 to",
            ),
            (
                "header_bytes_max = 100",
                "--http-header-bytes-max 100 is out of range; use 1024 to",
            ),
            (
                "header_count_max = 97",
                "--http-header-count-max 97 is out of range; use 1 to 96",
            ),
            (
                "idle_timeout = \"0s\"",
                "--http-idle-timeout is zero; give it",
            ),
            (
                "body_timeout = \"25h\"",
                "--http-body-timeout 90000s is too long; use at most",
            ),
            (
                "watchers_max = 1024",
                "--http-watchers-max 1024 leaves nothing of --http-connections-max 1024",
            ),
        ] {
            let refused = read(flags, "").unwrap_err().to_string();
            assert!(refused.starts_with(told), "{refused}");
        }
    }
}
