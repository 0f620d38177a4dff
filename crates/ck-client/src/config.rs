//! Which servers, and for how long.

use std::time::Duration;

use ck_api::Token;
use ck_tls::ClientTls;
use hyper::Uri;
use hyper::http::uri::Scheme;

/// Most servers one client may be given.
pub const SERVERS_MAX: usize = 256;

/// What a [`Client`](crate::Client) is made from.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Servers of one cluster, tried in this order at first: `127.0.0.1:8080`, `:8080`,
    /// `http://127.0.0.1:8080` or `https://127.0.0.1:8080`. Without a scheme `https` is meant where
    /// `tls` is given, and `http` where it is not.
    pub servers: Vec<String>,
    /// Whom to trust when a server is asked over `https`. Default nobody: then only `http` is spoken.
    pub tls: Option<ClientTls>,
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
            tls: None,
            token: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            answer_bytes_max: 256 << 20,
            idle_connections_max: 256,
        }
    }

    /// Asks those servers instead.
    #[must_use]
    pub fn with_servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.servers = servers.into_iter().map(Into::into).collect();
        self
    }

    /// Trusts those, and speaks `https` where an address has no scheme.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
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
    /// An address with a scheme other than `http` and `https`.
    #[error("{value:?} asks for {scheme}, but only http and https are spoken; write `https://…`")]
    Scheme {
        /// The text as given.
        value: String,
        /// Its scheme.
        scheme: String,
    },
    /// An address of `https`, and nobody to trust.
    #[error(
        "{value:?} asks for https, and no authority is trusted; name the file of the one that issued \
         the server's certificate, as by --ca"
    )]
    NoAuthority {
        /// The text as given.
        value: String,
    },
    /// Addresses of `http` beside ones of `https`.
    #[error("{plain:?} is http and {encrypted:?} https; a cluster speaks the one or the other")]
    Mixed {
        /// The first of `http`.
        plain: String,
        /// The first of `https`.
        encrypted: String,
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

/// Every server as `host:port`, checked, and the scheme that all of them speak.
pub(crate) fn servers(config: &ClientConfig) -> Result<(Scheme, Vec<String>), ConfigError> {
    let unsaid = match config.tls {
        Some(_) => Scheme::HTTPS,
        None => Scheme::HTTP,
    };
    let (mut plain, mut encrypted) = (None, None);
    let mut servers = Vec::with_capacity(config.servers.len());
    for value in &config.servers {
        let (scheme, server) = server(value)?;
        let scheme = scheme.unwrap_or_else(|| unsaid.clone());
        let first = if scheme == Scheme::HTTPS {
            &mut encrypted
        } else {
            &mut plain
        };
        first.get_or_insert(value);
        servers.push(server);
    }
    match (plain, encrypted) {
        (Some(plain), Some(encrypted)) => Err(ConfigError::Mixed {
            plain: plain.clone(),
            encrypted: encrypted.clone(),
        }),
        (None, Some(value)) if config.tls.is_none() => Err(ConfigError::NoAuthority {
            value: value.clone(),
        }),
        (None, Some(_)) => Ok((Scheme::HTTPS, servers)),
        (_, None) => Ok((Scheme::HTTP, servers)),
    }
}

/// `host:port`, checked, and the scheme, if one is written.
fn server(value: &str) -> Result<(Option<Scheme>, String), ConfigError> {
    let refused = || ConfigError::Server {
        value: value.to_owned(),
    };
    let text = value.trim();
    let (scheme, text) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::HTTP), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::HTTPS), rest),
        Some((scheme, _)) => {
            let scheme = scheme.to_owned();
            return Err(ConfigError::Scheme {
                value: value.to_owned(),
                scheme,
            });
        }
        None => (None, text),
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
    // A port that is written must be a number; without one the scheme's own, 80 or 443, is meant.
    let after_host = authority
        .as_str()
        .rsplit_once(']')
        .map_or(authority.as_str(), |pair| pair.1);
    if after_host.contains(':') && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(refused());
    }
    Ok((scheme, authority.to_string()))
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
            assert_eq!(server(text).unwrap().1, expected, "{text}");
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
                matches!(server(text), Err(ConfigError::Server { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            server("ftp://h:1"),
            Err(ConfigError::Scheme { .. })
        ));
    }

    #[test]
    fn all_servers_speak_one_scheme() {
        let ask = |list: &[&str], tls: bool| {
            let mut config = ClientConfig::new(list.iter().copied());
            config.tls = tls.then(ClientTls::default);
            servers(&config).map(|(scheme, _)| scheme.to_string())
        };
        assert_eq!(ask(&["h:1", "http://h:2"], false).as_deref(), Ok("http"));
        assert_eq!(ask(&["h:1", "https://h:2"], true).as_deref(), Ok("https"));
        assert_eq!(ask(&["http://h:1"], true).as_deref(), Ok("http"));
        let refused = ask(&["https://h:1"], false).unwrap_err().to_string();
        assert!(refused.contains("--ca"), "{refused}");
        let refused = ask(&["http://h:1", "h:2"], true).unwrap_err();
        assert!(matches!(refused, ConfigError::Mixed { .. }), "{refused}");
    }
}
