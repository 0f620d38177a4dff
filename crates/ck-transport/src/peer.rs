//! Who a peer says it is, and how one is addressed.

use std::fmt;

use ck_core::NodeId;
use serde::{Deserialize, Serialize};

use crate::TransportError;

/// The identity of a cluster, drawn once when it forms. Opaque here; printed as a hyphenated UUID.
///
/// ```
/// use ck_transport::ClusterId;
/// let id = ClusterId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
/// assert_eq!(id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_u128(self.0).hyphenated(), f)
    }
}

/// Who a peer says it is: sent in the hello of each connection, and again when it changes.
///
/// A transport without authentication reports what the peer *says*; it is then a guard against
/// mistakes (a wiped disk, a reused address, two clusters), not against an attacker. With it, `node` is
/// proved, and the rest is what that node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerId {
    /// The name its operator gave it.
    pub node: NodeId,
    /// Its member number; none before it has joined.
    pub member: Option<u64>,
    /// The identity of its data directory, drawn when that was created.
    pub store: u128,
    /// The cluster it belongs to; none while it is still forming or joining.
    pub cluster: Option<ClusterId>,
    /// The name of the cluster it wants to be in. A differing name is not refused here; the
    /// service sees it. At most 32 KiB, so that the hello fits in one frame.
    pub cluster_name: String,
}

impl PeerId {
    /// Refuses a peer of another cluster. A side that has no cluster yet may talk to anyone.
    ///
    /// # Errors
    /// [`TransportError::OtherCluster`], naming both, when each side has a cluster and they differ.
    pub fn check_cluster(&self, address: &str, theirs: &Self) -> Result<(), TransportError> {
        match (self.cluster, theirs.cluster) {
            (Some(ours), Some(got)) if ours != got => Err(TransportError::OtherCluster {
                address: address.to_owned(),
                ours,
                ours_name: self.cluster_name.as_str().into(),
                theirs: got,
                theirs_name: theirs.cluster_name.as_str().into(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a peer that says it is another node than its certificate names. Without one it is who it
    /// says.
    pub(crate) fn check_node(
        &self,
        address: &str,
        certified: Option<&NodeId>,
    ) -> Result<(), TransportError> {
        match certified {
            Some(certified) if *certified != self.node => Err(TransportError::OtherNode {
                address: address.to_owned(),
                certified: certified.clone(),
                claimed: self.node.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node)?;
        match self.member {
            Some(member) => write!(f, " (member {member}")?,
            None => write!(f, " (no member yet")?,
        }
        match self.cluster {
            Some(cluster) => write!(f, ", cluster {:?} {cluster})", self.cluster_name),
            None => write!(f, ", forming {:?})", self.cluster_name),
        }
    }
}

/// Where a request goes, and who has to be there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// `host:port`. A name is resolved again at each dial.
    pub peer: String,
    /// The member number that has to answer; `None` accepts anyone.
    pub expected: Option<u64>,
    /// The node that has to answer, where the caller knows which; `None` accepts any.
    pub node: Option<NodeId>,
}

impl Address {
    /// Whoever answers at `peer`.
    #[must_use]
    pub fn anyone(peer: impl Into<String>) -> Self {
        Self {
            peer: peer.into(),
            expected: None,
            node: None,
        }
    }

    /// The member numbered `member`, at `peer`.
    #[must_use]
    pub fn member(peer: impl Into<String>, member: u64) -> Self {
        Self {
            peer: peer.into(),
            expected: Some(member),
            node: None,
        }
    }

    /// The same address, where `node` has to answer.
    #[must_use]
    pub fn named(self, node: NodeId) -> Self {
        Self {
            node: Some(node),
            ..self
        }
    }

    /// Checks the id of who answered against the member and the node wanted.
    ///
    /// A member number is what a peer says of itself; the node is proved, where peers show certificates.
    ///
    /// # Errors
    /// [`TransportError::WrongPeer`] when a member is expected and another, or none, answered, and
    /// [`TransportError::WrongNode`] when a node is expected and another one answered.
    pub fn check(&self, got: &PeerId) -> Result<(), TransportError> {
        if let Some(expected) = self.expected
            && got.member != Some(expected)
        {
            return Err(TransportError::WrongPeer {
                address: self.peer.clone(),
                expected,
                got: got.member,
            });
        }
        match &self.node {
            Some(expected) if *expected != got.node => Err(TransportError::WrongNode {
                address: self.peer.clone(),
                expected: expected.clone(),
                got: got.node.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(member) => write!(f, "{} (member {member})", self.peer),
            None => f.pad(&self.peer),
        }
    }
}
