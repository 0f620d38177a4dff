//! Files that may be replaced while the node runs: tokens, certificates and their keys.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ck_api::{Role, Token, Tokens};
use ck_client::{Courier, TokenFileError, read_tokens};
use ck_http::{AcceptedTokens, ServerFiles, ServerTls};
use ck_node::{PeerFiles, PeerTls, Secret, Secrets, TlsError};
use tokio::signal::unix::Signal;
use tokio::time::MissedTickBehavior;

use crate::asking::Asking;
use crate::calling::Calling;

/// Between two looks at whether a file is another one than before.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why the tokens of a file cannot be used by a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeTokensError {
    /// The file cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// Nobody could change who belongs to the cluster, and no node could join it.
    #[error(
        "token file {} has no token for the role admin, whose routes nobody could call; add a line \
         `admin <token>`", file.display()
    )]
    NoAdmin {
        /// The file.
        file: PathBuf,
    },
}

/// The tokens of a node: what its server accepts, and what it shows to join.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeTokens {
    pub(crate) accepted: AcceptedTokens,
    pub(crate) secrets: Secrets,
}

impl NodeTokens {
    /// Those of the file, and the one to show to other nodes.
    pub(crate) fn read(file: &Path) -> Result<(Self, Token), NodeTokensError> {
        let tokens = usable(file)?;
        let shown = tokens.strongest().clone();
        let tokens = Self {
            secrets: Secrets::new(secrets(&tokens)),
            accepted: AcceptedTokens::new(tokens),
        };
        Ok((tokens, shown))
    }

    fn read_again(
        &self,
        file: &Path,
        asking: &Asking,
        courier: &Courier,
    ) -> Result<String, NodeTokensError> {
        let tokens = usable(file)?;
        courier.show(tokens.strongest());
        asking.show(tokens.strongest().clone());
        let read = format!("{tokens:?}");
        self.secrets.replace(secrets(&tokens));
        self.accepted.replace(tokens);
        Ok(read)
    }
}

fn usable(file: &Path) -> Result<Tokens, NodeTokensError> {
    let tokens = read_tokens(file)?;
    if tokens.highest() < Role::Admin {
        return Err(NodeTokensError::NoAdmin {
            file: file.to_owned(),
        });
    }
    Ok(tokens)
}

/// Who may join shows what an admin would.
fn secrets(tokens: &Tokens) -> Vec<Secret> {
    let admins = tokens.iter().filter(|(role, _)| *role == Role::Admin);
    admins
        .map(|(_, token)| Secret::new(token.expose()))
        .collect()
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(file)?;
        Ok(Self {
            inode: found.ino(),
            bytes: found.len(),
            modified_s: found.mtime(),
            modified_ns: found.mtime_nsec(),
        })
    }
}

/// What is read from files, each with what uses it.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) tokens: Option<(PathBuf, NodeTokens)>,
    pub(crate) server: Option<(ServerFiles, ServerTls)>,
    pub(crate) peers: Option<(PeerFiles, PeerTls)>,
    /// Authorities of the other nodes' HTTP surfaces, where those are asked over TLS.
    pub(crate) authority: Option<PathBuf>,
    /// What asks other nodes.
    pub(crate) asking: Asking,
    /// How the application asks them, where it does over TLS.
    pub(crate) calling: Option<Calling>,
    /// What it asks them with.
    pub(crate) courier: Courier,
}

/// Why something could not be read again.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Tokens(#[from] NodeTokensError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Sources {
    fn files(&self) -> Vec<&Path> {
        let tokens = self.tokens.iter().map(|(file, _)| file);
        let server = self.server.iter();
        let server = server.flat_map(|(files, _)| {
            let own = [&files.certificate, &files.key];
            own.into_iter().chain(&files.callers)
        });
        let peers = self.peers.iter();
        let peers = peers.flat_map(|(files, _)| [&files.certificate, &files.key, &files.authority]);
        let calling = self.calling.iter().filter_map(|one| one.authority());
        let all = tokens.chain(server).chain(peers).chain(&self.authority);
        let all = all.chain(calling);
        all.map(PathBuf::as_path).collect()
    }

    /// Reads everything again; each of it counts at once, whatever comes of the others.
    fn read(&self) -> Result<Vec<String>, RenewalError> {
        let tokens = self.tokens.as_ref().map(|(file, tokens)| {
            let read = tokens.read_again(file, &self.asking, &self.courier)?;
            Ok::<_, RenewalError>(format!("{read} of {}", file.display()))
        });
        let server = self.server.as_ref().map(|(files, tls)| {
            tls.read_again(files)?;
            Ok(format!("certificate {}", files.certificate.display()))
        });
        let peers = self.peers.as_ref().map(|(files, tls)| {
            tls.read_again(files)?;
            Ok(format!(
                "certificate for peers {}",
                files.certificate.display()
            ))
        });
        let authority = self.authority.as_ref().map(|file| {
            self.asking.trust(file)?;
            Ok(format!("authority {}", file.display()))
        });
        let calling = self.calling.as_ref().map(|calling| {
            self.courier.encrypt(&calling.read()?);
            Ok("what other nodes are asked with".to_owned())
        });
        [tokens, server, peers, authority, calling]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// What is read again when its files change. What cannot be read leaves what was read before.
pub(crate) struct Renewals {
    sources: Sources,
    /// The files as they were when all were last read, if they could be.
    stamps: Vec<io::Result<Stamp>>,
    /// What went wrong last, so that it is said once.
    failed: Option<String>,
}

impl Renewals {
    /// Takes the files as they are to be those that have been read.
    pub(crate) fn new(sources: Sources) -> Self {
        let mut renewals = Self {
            sources,
            stamps: Vec::new(),
            failed: None,
        };
        renewals.stamps = renewals.look();
        renewals
    }

    /// Reads again at each signal, and whenever a file has changed. Never ends.
    pub(crate) async fn follow(mut self, mut signal: Signal) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                told = signal.recv() => told.is_some(),
                _ = looks.tick() => false,
            };
            let reading = tokio::task::spawn_blocking(move || {
                self.renew(asked);
                self
            });
            self = match reading.await {
                Ok(renewals) => renewals,
                Err(error) => {
                    tracing::error!(%error, "files are not read again any more; report this");
                    return std::future::pending().await;
                }
            };
        }
    }

    /// Reads again when asked to, or when a file is another one than before.
    pub(crate) fn renew(&mut self, asked: bool) {
        let now = self.look();
        if !asked && self.failed.is_none() && same(&self.stamps, &now) {
            return;
        }
        match self.sources.read() {
            Ok(read) => {
                for what in read {
                    tracing::info!("read again: {what}");
                }
                self.stamps = now;
                self.failed = None;
            }
            // The stamps stay: the files are read again at the next look.
            Err(error) => {
                let error = told(&error);
                if asked || self.failed.as_ref() != Some(&error) {
                    tracing::warn!("cannot read again, what was read before counts on: {error}");
                }
                self.failed = Some(error);
            }
        }
    }

    fn look(&self) -> Vec<io::Result<Stamp>> {
        self.sources.files().into_iter().map(Stamp::of).collect()
    }
}

