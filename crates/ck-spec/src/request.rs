//! A spec, checked field by field.

use ck_core::placement::{Balanced, Placement, PlacementError, Plan, Rendezvous, Ring};
use ck_core::spec::{PARTITIONS_MAX, REPLICATION_FACTOR_MAX, TOLERANCE_PERMILLE_MAX};
use ck_core::{Domain, KeyHash, Node, NodeId, Spec, SpecError, Table, Topology, TopologyError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Refusal;
use crate::raw::{self, RawRequest};

/// Which placement strategy to plan with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Exact balance, fewest moves.
    #[default]
    Balanced,
    /// A consistent-hash ring.
    Ring,
    /// Highest random weight.
    Rendezvous,
    /// The same as the Go library places.
    RendezvousMd5,
}

/// A checked spec: what there is, what is wanted, and where it starts from.
#[derive(Debug, Clone)]
pub struct Request {
    /// The nodes.
    pub topology: Topology,
    /// What the placement has to satisfy.
    pub spec: Spec,
    /// How it is placed.
    pub strategy: Strategy,
    /// What maps keys to partitions.
    pub hash: KeyHash,
    /// The table to start from.
    pub previous: Option<Table>,
}

impl Request {
    /// Reads one JSON object.
    ///
    /// # Errors
    /// [`Refusal`] names the field and the value.
    pub fn from_json(text: &str) -> Result<Self, Refusal> {
        Self::check(raw::from_json(text)?)
    }

    /// Reads a TOML document.
    ///
    /// # Errors
    /// As [`Request::from_json`].
    pub fn from_toml(text: &str) -> Result<Self, Refusal> {
        Self::check(raw::from_toml(text)?)
    }

    /// Reads JSON if the text begins with a brace, else TOML, in which nothing begins so.
    ///
    /// # Errors
    /// As [`Request::from_json`].
    pub fn from_text(text: &str) -> Result<Self, Refusal> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with('{') {
            Self::from_json(text)
        } else {
            Self::from_toml(text)
        }
    }

    /// Plans what is asked for.
    ///
    /// # Errors
    /// [`Refusal`] when no node can hold a copy.
    pub fn plan(&self) -> Result<Plan, Refusal> {
        let strategy: &dyn Placement = match self.strategy {
            Strategy::Balanced => &Balanced::new(),
            Strategy::Ring => &Ring::new(),
            Strategy::Rendezvous => &Rendezvous::weighted(),
            Strategy::RendezvousMd5 => &Rendezvous::md5(),
        };
        let plan = strategy.place(&self.topology, &self.spec, self.previous.as_ref());
        plan.map_err(|error| match error {
            PlacementError::NoUsableNode { nodes } => {
                Refusal::new("no-usable-node", "nodes", nodes, format!("nodes: {error}"))
            }
            other => Refusal::whole("no-placement", other.to_string()),
        })
    }

    fn check(raw: RawRequest<'_>) -> Result<Self, Refusal> {
        let spec = check_spec(&raw)?;
        let topology = check_nodes(&raw)?;
        let strategy = raw.strategy.unwrap_or_default();
        let hash = raw.hash.unwrap_or_default();
        let previous = raw
            .previous
            .map(|previous| previous.into_table(spec.partitions()))
            .transpose()?;
        Ok(Self {
            topology,
            spec,
            strategy,
            hash,
            previous,
        })
    }
}

fn check_spec(raw: &RawRequest<'_>) -> Result<Spec, Refusal> {
    let partitions = in_range("partitions", raw.partitions, u64::from(PARTITIONS_MAX))?;
    let replication_factor = in_range(
        "replication_factor",
        raw.replication_factor,
        u64::from(REPLICATION_FACTOR_MAX),
    )?;
    let spread = raw.spread.unwrap_or(1);
    if spread == 0 || spread > replication_factor {
        let message = format!(
            "spread {spread} is out of range; use 1 to the replication factor, {replication_factor}"
        );
        return Err(Refusal::new("out-of-range", "spread", spread, message));
    }
    let narrow = |value: u64| u8::try_from(value).expect("checked against 16");
    let partitions = u32::try_from(partitions).expect("checked against 2^24");
    let spec = Spec::new(partitions, narrow(replication_factor), narrow(spread))
        .map_err(|error| Refusal::whole("out-of-range", error.to_string()))?;
    check_evenness(raw, spec)
}

