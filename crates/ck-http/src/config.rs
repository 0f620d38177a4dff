//! What a surface is built from: names, secrets, limits.

use std::time::Duration;

use crate::access::AcceptedTokens;
use crate::orders::Orders;
use crate::spans::TraceParent;

/// Longest time of any limit.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How a surface protects itself and whom it answers.
#[derive(Debug, Clone, Default)]
pub struct SurfaceConfig {
    /// Tokens that callers show. With any, every route that changes something needs one of its role;
    /// with one for [`Role::Read`](ck_api::Role::Read), every other route does, too, but the two
    /// that say whether the node lives and is ready. Default none: every route is open to whoever
    /// reaches the server, so listen on loopback only.
    pub tokens: AcceptedTokens,
    /// Names, without ports, by which this server may be addressed; requests under another name
    /// are refused, which is what keeps a web page from reaching a loopback server by rebinding
    /// its own name to it. Default `None`: any name. See [`loopback_hosts`].
    pub hosts: Option<Vec<String>>,
    /// Whether the server speaks TLS, as every node of the cluster does then: redirects say so.
    pub encrypted: bool,
    /// What one caller may use up.
    pub limits: Limits,
    /// What the node's application is asked to do: the one that was given to the node as its
    /// handler. Default none: the application, if there is one, is a handler within the process.
    pub orders: Option<Orders>,
    /// How the span of a request is tied to its caller's trace, where spans are collected
    /// ([`REQUEST_SPANS`](crate::REQUEST_SPANS)). Default none: each begins a trace.
    pub trace_parent: Option<TraceParent>,
}

/// The names of a server that listens on loopback, with `advertised` ones beside them.
///
/// ```
/// let hosts = ck_http::loopback_hosts(["node-1.local"]);
/// assert_eq!(hosts, ["localhost", "127.0.0.1", "[::1]", "node-1.local"]);
/// ```
pub fn loopback_hosts<'a>(advertised: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let own = ["localhost", "127.0.0.1", "[::1]"];
    own.into_iter()
        .chain(advertised)
        .map(str::to_owned)
        .collect()
}

/// What one caller may use up before it is refused, while all others are served.
///
/// Plain fields with defaults; [`Limits::build`] checks them against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time. Default 1,024. One more is answered 503 and closed.
    pub connections_max: usize,
    /// Requests worked on at a time. Default 512. One more is answered 503 with `Retry-After`.
    pub requests_max: usize,
    /// Bytes of a request's line and header fields. Default 32 KiB, 1 KiB to 1 MiB. More is
    /// answered 431.
    pub header_bytes_max: usize,
    /// Header fields of a request. Default 64, at most 96. More is answered 431.
    pub header_count_max: usize,
    /// Bytes of a key after percent-decoding. Default 8 KiB. Longer is answered 414. Three times
    /// as much must fit into `header_bytes_max`, as every byte may be percent-encoded.
    pub key_bytes_max: usize,
    /// Bytes of a raw body, that of a custom value. Default 1 MiB and 64 KiB: more than a value
    /// may have, so that the cluster's own limit speaks first. More is answered 413.
    pub body_bytes_max: usize,
    /// Bytes of a JSON body. Default 256 KiB; at most `body_bytes_max`. More is answered 413.
    pub json_bytes_max: usize,
    /// Time for the handshake of an encrypted connection, from connecting. Default 5 s. Then the
    /// connection is closed.
    pub handshake_timeout: Duration,
    /// Time from the first byte of a request's head, or from connecting, to its last. Default
    /// 10 s. Then the connection is closed.
    pub header_timeout: Duration,
    /// Time for a whole body. Default 30 s. Then 408.
    pub body_timeout: Duration,
    /// Time for an operation, its body read. Default 30 s. Then 504.
    pub request_timeout: Duration,
    /// Time a connection may rest between requests. Default 75 s. Then it is closed.
    pub idle_timeout: Duration,
    /// Time a caller may let an answer wait without taking a byte of it. Default 30 s. Then the
    /// connection is closed.
    pub write_timeout: Duration,
    /// Bytes a second that a caller must take of answers that wait for it, on average over
    /// `write_timeout`. Default 4 KiB; 0 for no such limit. Then the connection is closed: an answer is
    /// kept in memory for as long as somebody takes it.
    pub write_bytes_per_second_min: usize,
    /// Callers that watch the table, or wait for a version of it, at a time. Default 768: fewer than
    /// `connections_max`, so that others are answered beside them. One more is answered 503.
    pub watchers_max: usize,
    /// Longest time a caller may ask to wait for a version. Default 60 s.
    pub wait_max: Duration,
    /// Changes of the table that are kept for watchers that are behind and for looks at the past.
    /// Default 1,024.
    pub changes_max: usize,
    /// Memory for these changes, in bytes, about. Default 4 MiB. The newest is kept in any case.
    pub changes_bytes_max: usize,
    /// Time that requests under way get when the server stops. Default 5 s.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 512,
            header_bytes_max: 32 << 10,
            header_count_max: 64,
            key_bytes_max: 8 << 10,
            body_bytes_max: (1 << 20) + (64 << 10),
            json_bytes_max: 256 << 10,
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            write_bytes_per_second_min: 4 << 10,
            watchers_max: 768,
            wait_max: Duration::from_secs(60),
            changes_max: 1024,
            changes_bytes_max: 4 << 20,
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// Why limits do not fit together. Every message names the field and the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// A number outside its range.
    #[error("{field} {got} is out of range; use {min} to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// The value given.
        got: usize,
        /// Least allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// A time of zero.
    #[error("{field} is zero; give it at least a millisecond")]
    Zero {
        /// The field.
        field: &'static str,
    },
    /// A time that limits nothing.
    #[error("{field} {got:?} is too long; use at most {max:?}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The value given.
        got: Duration,
        /// Most allowed.
        max: Duration,
    },
    /// Two fields that contradict each other.
    #[error("{field} {got} does not fit {other} {value}; {remedy}")]
    Conflict {
        /// The field.
        field: &'static str,
        /// Its value.
        got: usize,
        /// The field it does not fit.
        other: &'static str,
        /// That field's value.
        value: usize,
        /// What to change.
        remedy: &'static str,
    },
}

