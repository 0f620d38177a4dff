//! Plans as data: previewed, applied against the version they were made for, followed.

use std::sync::Arc;

use ck_api as api;
use ck_api::{Code, Problem};
use ck_control::Trigger;
use ck_node::{Operation, Outcome};
use hyper::StatusCode;
use hyper::header::{HeaderValue, IF_MATCH, LOCATION};

use crate::handlers::operate::no_fields;
use crate::handlers::{execute, formed, with_partitions};
use crate::orders::newest;
use crate::plans::{CURRENT, Kept};
use crate::query;
use crate::reply::{Refused, done, json};
use crate::route::{Answer, Order};
use crate::surface::Core;

pub(super) async fn preview(core: Arc<Core>, order: Order) -> Answer {
    no_fields(&order)?;
    with_partitions(&core)?;
    let outcome = execute(&core, Operation::Rebalance { dry_run: true }).await?;
    let Outcome::Plan(outcome) = outcome else {
        let detail = "a plan came to something else; report this";
        return Err(Refused::new(Code::Internal, detail));
    };
    let view = with_partitions(&core)?;
    let node = core.backend.status().node;
    // Rounds and reasons of a large plan take a while, which the other requests shall not wait for.
    let looked = {
        let view = Arc::clone(&view);
        let trigger = Trigger::Manual.to_string();
        tokio::task::spawn_blocking(move || Kept::new(view.state(), outcome, &trigger, &node))
    };
    let plan = looked.await.map_err(|error| {
        let detail = format!("the plan could not be looked at: {error}; report this");
        Refused::new(Code::Internal, detail)
    })?;
    let plan = core.plans.keep(plan);
    let shown = plan.show(view.state());
    let mut reply = done(StatusCode::CREATED, Some(view.version()), &shown);
    let location = HeaderValue::from_str(&format!("/v1/plans/{}", plan.id()));
    if let Ok(location) = location {
        reply.headers_mut().insert(LOCATION, location);
    }
    Ok(reply)
}

pub(super) async fn look(core: Arc<Core>, order: Order) -> Answer {
    query::only(order.query(), &[])?;
    let view = formed(&core)?;
    let plan = find(&core, &order.name()?).await?;
    let shown = plan.show(view.state());
    Ok(json(&order.head.headers, Some(view.version()), &shown))
}

/// The plan of that id; what is under way, when it is not one that was previewed here.
async fn find(core: &Arc<Core>, id: &str) -> Result<Arc<Kept>, Refused> {
    if id != CURRENT {
        return core.plans.find(id).ok_or_else(|| {
            let shown: String = id.chars().take(64).collect();
            let detail = format!(
                "there is no plan {shown:?} here; a plan is kept by the node that made it, until \
                 16 others were made, and the one under way is found as `{CURRENT}`"
            );
            let problem = Problem::new(Code::PlanUnknown, detail);
            problem.with_field("id").with_value(id).into()
        });
    }
    let view = formed(core)?;
    let Some(plan) = view.state().rebalance().cloned() else {
        let detail = "no plan is under way; make one with POST /v1/plans";
        return Err(Refused::new(Code::PlanUnknown, detail));
    };
    if let Some(kept) = core.plans.under_way(&plan) {
        return Ok(kept);
    }
    let node = core.backend.status().node;
    let looked = tokio::task::spawn_blocking(move || {
        Arc::new(Kept::of_rebalance(view.state(), &plan, &node))
    });
    looked.await.map_err(|error| {
        let detail = format!("the plan could not be looked at: {error}; report this");
        Refused::new(Code::Internal, detail)
    })
}

pub(super) async fn apply(core: Arc<Core>, order: Order) -> Answer {
    no_fields(&order)?;
    formed(&core)?;
    let plan = find(&core, &order.name()?).await?;
    condition(&core, &order, &plan)?;
    let state = core.view();
    let is_current = |one: &ck_control::Rebalance| plan.is(one);
    let begun = state.state().rebalance().is_some_and(is_current);
    // Asked a second time, it is as if it had been asked once.
    if !begun && !plan.is_empty() {
        let operation = Operation::BeginPlan {
            base: plan.base,
            table: plan.table.clone(),
            trigger: Trigger::Manual,
        };
        if let Outcome::Changed { version } = execute(&core, operation).await? {
            plan.begin(version);
        }
    }
    answer(&core, &plan, StatusCode::ACCEPTED)
}

/// Refuses an application that does not name the version the plan was made for.
fn condition(core: &Core, order: &Order, plan: &Kept) -> Result<(), Refused> {
    let mut given = order.head.headers.get_all(IF_MATCH).iter();
    let wanted = format!("\"{}\"", plan.condition());
    let value = match (given.next(), given.next()) {
        (Some(value), None) => value.to_str().unwrap_or("\u{fffd}"),
        _ => "",
    };
    if value == wanted {
        return Ok(());
    }
    let detail = if value.is_empty() {
        format!("say which version the plan is for: `If-Match: {wanted}`")
    } else {
        format!("the plan was made for {wanted}, not for {value:?}; look at it again")
    };
    let problem = Problem::new(Code::PreconditionFailed, detail).with_field("if-match");
    let problem = problem.with_newest(newest(core.view().state(), None));
    Err(problem.with_value(value).into())
}

fn answer(core: &Core, plan: &Kept, status: StatusCode) -> Answer {
    let view = core.view();
    let shown: api::Plan = plan.show(view.state());
    Ok(done(status, Some(view.version()), &shown))
}

pub(super) async fn pause(core: Arc<Core>, order: Order) -> Answer {
    steer(core, order, Operation::PausePlan { paused: true }).await
}

pub(super) async fn resume(core: Arc<Core>, order: Order) -> Answer {
    steer(core, order, Operation::PausePlan { paused: false }).await
}

pub(super) async fn abort(core: Arc<Core>, order: Order) -> Answer {
    steer(core, order, Operation::AbortPlan).await
}

/// Does something with the plan under way, if that is the one that is meant.
async fn steer(core: Arc<Core>, order: Order, operation: Operation) -> Answer {
    no_fields(&order)?;
    let view = formed(&core)?;
    let id = order.name()?;
    if id == CURRENT && view.state().rebalance().is_none() {
        let detail = "no plan is under way; see GET /v1/history for how the last one ended";
        return Err(Refused::new(Code::PlanNotUnderWay, detail));
    }
    let plan = find(&core, &id).await?;
    if !view.state().rebalance().is_some_and(|one| plan.is(one)) {
        let detail = format!(
            "{} is not under way; see GET /v1/plans/{}",
            plan.id(),
            plan.id()
        );
        return Err(Refused::new(Code::PlanNotUnderWay, detail));
    }
    execute(&core, operation).await?;
    answer(&core, &plan, StatusCode::OK)
}
