use core::fmt;

use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::topology::Domain;

/// What a placement may put on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Takes its share.
    #[default]
    Active,
    /// Keeps what it has, takes nothing new.
    Cordoned,
    /// Keeps nothing; still a source for copies.
    Draining,
    /// Keeps nothing and is no source.
    Down,
}

impl NodeState {
    /// The name used in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One node as a placement sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, unique in the topology.
    pub id: NodeId,
    /// Its share of the copies relative to the others', 1 or more. Default 1.
    #[serde(default = "weight_default")]
    pub weight: u32,
    /// Its failure domain. A node without one is a domain of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// What may be put on it. Default active.
    #[serde(default)]
    pub state: NodeState,
    /// Most copies it may hold, 1 or more, whatever its weight. Default: no limit but one of each
    /// partition.
    ///
    /// Part of the quota that [`Balanced`](crate::Balanced) meets. Where all caps together leave
    /// too little room, rows are shorter, then less spread, and the plan is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_copies: Option<u32>,
}

fn weight_default() -> u32 {
    1
}

impl Node {
    /// An active node of weight 1 without a failure domain.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            weight: 1,
            domain: None,
            state: NodeState::Active,
            max_copies: None,
        }
    }

    /// The same node with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The same node in a failure domain.
    #[must_use]
    pub fn with_domain(mut self, domain: Domain) -> Self {
        self.domain = Some(domain);
        self
    }

    /// The same node, with `copies` at most.
    #[must_use]
    pub fn with_max_copies(mut self, copies: u32) -> Self {
        self.max_copies = Some(copies);
        self
    }

    /// The same node in another state.
    #[must_use]
    pub fn with_state(mut self, state: NodeState) -> Self {
        self.state = state;
        self
    }
}
