//! What one caller of the HTTP surface may use up.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::duration;
use crate::settings::time;

const HEADING: &str = "Limits of HTTP callers";

/// Limits of the HTTP surface: flags, and the table `http_limits` of the file. What is absent is as
/// `ck_http::Limits` has it.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[group(skip)]
pub(crate) struct LimitArgs {
    /// Connections open at a time; one more is answered 503. Default: 1024.
    #[arg(long = "http-connections-max", env = "CK_HTTP_CONNECTIONS_MAX", value_name = "COUNT", help_heading = HEADING)]
    pub(crate) connections_max: Option<usize>,
    /// Requests worked on at a time; one more is answered 503. Default: 512.
    #[arg(long = "http-requests-max", env = "CK_HTTP_REQUESTS_MAX", value_name = "COUNT", help_heading = HEADING)]
    pub(crate) requests_max: Option<usize>,
    /// Callers that watch the table at a time, fewer than connections; one more is answered 503. Default:
    /// 768, or three quarters of the connections where that is less.
    #[arg(long = "http-watchers-max", env = "CK_HTTP_WATCHERS_MAX", value_name = "COUNT", help_heading = HEADING)]
    pub(crate) watchers_max: Option<usize>,
    /// Bytes of a request's line and header fields, 1024 to 1048576; more is answered 431. A key has room
    /// in a third of them, 8 KiB at most. Default: 32768.
    #[arg(long = "http-header-bytes-max", env = "CK_HTTP_HEADER_BYTES_MAX", value_name = "BYTES", help_heading = HEADING)]
    pub(crate) header_bytes_max: Option<usize>,
    /// Header fields of a request, at most 96; more is answered 431. Default: 64.
    #[arg(long = "http-header-count-max", env = "CK_HTTP_HEADER_COUNT_MAX", value_name = "COUNT", help_heading = HEADING)]
    pub(crate) header_count_max: Option<usize>,
    /// Bytes of a body; more is answered 413. JSON is read up to 256 KiB in any case. Default: 1114112.
    #[arg(long = "http-body-bytes-max", env = "CK_HTTP_BODY_BYTES_MAX", value_name = "BYTES", help_heading = HEADING)]
    pub(crate) body_bytes_max: Option<usize>,
    /// Time for a request's line and header fields to arrive. Then the connection is closed. Default: 10s.
    #[arg(long = "http-header-timeout", env = "CK_HTTP_HEADER_TIMEOUT", value_name = "TIME", value_parser = duration, help_heading = HEADING)]
    #[serde(deserialize_with = "time")]
    pub(crate) header_timeout: Option<Duration>,
    /// Time for a body to arrive; then 408. Default: 30s.
    #[arg(long = "http-body-timeout", env = "CK_HTTP_BODY_TIMEOUT", value_name = "TIME", value_parser = duration, help_heading = HEADING)]
    #[serde(deserialize_with = "time")]
    pub(crate) body_timeout: Option<Duration>,
    /// Time a connection may rest between requests. Then it is closed. Default: 75s.
    #[arg(long = "http-idle-timeout", env = "CK_HTTP_IDLE_TIMEOUT", value_name = "TIME", value_parser = duration, help_heading = HEADING)]
    #[serde(deserialize_with = "time")]
    pub(crate) idle_timeout: Option<Duration>,
    /// Time an answer may wait without a byte of it being taken. Then the connection is closed. Default:
    /// 30s.
    #[arg(long = "http-write-timeout", env = "CK_HTTP_WRITE_TIMEOUT", value_name = "TIME", value_parser = duration, help_heading = HEADING)]
    #[serde(deserialize_with = "time")]
    pub(crate) write_timeout: Option<Duration>,
    /// Bytes a second to be taken of an answer that waits, on average over --http-write-timeout; 0 for any
    /// number. Else the connection is closed. Default: 4096.
    #[arg(long = "http-write-bytes-per-second-min", env = "CK_HTTP_WRITE_BYTES_PER_SECOND_MIN", value_name = "BYTES", help_heading = HEADING)]
    pub(crate) write_bytes_per_second_min: Option<usize>,
}