fn same(before: &[io::Result<Stamp>], now: &[io::Result<Stamp>]) -> bool {
    let pairs = before.iter().zip(now);
    pairs.into_iter().all(|pair| match pair {
        (Ok(before), Ok(now)) => before == now,
        _ => false,
    })
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text = format!("{text}: {cause}");
        at = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_counts_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        std::fs::write(&file, "first\n").unwrap();
        let (tokens, _) = NodeTokens::read(&file).unwrap();
        let asking = Asking::default();
        let mut renewals = Renewals::new(Sources {
            tokens: Some((file.clone(), tokens.clone())),
            asking: asking.clone(),
            ..Sources::default()
        });
        let shown = || asking.now().token.map(|token| token.expose().to_owned());
        let count = |of: &NodeTokens| format!("{:?}", of.accepted);
        assert!(count(&tokens).contains("(1 admin)"));
        std::fs::write(&file, "admin second\nread l00k\n").unwrap();
        renewals.renew(false);
        assert!(count(&tokens).contains("(1 admin, 1 read)"));
        assert_eq!(shown().as_deref(), Some("second"), "to other nodes as well");
        for broken in ["", "admin a b c\n", "read l00k\n"] {
            std::fs::write(&file, broken).unwrap();
            renewals.renew(false);
            assert!(count(&tokens).contains("(1 admin, 1 read)"), "{broken:?}");
        }
        std::fs::remove_file(&file).unwrap();
        renewals.renew(true);
        assert!(count(&tokens).contains("(1 admin, 1 read)"), "gone");
        std::fs::write(&file, "admin a\nadmin b\n").unwrap();
        renewals.renew(false);
        assert!(
            count(&tokens).contains("(2 admin)"),
            "after a failure as well"
        );
        assert_eq!(format!("{:?}", tokens.secrets), "Secrets(2)");
    }

    #[test]
    fn a_node_needs_a_token_of_an_admin() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        std::fs::write(&file, "operate d0\nread l00k\n").unwrap();
        let refused = NodeTokens::read(&file).unwrap_err().to_string();
        assert!(refused.contains("admin <token>"), "{refused}");
    }

    /// Some authority; nothing is ever signed by it.
    const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBbzCCARWgAwIBAgIUEa3feIb6JT1YWIPMwGKcsONqsiQwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAgFw0yNjExMjcwNzAyMDdaGA8yMTI2MTEwMzA3MDIwN1ow
DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFKsJn/gx5Ii
WPavG3OrHmiSwXfYKrG/uu4/sBmAopwU2Jo8nI3+Ze11RSUqJB6RNAnJeH5FseSC
0JIuamyjurujUzBRMB0GA1UdDgQWBBQYDwU6ywGbQZrJHRZk/Wr4Hd4y9DAfBgNV
HSMEGDAWgBQYDwU6ywGbQZrJHRZk/Wr4Hd4y9DAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCIEljxcureVNlZsPVXx6Xh+QR5REC7aVd6KYqEOW87/qM
AiEA5iF52h3dNFSNPQhQ7hkOBBODx+29JzopjmLXoCUofhM=
-----END CERTIFICATE-----
";

    #[test]
    fn whom_to_trust_among_other_nodes_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "nobody").unwrap();
        let asking = Asking::default();
        let mut renewals = Renewals::new(Sources {
            authority: Some(file.clone()),
            asking: asking.clone(),
            ..Sources::default()
        });
        renewals.renew(true);
        let failed = renewals.failed.clone().unwrap();
        assert!(
            failed.contains("ca.pem") && asking.now().tls.is_none(),
            "{failed}"
        );
        std::fs::write(&file, AUTHORITY).unwrap();
        renewals.renew(false);
        assert_eq!(renewals.failed, None);
        let before = asking.now().tls.unwrap().config();
        std::fs::write(&file, format!("{AUTHORITY}{AUTHORITY}")).unwrap();
        renewals.renew(false);
        let now = asking.now().tls.unwrap().config();
        assert!(
            !std::sync::Arc::ptr_eq(&before, &now),
            "a file that changed"
        );
    }
}
