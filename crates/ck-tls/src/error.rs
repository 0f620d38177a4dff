//! Why certificates, keys and authorities cannot be used.

use std::io;
use std::path::PathBuf;

use ck_core::NodeId;

/// Why a certificate, a key or an authority cannot be used. Nothing of a key is repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} is larger than {limit} bytes, which no such file is", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// A file holds nothing of what it should.
    #[error("{} holds no {what} in PEM; name another file", file.display())]
    Nothing {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A file holds something else, or is damaged.
    #[error("{} holds a {what} that cannot be read: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not spoken here.
    #[error("the certificate {} and the key {} cannot be used: {source}", certificate.display(), key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        source: Box<rustls::Error>,
    },
    /// The authority cannot be used.
    #[error("the authority {} cannot be used: {reason}", file.display())]
    Authority {
        /// Its file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate for peers names no node, or several.
    #[error(
        "the certificate names {found} nodes of a cluster where it has to name one, by a URI such as \
         {example}; make one with `ck cert node`"
    )]
    NodeName {
        /// How many it names.
        found: usize,
        /// What such a name looks like.
        example: String,
    },
    /// A certificate that was read again names another node than before.
    #[error("{} names {got}, where it named {expected}; the node keeps its id", file.display())]
    OtherNode {
        /// The file of the certificate.
        file: PathBuf,
        /// The node it named.
        expected: NodeId,
        /// The node it names.
        got: NodeId,
    },
    /// The certificate for peers would be refused by others with the same authority.
    #[error("{} is no certificate that other nodes accept: {reason}", file.display())]
    Refused {
        /// The file of the certificate.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The certificate of a server is shown too early or too late.
    #[error("{} is not good at this time: {reason}; name one that is, or renew it", file.display())]
    NotGood {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
}
