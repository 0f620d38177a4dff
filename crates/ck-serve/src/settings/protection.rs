//! What protects a node: which files, and whether they suit its addresses.

use std::net::SocketAddr;
use std::path::PathBuf;

use ck_http::ServerFiles;
use ck_node::PeerFiles;

use super::FileSettings;
use crate::error::SettingsError;
use crate::flags::ServeArgs;

/// The files that protect a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Protection {
    /// Tokens that callers show.
    pub(crate) tokens: Option<PathBuf>,
    /// Certificate and key of the HTTP surface.
    pub(crate) server: Option<ServerFiles>,
    /// Certificate, key and authority between peers.
    pub(crate) peers: Option<PeerFiles>,
    /// Authority of the other nodes' HTTP surfaces.
    pub(crate) authority: Option<PathBuf>,
    /// Whether the nodes of `--join` are asked over TLS.
    pub(crate) asks_encrypted: bool,
}

impl Protection {
    /// Puts flags before the file.
    pub(super) fn put_together(
        flags: &ServeArgs,
        file: &FileSettings,
    ) -> Result<Self, SettingsError> {
        let of = |flag: &Option<PathBuf>, file: &Option<PathBuf>| flag.clone().or(file.clone());
        let server = [
            ("--tls-cert", of(&flags.tls_cert, &file.tls_cert)),
            ("--tls-key", of(&flags.tls_key, &file.tls_key)),
        ];
        let peers = [
            ("--peer-cert", of(&flags.peer_cert, &file.peer_cert)),
            ("--peer-key", of(&flags.peer_key, &file.peer_key)),
            ("--peer-ca", of(&flags.peer_ca, &file.peer_ca)),
        ];
        let peers = all_or_none(peers)?.map(|[certificate, key, authority]| PeerFiles {
            certificate,
            key,
            authority,
        });
        let authority = of(&flags.ca, &file.ca);
        let server = all_or_none(server)?.map(|[certificate, key]| ServerFiles {
            certificate,
            key,
            callers: None,
        });
        Ok(Self {
            tokens: of(&flags.token_file, &file.token_file),
            asks_encrypted: server.is_some() || authority.is_some(),
            server,
            authority: authority.or(peers.as_ref().map(|peers| peers.authority.clone())),
            peers,
        })
    }

    /// Refuses addresses that other machines reach while something is missing that protects them,
    /// unless that is accepted. One refusal names all of it.
    pub(super) fn suits(
        &self,
        http: SocketAddr,
        peer: SocketAddr,
        insecure: bool,
    ) -> Result<(), SettingsError> {
        let (mut reached, mut missing) = (Vec::new(), Vec::new());
        let open = |address: SocketAddr| !insecure && !address.ip().is_loopback();
        if open(http) && (self.server.is_none() || self.tokens.is_none()) {
            reached.push(format!("--http {http}"));
            if self.server.is_none() {
                missing.push("--tls-cert and --tls-key");
            }
            if self.tokens.is_none() {
                missing.push("--token-file");
            }
        }
        if open(peer) && self.peers.is_none() {
            reached.push(format!("--peer {peer}"));
            missing.push("--peer-cert, --peer-key and --peer-ca");
        }
        if reached.is_empty() {
            return Ok(());
        }
        Err(SettingsError::Insecure {
            reached: reached.join(" and "),
            missing: missing.join(", "),
        })
    }

    /// Decides how the addresses of `--join`, as they are written, are asked: all alike. Refuses a
    /// mixture, and https while nobody is trusted.
    pub(super) fn ask(&mut self, join: &[String]) -> Result<(), SettingsError> {
        let written = |scheme| join.iter().find(|text| text.trim().starts_with(scheme));
        match (written("http://"), written("https://")) {
            (Some(plain), Some(encrypted)) => {
                return Err(SettingsError::Mixed {
                    plain: plain.clone(),
                    encrypted: format!("--join {encrypted}"),
                });
            }
            (Some(plain), None) if self.server.is_some() => {
                return Err(SettingsError::Mixed {
                    plain: plain.clone(),
                    encrypted: "--tls-cert".to_owned(),
                });
            }
            (Some(_), None) => self.asks_encrypted = false,
            (None, Some(_)) => self.asks_encrypted = true,
            (None, None) => {}
        }
        match join.first() {
            None => {
                self.asks_encrypted = false;
                Ok(())
            }
            Some(target) if self.asks_encrypted && self.authority.is_none() => {
                Err(SettingsError::NoAuthority {
                    target: target.clone(),
                })
            }
            Some(_) => Ok(()),
        }
    }
}