impl Limits {
    /// Checks every field, and the fields against each other.
    ///
    /// # Errors
    /// [`LimitsError`] names the first field that is wrong.
    pub fn build(self) -> Result<Self, LimitsError> {
        let most = usize::MAX >> 1;
        for (field, got, min, max) in [
            ("connections_max", self.connections_max, 1, 1 << 20),
            ("requests_max", self.requests_max, 1, 1 << 20),
            ("header_bytes_max", self.header_bytes_max, 1 << 10, 1 << 20),
            ("header_count_max", self.header_count_max, 1, 96),
            ("key_bytes_max", self.key_bytes_max, 1, 1 << 20),
            ("body_bytes_max", self.body_bytes_max, 1, most),
            ("json_bytes_max", self.json_bytes_max, 1, most),
            (
                "write_bytes_per_second_min",
                self.write_bytes_per_second_min,
                0,
                1 << 30,
            ),
            ("watchers_max", self.watchers_max, 0, 1 << 20),
            ("changes_max", self.changes_max, 1, 1 << 20),
            ("changes_bytes_max", self.changes_bytes_max, 1, most),
        ] {
            if got < min || got > max {
                return Err(LimitsError::Range {
                    field,
                    got,
                    min,
                    max,
                });
            }
        }
        for (field, time) in [
            ("handshake_timeout", self.handshake_timeout),
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("request_timeout", self.request_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("wait_max", self.wait_max),
        ] {
            if time.is_zero() {
                return Err(LimitsError::Zero { field });
            }
            if time > TIME_MAX {
                let (got, max) = (time, TIME_MAX);
                return Err(LimitsError::TooLong { field, got, max });
            }
        }
        if self.key_bytes_max > self.header_bytes_max / 3 {
            return Err(LimitsError::Conflict {
                field: "key_bytes_max",
                got: self.key_bytes_max,
                other: "header_bytes_max",
                value: self.header_bytes_max,
                remedy: "three times the key must fit; lower the one or raise the other",
            });
        }
        if self.json_bytes_max > self.body_bytes_max {
            return Err(LimitsError::Conflict {
                field: "json_bytes_max",
                got: self.json_bytes_max,
                other: "body_bytes_max",
                value: self.body_bytes_max,
                remedy: "it may not be larger; lower the one or raise the other",
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(Limits::default().build(), Ok(Limits::default()));
    }

    #[test]
    fn a_contradiction_names_both_fields() {
        let limits = Limits {
            key_bytes_max: 20_000,
            ..Limits::default()
        };
        let text = limits.build().unwrap_err().to_string();
        assert!(text.contains("key_bytes_max 20000") && text.contains("header_bytes_max 32768"));
        let limits = Limits {
            json_bytes_max: 2 << 20,
            ..Limits::default()
        };
        assert!(
            limits
                .build()
                .unwrap_err()
                .to_string()
                .starts_with("json_bytes_max 2097152")
        );
        let limits = Limits {
            idle_timeout: Duration::ZERO,
            ..Limits::default()
        };
        assert_eq!(
            limits.build(),
            Err(LimitsError::Zero {
                field: "idle_timeout"
            })
        );
        let limits = Limits {
            body_timeout: Duration::from_secs(100_000),
            ..Limits::default()
        };
        let text = limits.build().unwrap_err().to_string();
        assert_eq!(text, "body_timeout 100000s is too long; use at most 86400s");
        let limits = Limits {
            connections_max: 0,
            ..Limits::default()
        };
        assert!(matches!(
            limits.build(),
            Err(LimitsError::Range { got: 0, .. })
        ));
    }
}
