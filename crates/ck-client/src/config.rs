//! Which servers, and for how long.

use std::time::Duration;

use ck_api::Token;
use hyper::Uri;

/// Most servers one client may be given.
pub const SERVERS_MAX: usize = 256;

/// What a [`Client`](crate::Client) is made from.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Servers of one cluster, tried in this order at first: `127.0.0.1:8080`, `:8080` or
    /// `http://127.0.0.1:8080`.
    pub servers: Vec<String>,
    /// Token sent with every request. Default none.
    pub token: Option<Token>,
    /// Time a call may take in all, every server tried included. Default 10 s.
    pub timeout: Duration,
    /// Time one connection attempt may take. Default 2 s; never more than what is left of
    /// `timeout`.
    pub connect_timeout: Duration,
    /// Most bytes of an answer that are read. Default 256 MiB, which holds a million partitions.
    pub answer_bytes_max: usize,
    /// Connections that are kept open to a server while no call uses them. Default 256.
    pub idle_connections_max: usize,
}

impl ClientConfig {
    /// Those servers, and the defaults.
    pub fn new<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            token: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            answer_bytes_max: 256 << 20,
            idle_connections_max: 256,
        }
    }

    /// Sends that token with every request.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Lets a call take that long in all.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Why a client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No server at all.
    #[error("no server is given; name at least one, such as `http://127.0.0.1:8080`")]
    NoServers,
    /// More than [`SERVERS_MAX`].
    #[error("{got} servers are too many; at most {SERVERS_MAX} are allowed")]
    TooManyServers {
        /// The number given.
        got: usize,
    },
    /// Not an address.
    #[error("{value:?} is no server address; write `127.0.0.1:8080` or `http://127.0.0.1:8080`")]
    Server {
        /// The text as given.
        value: String,
    },
    /// An address with a scheme other than `http`.
    #[error("{value:?} asks for {scheme}, but only http is spoken here; write `http://…`")]
    Scheme {
        /// The text as given.
        value: String,
        /// Its scheme.
        scheme: String,
    },
    /// A number of zero.
    #[error("{field} is zero; give it at least 1")]
    NotPositive {
        /// The field.
        field: &'static str,
    },
    /// A time of zero.
    #[error("{field} is zero; give it at least a millisecond")]
    Zero {
        /// The field.
        field: &'static str,
    },
}

/// `host:port`, checked.
pub(crate) fn authority(value: &str) -> Result<String, ConfigError> {
    let refused = || ConfigError::Server {
        value: value.to_owned(),
    };
    let text = value.trim();
    let text = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) => {
            let scheme = scheme.to_owned();
            return Err(ConfigError::Scheme {
                value: value.to_owned(),
                scheme,
            });
        }
        None => text,
    };
    let text = text.strip_suffix('/').unwrap_or(text);
    let text = if text.starts_with(':') {
        format!("127.0.0.1{text}")
    } else {
        text.to_owned()
    };
    let uri: Uri = format!("http://{text}/").parse().map_err(|_| refused())?;
    let authority = uri.authority().ok_or_else(refused)?;
    if authority.host().is_empty() || authority.as_str().contains('@') || uri.path() != "/" {
        return Err(refused());
    }
    // A port that is written must be a number; without one HTTP's own, 80, is meant.
    let after_host = authority
        .as_str()
        .rsplit_once(']')
        .map_or(authority.as_str(), |pair| pair.1);
    if after_host.contains(':') && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(refused());
    }
    Ok(authority.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_in_every_form_people_write() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:8080/", "localhost:8080"),
            (":8080", "127.0.0.1:8080"),
            ("http://[::1]:9", "[::1]:9"),
            ("node-1.example", "node-1.example"),
        ] {
            assert_eq!(authority(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "http://",
            "a b",
            "host:port",
            "u@h:1",
            "h:1/path",
            "h:0",
            "h:99999",
        ] {
            assert!(
                matches!(authority(text), Err(ConfigError::Server { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            authority("https://h:1"),
            Err(ConfigError::Scheme { .. })
        ));
    }
}
