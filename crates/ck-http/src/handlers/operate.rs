//! Partitions, rebalance, configuration.

use std::sync::Arc;

use ck_api as api;
use ck_api::{Code, Problem};
use ck_core::spec::REPLICATION_FACTOR_MAX;
use ck_core::{NodeId, Table};
use ck_node::{Operation, Outcome, PlanOutcome};
use hyper::StatusCode;
use serde::Deserialize;

use crate::handlers::{ACTOR, formed, optional};
use crate::plans::change;
use crate::reply::{Refused, done};
use crate::route::{Answer, Order};
use crate::surface::Core;

/// Most changed partitions that an answer lists.
const MOVES_MAX: usize = 1000;

/// A body without fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Refuses a body with fields, on a path that takes none.
pub(super) fn no_fields(order: &Order) -> Result<(), Refused> {
    let Nothing {} = optional(order)?;
    Ok(())
}

pub(super) async fn create(core: Arc<Core>, order: Order) -> Answer {
    let api::CreateRequest { table } = optional(&order)?;
    formed(&core)?;
    let operation = match table {
        None => Operation::CreatePartitions,
        Some(given) => Operation::AdoptTable {
            table: given_table(&given)?,
        },
    };
    let outcome = core.backend.execute(operation, ACTOR.to_owned()).await?;
    let created = matches!(outcome, Outcome::Partitions { created: true, .. });
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(core.view().list().with_status(status))
}

/// The table of a body, checked as far as it can be without the cluster.
fn given_table(given: &api::GivenTable) -> Result<Table, Refused> {
    let wrong = |field: &str, detail: String| {
        Refused::from(Problem::new(Code::InvalidBody, detail).with_field(field))
    };
    let nodes: Result<Vec<NodeId>, _> = given.nodes.iter().map(|id| id.parse()).collect();
    let nodes = nodes
        .map_err(|error: ck_core::IdError| wrong("table.nodes", format!("table.nodes: {error}")))?;
    let longest = given.rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = u8::try_from(longest.max(1)).unwrap_or(u8::MAX);
    if width > REPLICATION_FACTOR_MAX {
        let detail = format!(
            "table.rows: a row of {longest} copies is too long; at most {REPLICATION_FACTOR_MAX} \
             are allowed"
        );
        return Err(wrong("table.rows", detail));
    }
    Table::from_rows(nodes, width, &given.rows)
        .map_err(|error| wrong("table.rows", format!("table.rows: {error}")))
}

pub(super) async fn rebalance(core: Arc<Core>, order: Order) -> Answer {
    let api::RebalanceRequest { dry_run } = optional(&order)?;
    let before = formed(&core)?;
    let operation = Operation::Rebalance { dry_run };
    let outcome = core.backend.execute(operation, ACTOR.to_owned()).await?;
    let Outcome::Plan(plan) = outcome else {
        return Err(Refused::new(
            Code::Internal,
            "a plan came to something else; report this",
        ));
    };
    let view = core.view();
    let answer = plan_answer(dry_run, before.state().table(), &plan, view.state());
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

fn plan_answer(
    dry_run: bool,
    before: Option<&Arc<Table>>,
    plan: &PlanOutcome,
    state: &ck_control::State,
) -> api::RebalanceAnswer {
    let mut changed = before
        .and_then(|before| before.diff(&plan.table).ok())
        .unwrap_or_default();
    // Another order of the replicas is nothing to carry out.
    changed.rows.retain(|row| {
        let moved = !row.added.is_empty() || !row.removed.is_empty();
        moved || row.primary_before != row.primary_after
    });
    let moves: Vec<_> = changed.rows.iter().take(MOVES_MAX).map(change).collect();
    api::RebalanceAnswer {
        dry_run,
        applied: plan.applied,
        copies_moved: plan.copies_moved,
        primaries_changed: plan.primaries_changed,
        lower_bound: plan.lower_bound,
        optimal: plan.optimal,
        gap: if plan.optimal {
            0
        } else {
            plan.copies_moved.saturating_sub(plan.lower_bound)
        },
        degraded: plan.degraded,
        moves_left_out: (changed.rows.len() - moves.len()) as u64,
        moves,
        incarnation: state.incarnation().0,
        version: plan.version.0,
    }
}