/// How even: one of three ways at most.
fn check_evenness(raw: &RawRequest<'_>, spec: Spec) -> Result<Spec, Refusal> {
    let given = raw.tolerance_permille.unwrap_or_default();
    let high = u64::from(TOLERANCE_PERMILLE_MAX);
    let Some(permille) = u16::try_from(given).ok().filter(|_| given <= high) else {
        return Err(Refusal::out_of_range("tolerance_permille", given, 0, high));
    };
    let (strict, least) = (raw.strict == Some(true), raw.least_maximum == Some(true));
    let contradicts = |field: &str, value: Value| {
        let message = SpecError::Evenness.to_string();
        Refusal::new("invalid-value", field, value, format!("{field}: {message}"))
    };
    if permille > 0 && (strict || least) {
        return Err(contradicts("tolerance_permille", permille.into()));
    }
    if strict && least {
        return Err(contradicts("least_maximum", true.into()));
    }
    let spec = spec.with_strict(strict);
    let spec = if least {
        spec.with_least_maximum()
    } else {
        spec
    };
    spec.with_tolerance(permille)
        .map_err(|error| Refusal::whole("out-of-range", error.to_string()))
}

fn in_range(field: &str, got: u64, high: u64) -> Result<u64, Refusal> {
    if got == 0 || got > high {
        Err(Refusal::out_of_range(field, got, 1, high))
    } else {
        Ok(got)
    }
}

fn check_nodes(raw: &RawRequest<'_>) -> Result<Topology, Refusal> {
    let mut nodes = Vec::with_capacity(raw.nodes.len());
    for (at, node) in raw.nodes.iter().enumerate() {
        let invalid = |field: &str, value: &str, error: ck_core::IdError| {
            let field = format!("nodes[{at}].{field}");
            let message = format!("{field}: {error}");
            Refusal::new("invalid-value", field, value, message)
        };
        let id = NodeId::new(&node.id).map_err(|error| invalid("id", &node.id, error))?;
        let positive = |field: &str, got: u64| {
            let number = u32::try_from(got).ok().filter(|number| *number > 0);
            number.ok_or_else(|| {
                let field = format!("nodes[{at}].{field}");
                Refusal::out_of_range(&field, got, 1, u64::from(u32::MAX))
            })
        };
        let weight = positive("weight", node.weight.unwrap_or(1))?;
        let max_copies = node.max_copies.map(|most| positive("max_copies", most));
        let max_copies = max_copies.transpose()?;
        let domain = node
            .domain
            .as_deref()
            .map(Domain::new)
            .transpose()
            .map_err(|error| {
                invalid("domain", node.domain.as_deref().unwrap_or_default(), error)
            })?;
        let state = node.state.unwrap_or_default();
        nodes.push(Node {
            id,
            weight,
            domain,
            state,
            max_copies,
        });
    }
    Topology::new(nodes).map_err(|error| topology_refusal(raw, &error))
}

fn topology_refusal(raw: &RawRequest<'_>, error: &TopologyError) -> Refusal {
    match error {
        TopologyError::Duplicate { id } => {
            let at = raw
                .nodes
                .iter()
                .rposition(|node| node.id == id.as_str())
                .unwrap_or_default();
            let field = format!("nodes[{at}].id");
            let message = format!("{field}: {error}");
            Refusal::new("duplicate-node", field, id.as_str(), message)
        }
        other => Refusal::new(
            "out-of-range",
            "nodes",
            raw.nodes.len(),
            format!("nodes: {other}"),
        ),
    }
}
