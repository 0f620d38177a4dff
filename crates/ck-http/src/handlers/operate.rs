//! Partitions, rebalance, configuration.

use std::sync::Arc;

use ck_api as api;
use ck_api::Code;
use ck_control::ConfigChange;
use ck_core::{NodeId, Table};
use ck_node::{Operation, Outcome, PlanOutcome};
use hyper::StatusCode;
use serde::Deserialize;

use crate::body;
use crate::handlers::{ACTOR, formed, optional};
use crate::render;
use crate::reply::{Refused, done};
use crate::route::{Answer, Order};
use crate::surface::Core;

/// Most changed partitions that an answer lists.
const MOVES_MAX: usize = 1000;

/// A body without fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) async fn create(core: Arc<Core>, order: Order) -> Answer {
    let Nothing {} = optional(&order)?;
    formed(&core)?;
    let outcome = core
        .backend
        .execute(Operation::CreatePartitions, ACTOR.to_owned())
        .await?;
    let created = matches!(outcome, Outcome::Partitions { created: true, .. });
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(core.view().list().with_status(status))
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
    let changed = before
        .and_then(|before| before.diff(&plan.table).ok())
        .unwrap_or_default();
    let names = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect();
    let name = |node: &Option<NodeId>| node.as_ref().map(ToString::to_string).unwrap_or_default();
    let moves: Vec<_> = changed
        .rows
        .iter()
        .take(MOVES_MAX)
        .map(|row| api::Move {
            partition: row.partition.to_string(),
            copy_to: names(&row.added),
            drop_from: names(&row.removed),
            old_primary: name(&row.primary_before),
            new_primary: name(&row.primary_after),
        })
        .collect();
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

pub(super) async fn configure(core: Arc<Core>, order: Order) -> Answer {
    let patch: api::ConfigPatch = body::parse(&order.body)?;
    formed(&core)?;
    let change = ConfigChange {
        replication_factor: patch.replication_factor,
        spread: patch.spread,
        min_in_sync: patch.min_in_sync,
        rejoin_grace_ms: patch.rejoin_grace_ms,
        settle_ms: patch.settle_ms,
        auto_create: patch.auto_create,
        auto_rebalance: patch.auto_rebalance,
        voters: patch.voters,
        max_transfers_per_node: patch.max_transfers_per_node,
        ..ConfigChange::default()
    };
    core.backend
        .execute(Operation::Configure { change }, ACTOR.to_owned())
        .await?;
    let view = formed(&core)?;
    let state = view.state();
    let answer = api::ConfigAnswer {
        config: render::config(state),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}
