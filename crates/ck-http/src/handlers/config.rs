//! The cluster's configuration: looked at, changed.

use std::sync::Arc;

use ck_api as api;
use ck_api::{Code, Problem};
use ck_control::config::UnknownChoice;
use ck_control::{ConfigChange, LeaseTerms, Profile, State};
use ck_node::Operation;
use hyper::StatusCode;

use crate::body;
use crate::handlers::{execute, formed};
use crate::query;
use crate::render;
use crate::reply::{Refused, done, json};
use crate::route::{Answer, Ask, Order};
use crate::surface::Core;

pub(super) fn look(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &[])?;
    let view = formed(core)?;
    let answer = answer(view.state());
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

fn answer(state: &State) -> api::ConfigAnswer {
    api::ConfigAnswer {
        config: render::config(state),
        incarnation: state.incarnation().0,
        version: state.version().0,
    }
}

pub(super) async fn change(core: Arc<Core>, order: Order) -> Answer {
    let patch: api::ConfigPatch = body::parse(&order.body)?;
    let before = formed(&core)?;
    let operation = operation(before.state(), patch)?;
    execute(&core, operation).await?;
    let view = formed(&core)?;
    let answer = answer(view.state());
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

/// The one operation a patch comes to.
fn operation(state: &State, patch: api::ConfigPatch) -> Result<Operation, Refused> {
    let lease = lease(state, &patch)?;
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
    let others = change != ConfigChange::default();
    match (patch.mode, lease, others) {
        (Some(mode), None, false) => {
            let mode = mode
                .parse()
                .map_err(|error: UnknownChoice| wrong("mode", &mode, &error))?;
            Ok(Operation::SetMode { mode })
        }
        (None, Some(terms), false) => Ok(Operation::SetLease { terms }),
        (None, None, _) => Ok(Operation::Configure { change }),
        // Several commands: the first might be carried out, and the second refused.
        _ => {
            let detail = "the mode, the lease and the rest are changed one after another; send a \
                          request for each";
            Err(Problem::new(Code::InvalidBody, detail).into())
        }
    }
}

/// The lease terms a patch asks for, if it asks for any: what it does not name stays, or is the
/// profile's when it names one.
fn lease(state: &State, patch: &api::ConfigPatch) -> Result<Option<LeaseTerms>, Refused> {
    let named = patch.profile.is_some()
        || patch.lease_ms.is_some()
        || patch.rho_ppm.is_some()
        || patch.freeze_allowance_ms.is_some();
    if !named {
        return Ok(None);
    }
    let now = state.config().lease;
    let mut terms = now;
    if let Some(word) = &patch.profile {
        let profile: Profile = word
            .parse()
            .map_err(|error: UnknownChoice| wrong("profile", word, &error))?;
        terms = LeaseTerms {
            lease_ms: LeaseTerms::of(profile).lease_ms,
            profile,
            ..now
        };
    }
    terms.lease_ms = patch.lease_ms.unwrap_or(terms.lease_ms);
    terms.rho_ppm = patch.rho_ppm.unwrap_or(terms.rho_ppm);
    let freeze = patch.freeze_allowance_ms;
    terms.freeze_allowance_ms = freeze.unwrap_or(terms.freeze_allowance_ms);
    Ok(Some(terms))
}

fn wrong(field: &str, value: &str, error: &UnknownChoice) -> Refused {
    let problem = Problem::new(Code::InvalidBody, error.to_string());
    problem.with_field(field).with_value(value).into()
}
