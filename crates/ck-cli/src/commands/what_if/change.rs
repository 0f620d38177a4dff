//! The change that is asked about, as flags, and what it makes of a spec.

use std::str::FromStr;

use ck_core::{Domain, Node, NodeId, NodeState, Spec, SpecError, Topology, TopologyError};
use clap::Args;

use ck_spec::{Refusal, Request};

/// What is to be different.
#[derive(Debug, Clone, Args)]
pub(crate) struct Change {
    /// Nodes that are gone: nothing can be copied from them.
    #[arg(long, value_name = "NODE")]
    lose: Vec<NodeId>,
    /// A failure domain whose nodes are gone, those of the domains within it too.
    #[arg(long, value_name = "DOMAIN")]
    lose_domain: Vec<Domain>,
    /// Nodes to be emptied; they serve as sources meanwhile.
    #[arg(long, value_name = "NODE")]
    drain: Vec<NodeId>,
    /// A new node, as `n9` or `n9:domain=b,weight=2`.
    #[arg(long, value_name = "NODE[:FIELDS]")]
    add: Vec<Added>,
    /// Another weight for a node that is there, as `n1=2`.
    #[arg(long, value_name = "NODE=WEIGHT")]
    weight: Vec<Weighed>,
    /// Another number of copies.
    #[arg(long, value_name = "COPIES")]
    replication_factor: Option<u8>,
    /// Another number of failure domains a partition must touch.
    #[arg(long, value_name = "DOMAINS")]
    spread: Option<u8>,
}

/// A node as given to `--add`.
#[derive(Debug, Clone)]
pub(super) struct Added(Node);

impl FromStr for Added {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (id, fields) = text.split_once(':').unwrap_or((text, ""));
        let id = NodeId::new(id).map_err(|error| error.to_string())?;
        let mut node = Node::new(id);
        for field in fields.split(',').filter(|field| !field.is_empty()) {
            match field.split_once('=') {
                Some(("domain", path)) => {
                    let domain = Domain::new(path).map_err(|error| error.to_string())?;
                    node.domain = Some(domain);
                }
                Some(("weight", weight)) => node.weight = positive(weight)?,
                _ => {
                    return Err(format!(
                        "{field:?} is no field of a node; write domain=PATH or weight=NUMBER"
                    ));
                }
            }
        }
        Ok(Self(node))
    }
}

/// A weight as given to `--weight`.
#[derive(Debug, Clone)]
pub(super) struct Weighed(NodeId, u32);

impl FromStr for Weighed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('=');
        let (id, weight) = parts.ok_or_else(|| format!("{text:?} is not written as n1=2"))?;
        let id = NodeId::new(id).map_err(|error| error.to_string())?;
        Ok(Self(id, positive(weight)?))
    }
}

fn positive(text: &str) -> Result<u32, String> {
    let weight = text.parse().ok().filter(|weight| *weight > 0);
    weight.ok_or_else(|| format!("weight {text:?} is out of range; use 1 to {}", u32::MAX))
}

impl Change {
    /// The spec after the change.
    ///
    /// # Errors
    /// [`Refusal`] names the flag that speaks of a node or domain that is not there, or asks for
    /// what no spec may hold.
    pub(super) fn of(&self, request: &Request) -> Result<(Topology, Spec), Refusal> {
        let mut nodes = request.topology.nodes().to_vec();
        for domain in &self.lose_domain {
            let count = nodes.len();
            nodes.retain(|node| !is_in(node, domain));
            if nodes.len() == count {
                return Err(unknown("lose-domain", "failure domain", domain.as_str()));
            }
        }
        for id in &self.lose {
            let at = position(&nodes, "lose", id)?;
            nodes.remove(at);
        }
        for Weighed(id, weight) in &self.weight {
            let at = position(&nodes, "weight", id)?;
            nodes[at].weight = *weight;
        }
        for id in &self.drain {
            let at = position(&nodes, "drain", id)?;
            nodes[at].state = NodeState::Draining;
        }
        nodes.extend(self.add.iter().map(|added| added.0.clone()));
        let topology = Topology::new(nodes).map_err(|error| match &error {
            TopologyError::Duplicate { id } => Refusal::new(
                "duplicate-node",
                "add",
                id.as_str(),
                format!("add: {error}"),
            ),
            other => Refusal::whole("out-of-range", other.to_string()),
        })?;
        let spec = &request.spec;
        let factor = self.replication_factor.unwrap_or(spec.replication_factor());
        let spread = self.spread.unwrap_or(spec.spread());
        let spec = spec
            .with_copies(factor, spread)
            .map_err(|error| match error {
                SpecError::Spread { got, .. } => {
                    Refusal::new("out-of-range", "spread", got, error.to_string())
                }
                SpecError::ReplicationFactor { got } => {
                    Refusal::new("out-of-range", "replication_factor", got, error.to_string())
                }
                other => Refusal::whole("out-of-range", other.to_string()),
            })?;
        Ok((topology, spec))
    }
}

/// Whether a node is in a domain or one within it. One that names none is a domain of its own.
fn is_in(node: &Node, domain: &Domain) -> bool {
    let path = node
        .domain
        .as_ref()
        .map_or(node.id.as_str(), Domain::as_str);
    let rest = path.strip_prefix(domain.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn position(nodes: &[Node], flag: &'static str, id: &NodeId) -> Result<usize, Refusal> {
    let at = nodes.iter().position(|node| node.id == *id);
    at.ok_or_else(|| unknown(flag, "node", id.as_str()))
}

fn unknown(flag: &'static str, what: &str, name: &str) -> Refusal {
    let message = format!("{flag}: the spec has no {what} {name:?}; name one that it lists");
    Refusal::new("unknown-node", flag, name, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_nodes_are_read_with_their_fields() {
        let node = "n9:domain=b/rack-1,weight=2".parse::<Added>().unwrap().0;
        assert_eq!((node.id.as_str(), node.weight), ("n9", 2));
        assert_eq!(node.domain.unwrap().as_str(), "b/rack-1");
        assert_eq!("n9".parse::<Added>().unwrap().0.weight, 1);
        for wrong in [
            "",
            ":weight=1",
            "n9:weight=0",
            "n9:colour=red",
            "n9:domain=a//b",
        ] {
            assert!(wrong.parse::<Added>().is_err(), "{wrong}");
        }
        for wrong in ["n1", "n1=", "n1=0", "n1=-1", "=2", "n1=4294967296"] {
            assert!(wrong.parse::<Weighed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_domain_takes_those_within_it_along() {
        let node =
            |path| Node::new(NodeId::new("n").unwrap()).with_domain(Domain::new(path).unwrap());
        let eu = Domain::new("eu-1").unwrap();
        assert!(is_in(&node("eu-1"), &eu) && is_in(&node("eu-1/rack-3"), &eu));
        assert!(!is_in(&node("eu-10"), &eu) && !is_in(&node("us/eu-1"), &eu));
        assert!(is_in(&Node::new(NodeId::new("eu-1").unwrap()), &eu));
    }
}
