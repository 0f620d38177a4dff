//! The nodes a placement may use: weights, failure domains, states.

mod domain;
mod node;

pub use domain::Domain;
pub use node::{Node, NodeState};

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// Most nodes in one topology.
pub const NODES_MAX: usize = 65_536;

/// A set of nodes, sorted by id, no id twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Node>", into = "Vec<Node>")]
pub struct Topology {
    nodes: Vec<Node>,
}

/// Why a topology was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// Two nodes have the same id.
    #[error("node id {id:?} appears twice; every node needs an id of its own")]
    Duplicate {
        /// The id.
        id: NodeId,
    },
    /// A node has weight 0.
    #[error("node {id:?} has weight 0; use 1 or more, or the state `draining` to empty it")]
    Weight {
        /// The node.
        id: NodeId,
    },
    /// A node may hold no copy at all.
    #[error("node {id:?} has max_copies 0; use 1 or more, or the state `draining` to empty it")]
    MaxCopies {
        /// The node.
        id: NodeId,
    },
    /// More nodes than [`NODES_MAX`].
    #[error("{got} nodes are too many; at most {NODES_MAX} are allowed")]
    TooMany {
        /// The number given.
        got: usize,
    },
}

impl Topology {
    /// Sorts `nodes` by id and checks them. The order they come in does not matter.
    ///
    /// # Errors
    /// [`TopologyError`] names the node that was refused.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Result<Self, TopologyError> {
        let mut nodes: Vec<Node> = nodes.into_iter().collect();
        if nodes.len() > NODES_MAX {
            return Err(TopologyError::TooMany { got: nodes.len() });
        }
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(TopologyError::Duplicate {
                id: pair[0].id.clone(),
            });
        }
        if let Some(node) = nodes.iter().find(|node| node.weight == 0) {
            return Err(TopologyError::Weight {
                id: node.id.clone(),
            });
        }
        if let Some(node) = nodes.iter().find(|node| node.max_copies == Some(0)) {
            return Err(TopologyError::MaxCopies {
                id: node.id.clone(),
            });
        }
        Ok(Self { nodes })
    }

    /// The nodes in order of id.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with that id.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&Node> {
        let at = self
            .nodes
            .binary_search_by(|node| node.id.as_str().cmp(id))
            .ok()?;
        self.nodes.get(at)
    }
}

impl TryFrom<Vec<Node>> for Topology {
    type Error = TopologyError;
    fn try_from(nodes: Vec<Node>) -> Result<Self, TopologyError> {
        Self::new(nodes)
    }
}

impl From<Topology> for Vec<Node> {
    fn from(topology: Topology) -> Self {
        topology.nodes
    }
}
