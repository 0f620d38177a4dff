use std::path::PathBuf;

use ck_control::{ClusterId, Halt, Rejection};
use ck_core::NodeId;

use crate::codec::CodecError;
use crate::store::StoreError;

/// Why a data directory was left as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no node's data.
    #[error("{} holds no data of a node; name the directory that its --data named", path.display())]
    NoData {
        /// The directory.
        path: PathBuf,
    },
    /// There is data already.
    #[error("{} is there already; name another directory, or move it away", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The node never came to belong to a cluster, or heard nothing from it.
    #[error(
        "{} of node {node} knows of no cluster; recover on a node that was a member", path.display()
    )]
    NoCluster {
        /// The directory.
        path: PathBuf,
        /// The node.
        node: NodeId,
    },
    /// A node that is none.
    #[error("{node} is no member; the members are {}", list(.members))]
    NodeUnknown {
        /// The node.
        node: NodeId,
        /// Those there are.
        members: Vec<NodeId>,
    },
    /// The directory is of that cluster already.
    #[error("node {node} belongs to cluster {cluster} already; start it")]
    Already {
        /// The node.
        node: NodeId,
        /// The cluster.
        cluster: ClusterId,
    },
    /// The new incarnation goes on without the node.
    #[error(
        "{node} is not among those that stay in {cluster}, which are {}: nobody would send it the log. \
         Start it with an empty data directory, as a new node; or begin anew once more, where --keep \
         names {node}", list(.stay)
    )]
    NotKept {
        /// The node.
        node: NodeId,
        /// The cluster.
        cluster: ClusterId,
        /// Those that stay, beside the one that begins.
        stay: Vec<NodeId>,
    },
    /// The log holds what this build does not understand.
    #[error("the log cannot be read to its end: {0}; use a newer `ck`")]
    Halt(#[from] Halt),
    /// The state cannot begin anew so.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A value does not encode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The copy of the data as it was cannot be kept.
    #[error("{} cannot be kept as a copy: {source}; make room for it", path.display())]
    Keep {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
    names.join(", ")
}
