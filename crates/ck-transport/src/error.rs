//! What can go wrong with a call, with a body, or when a transport starts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ck_core::NodeId;

use crate::ClusterId;

/// Why a call, a body or a bind failed.
///
/// Cloneable, since one broken connection fails many calls.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The listening address could not be taken. Nothing was started.
    #[error("cannot listen on {address}: {source}; choose a free address of this machine")]
    Bind {
        /// The address asked for.
        address: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// A bound of the configuration is too small to work. Nothing was started.
    #[error("{field} is {got}; it has to be at least {least}, {because}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value; durations in milliseconds.
        got: u64,
        /// The least value that works.
        least: u64,
        /// What the least value follows from.
        because: &'static str,
    },
    /// The certificate for peers is another node's. Nothing was started.
    #[error(
        "the certificate for peers names {certified}, and this node is {node}; give each node a \
         certificate of its own"
    )]
    OwnCertificate {
        /// The node that the certificate names.
        certified: NodeId,
        /// This node.
        node: NodeId,
    },
    /// A peer says that it is another node than its certificate names. Nothing it sent was looked at.
    #[error(
        "{address} says that it is {claimed}, and its certificate names {certified}; give each node \
         a certificate of its own"
    )]
    OtherNode {
        /// The address of the peer.
        address: String,
        /// The node that its certificate names.
        certified: NodeId,
        /// The node that it says it is.
        claimed: NodeId,
    },
    /// No connection: the name does not resolve, or nobody answers there. The request was not sent.
    #[error("{address} is unreachable: {source}")]
    Unreachable {
        /// The address dialled.
        address: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// No answer in time. The request may or may not have run.
    #[error("{address} gave no answer within {after:?}")]
    Timeout {
        /// The address called.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// Somebody else lives at this address. The request was not handed to them.
    #[error(
        "{address} answers as {}, not as member {expected}; re-read the members' addresses",
        member(*got)
    )]
    WrongPeer {
        /// The address called.
        address: String,
        /// The member number wanted.
        expected: u64,
        /// The member number that answered, if it has one.
        got: Option<u64>,
    },
    /// Another node lives at this address. The request was not handed to it.
    #[error(
        "{address} answers as {got}, not as {expected}; correct the address of {expected}, or stop the \
         node that has taken it"
    )]
    WrongNode {
        /// The address called.
        address: String,
        /// The node wanted.
        expected: NodeId,
        /// The node that answered.
        got: NodeId,
    },
    /// The peer belongs to another cluster. Refused at both ends.
    #[error(
        "{address} belongs to cluster {theirs_name:?} {theirs}, this node to {ours_name:?} \
         {ours}; correct the address, or empty the data directory of the node that strayed"
    )]
    OtherCluster {
        /// The address of the peer.
        address: String,
        /// The cluster of this side.
        ours: ClusterId,
        /// The name of the cluster of this side.
        ours_name: Box<str>,
        /// The cluster of the peer.
        theirs: ClusterId,
        /// The name of the peer's cluster.
        theirs_name: Box<str>,
    },
    /// The peer speaks another version of the protocol.
    #[error(
        "{address} speaks protocol version {got}, this node speaks {supported}; \
         upgrade the older of the two"
    )]
    Version {
        /// The address of the peer.
        address: String,
        /// The version the peer announced.
        got: u16,
        /// The version this side speaks.
        supported: u16,
    },
    /// A payload is larger than allowed. Nothing was allocated for it, and the request did not run
    /// unless it is the reply that is too large.
    #[error("{got} bytes are more than the limit of {limit}; send a body in chunks instead")]
    FrameTooLarge {
        /// The declared length, in bytes.
        got: u64,
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// The peer sent what the protocol does not allow. The connection was closed.
    #[error("{address} broke the protocol: {source}")]
    Malformed {
        /// The address of the peer.
        address: String,
        /// What was wrong.
        source: WireError,
    },
    /// The service at the other end refused the request.
    #[error("refused with code {code}: {message}")]
    Refused {
        /// The service's code.
        code: u16,
        /// The service's explanation.
        message: String,
    },
    /// The connection, the body or the transport was closed. A request may or may not have run.
    #[error("the connection was closed before the end; ask again if the request may run twice")]
    Closed,
    /// One of the bounds on work in progress is reached. The request did not run.
    #[error("busy: the limit of {limit} is reached; try again later")]
    Busy {
        /// The limit that was reached.
        limit: u64,
    },
}

/// What was wrong with the bytes a peer sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first bytes are not those of this protocol.
    #[error("the greeting starts with {got:02x?}, which is no peer of a cluster; check the port")]
    Magic {
        /// The first bytes.
        got: [u8; 8],
    },
    /// A frame announces more than any frame may have. Nothing was allocated for it.
    #[error("a frame of {got} bytes is announced; at most {limit} are allowed")]
    Length {
        /// The announced length, in bytes.
        got: u64,
        /// The longest frame, in bytes.
        limit: u64,
    },
    /// The frame does not decode.
    #[error("a frame of {bytes} bytes does not decode: {reason}")]
    Undecodable {
        /// Length of the frame, in bytes.
        bytes: usize,
        /// The decoder's words.
        reason: String,
    },
    /// The frame decodes, but bytes are left over.
    #[error("{left} bytes are left after a frame of {bytes} bytes was decoded")]
    Trailing {
        /// Length of the frame, in bytes.
        bytes: usize,
        /// Bytes left over.
        left: usize,
    },
    /// A frame that has no place here.
    #[error("unexpected frame {frame} for request {id}")]
    Unexpected {
        /// The kind of frame.
        frame: &'static str,
        /// The request it names; 0 when it names none.
        id: u64,
    },
    /// More was sent than was announced, or than the reader had room for.
    #[error("request {id}: {got} {unit} were sent where {allowed} are allowed")]
    Overrun {
        /// The request concerned.
        id: u64,
        /// What was sent.
        got: u64,
        /// What was announced or granted.
        allowed: u64,
        /// `bytes` or `chunks`.
        unit: &'static str,
    },
}

impl TransportError {
    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// It does not say that it is *safe* to ask again: after [`Self::Timeout`] and
    /// [`Self::Closed`] the request may have run.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Closed | Self::Busy { .. }
        )
    }

    /// Whether the address, the membership or the software has to change first.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::WrongPeer { .. }
                | Self::WrongNode { .. }
                | Self::OtherCluster { .. }
                | Self::OtherNode { .. }
                | Self::Version { .. }
        )
    }
}

fn member(got: Option<u64>) -> String {
    got.map_or_else(
        || "a node without a member number".to_owned(),
        |n| format!("member {n}"),
    )
}