/// All values, or none; else the flags that are missing.
fn all_or_none<const N: usize>(
    values: [(&'static str, Option<PathBuf>); N],
) -> Result<Option<[PathBuf; N]>, SettingsError> {
    let given = values.iter().find(|(_, value)| value.is_some());
    let Some((given, _)) = given else {
        return Ok(None);
    };
    let absent = values.iter().filter(|(_, value)| value.is_none());
    let missing: Vec<_> = absent.map(|(flag, _)| *flag).collect();
    if !missing.is_empty() {
        return Err(SettingsError::Incomplete {
            given,
            missing: missing.join(" and "),
        });
    }
    Ok(Some(values.map(|(_, value)| value.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(name))
    }

    fn read(flags: &ServeArgs) -> Result<Protection, SettingsError> {
        Protection::put_together(flags, &FileSettings::default())
    }

    fn whole() -> ServeArgs {
        ServeArgs {
            token_file: file("tokens"),
            tls_cert: file("t.pem"),
            tls_key: file("t-key.pem"),
            peer_cert: file("p.pem"),
            peer_key: file("p-key.pem"),
            peer_ca: file("ca.pem"),
            ..ServeArgs::default()
        }
    }

    #[test]
    fn what_belongs_together_is_given_together() {
        let lacking = ServeArgs {
            peer_key: None,
            peer_ca: None,
            ..whole()
        };
        let refused = read(&lacking).unwrap_err().to_string();
        assert!(refused.contains("--peer-cert is given without --peer-key and --peer-ca"));
        let lacking = ServeArgs {
            tls_cert: None,
            ..whole()
        };
        let refused = read(&lacking).unwrap_err().to_string();
        assert!(refused.contains("--tls-key is given without --tls-cert"));
        assert_eq!(read(&ServeArgs::default()).unwrap(), Protection::default());
    }

    #[test]
    fn an_address_beyond_loopback_needs_all_of_it_said_at_once() {
        let open = "192.0.2.7:8080".parse().unwrap();
        let inside = "127.0.0.1:10080".parse().unwrap();
        let nothing = read(&ServeArgs::default()).unwrap();
        let refused = nothing.suits(open, open, false).unwrap_err().to_string();
        for named in [
            "--tls-cert",
            "--token-file",
            "--peer-ca",
            "--insecure",
            "192.0.2.7",
        ] {
            assert!(refused.contains(named), "{refused}");
        }
        assert!(nothing.suits(open, open, true).is_ok());
        assert!(nothing.suits(inside, inside, false).is_ok());
        assert!(read(&whole()).unwrap().suits(open, open, false).is_ok());
        let no_tokens = ServeArgs {
            token_file: None,
            ..whole()
        };
        let refused = read(&no_tokens).unwrap().suits(open, open, false);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("needs --token-file."), "{refused}");
        let no_peers = ServeArgs {
            peer_cert: None,
            peer_key: None,
            peer_ca: None,
            ..whole()
        };
        let refused = read(&no_peers).unwrap().suits(inside, open, false);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("--peer 192.0.2.7:8080: "), "{refused}");
    }

    #[test]
    fn the_peers_authority_stands_in_for_that_of_the_servers() {
        let join = ["127.0.0.1:8080".to_owned()];
        let mut with = read(&whole()).unwrap();
        assert_eq!(with.authority, file("ca.pem"));
        assert!(with.ask(&join).is_ok());
        let alone = ServeArgs {
            peer_cert: None,
            peer_key: None,
            peer_ca: None,
            ..whole()
        };
        let refused = read(&alone).unwrap().ask(&join).unwrap_err();
        assert!(refused.to_string().contains("--ca"), "{refused}");
        assert!(read(&alone).unwrap().ask(&[]).is_ok());
        let named = ServeArgs {
            ca: file("other.pem"),
            ..alone
        };
        assert!(read(&named).unwrap().ask(&join).is_ok());
    }

    #[test]
    fn the_nodes_of_join_are_asked_as_they_are_written_and_all_alike() {
        let ask = |flags: &ServeArgs, join: &[&str]| {
            let mut protection = read(flags).unwrap();
            let join: Vec<_> = join.iter().map(|&text| text.to_owned()).collect();
            protection.ask(&join).map(|()| protection.asks_encrypted)
        };
        let nothing = ServeArgs::default();
        let trusting = ServeArgs {
            ca: file("ca.pem"),
            ..ServeArgs::default()
        };
        assert!(!ask(&nothing, &["h:1", "http://h:2"]).unwrap());
        let refused = ask(&nothing, &["h:1", "https://h:2"]).unwrap_err();
        assert!(refused.to_string().contains("--ca"), "{refused}");
        assert!(ask(&trusting, &["h:1", " https://h:2"]).unwrap());
        assert!(ask(&trusting, &["h:1"]).unwrap());
        assert!(!ask(&trusting, &["http://h:1"]).unwrap());
        assert!(!ask(&trusting, &[]).unwrap());
        assert!(ask(&whole(), &["h:1"]).unwrap());
        for (flags, join) in [
            (&trusting, &["http://h:1", "https://h:2"][..]),
            (&whole(), &["http://h:1"]),
        ] {
            let refused = ask(flags, join).unwrap_err().to_string();
            assert!(refused.contains("http://h:1"), "{refused}");
        }
    }
}
