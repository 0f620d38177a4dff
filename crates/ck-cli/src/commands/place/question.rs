//! Why a copy is where the plan has it, or is not somewhere else.

use ck_core::explain::{Explainer, Explanation};
use ck_core::placement::Plan;
use ck_core::{NodeId, PartitionId};
use ck_spec::{Refusal, Request};
use serde_json::{Value, json};

use crate::exit::{Done, Failure};
use crate::output::Output;

/// What is asked about one partition of the plan.
pub(super) enum Question {
    Explain(PartitionId),
    WhyNot(PartitionId, NodeId),
}

impl Question {
    /// From the flags as given; `None` when nothing is asked.
    ///
    /// # Errors
    /// When an id is none.
    pub(super) fn read(
        explain: Option<&str>,
        why_not: Option<&[String]>,
    ) -> Result<Option<Self>, Failure> {
        let partition = |text: &str| -> Result<PartitionId, Failure> {
            text.parse()
                .map_err(|error: ck_core::IdError| Failure::usage(error.to_string()))
        };
        match (explain, why_not) {
            (Some(id), _) => Ok(Some(Self::Explain(partition(id)?))),
            (None, Some([id, node])) => {
                let node = NodeId::new(node).map_err(|error| Failure::usage(error.to_string()))?;
                Ok(Some(Self::WhyNot(partition(id)?, node)))
            }
            _ => Ok(None),
        }
    }

    /// Answers from the plan alone.
    pub(super) fn answer(&self, request: &Request, plan: &Plan, output: Output) -> Done {
        let (topology, spec) = (&request.topology, &request.spec);
        let explainer = Explainer::new(topology, spec, request.previous.as_ref(), &plan.table);
        let (Self::Explain(id) | Self::WhyNot(id, _)) = self;
        let unknown = || {
            let last = spec.partitions() - 1;
            let message = format!("there is no {id}; use partition-0 to partition-{last}");
            Refusal::new("unknown-partition", "id", id.to_string(), message)
        };
        match self {
            Self::Explain(id) => {
                let told = explainer.explain(*id).ok_or_else(unknown)?;
                output.show(&explained(&told), |out| write!(out, "{told}"))
            }
            Self::WhyNot(id, node) => {
                let told = explainer.why_not(*id, node).ok_or_else(unknown)?;
                let answer = json!({ "id": id.to_string(), "node": node.as_str(),
                    "why": told.name(), "reason": told.to_string() });
                output.show(&answer, |out| writeln!(out, "{id}, {node}: {told}"))
            }
        }
    }
}

fn explained(told: &Explanation) -> Value {
    let role = |place: usize| if place == 0 { "primary" } else { "replica" };
    let copies = told.copies.iter().enumerate().map(|(place, (node, why))| {
        json!({ "node": node.as_str(), "role": role(place),
            "why": why.name(), "reason": why.to_string() })
    });
    let departed = told.departed.iter().map(|(node, why)| {
        json!({ "node": node.as_str(), "why": why.name(), "reason": why.to_string() })
    });
    json!({
        "id": told.partition.to_string(),
        "copies": copies.collect::<Vec<_>>(),
        "departed": departed.collect::<Vec<_>>(),
        "primary_before": told.primary_before.as_ref().map(NodeId::as_str),
    })
}
