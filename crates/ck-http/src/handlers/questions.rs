//! What operators ask, answered with reasons.

use std::collections::BTreeMap;

use ck_api as api;
use ck_api::{Code, Problem};
use ck_control::{CopyView, MayStop, Obstacle, Pace, State};
use ck_core::PartitionId;

use crate::handlers::partitions::{known_node, known_partition, parse_id};
use crate::handlers::{formed, with_partitions};
use crate::moving;
use crate::query;
use crate::reply::{Refused, json};
use crate::route::{Answer, Ask};
use crate::surface::Core;
use crate::time;
use crate::view::status_word;

/// Most blocking partitions that an answer lists.
const BLOCKING_MAX: usize = 1000;

/// Most entries of one page of history.
const HISTORY_MAX: u64 = 1000;

pub(super) fn may_stop(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &[])?;
    let view = formed(core)?;
    let state = view.state();
    let member = known_node(state, &ask.name()?)?;
    let node = member.node.as_str();
    let answer = state.may_stop(node).unwrap_or_default();
    let mut reasons = sentences(&answer);
    reasons.extend(unsure(core));
    reasons.extend(vote(core, state, node));
    let listed = answer.blocking.iter().take(BLOCKING_MAX);
    let blocking_partitions: Vec<_> = listed.map(|(id, _)| id.to_string()).collect();
    let answer = api::MayStop {
        allowed: reasons.is_empty(),
        reasons,
        blocking_left_out: (answer.blocking.len() - blocking_partitions.len()) as u64,
        blocking_partitions,
        node: node.to_owned(),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

/// One sentence a reason, however many partitions have it.
fn sentences(answer: &MayStop) -> Vec<String> {
    let mut by_hazard: BTreeMap<_, (PartitionId, u64)> = BTreeMap::new();
    for (partition, hazard) in &answer.blocking {
        by_hazard.entry(*hazard).or_insert((*partition, 0)).1 += 1;
    }
    let told = by_hazard.into_iter().map(|(hazard, (first, count))| {
        let more = match count {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!("{first}{more}: {hazard}")
    });
    told.collect()
}

/// Whether what is known here may be old, and nothing can be decided.
fn is_cut_off(core: &Core) -> bool {
    let status = core.backend.status();
    status.leader.is_none() || status.majority_silent
}

/// Said before an answer that may be old.
fn last_known(core: &Core) -> Option<String> {
    is_cut_off(core).then(|| {
        format!(
            "this is what {} knew last: it hears of no majority of the voters",
            core.backend.status().node
        )
    })
}

/// Why nothing that is known here can be relied on, if so.
fn unsure(core: &Core) -> Option<String> {
    is_cut_off(core).then(|| {
        "no majority of the voters is heard of here: what this node knows may be old, and nothing \
         could take over; start the other voters first"
            .to_owned()
    })
}

/// Why the voters would have no majority without a node, if they had not.
fn vote(core: &Core, state: &State, node: &str) -> Option<String> {
    let status = core.backend.status();
    let member = state.member_by_node(node)?;
    if member.session.is_none() || !status.voters.contains(&member.number) {
        return None;
    }
    let live = |number: &&ck_control::MemberNumber| {
        **number != member.number
            && state
                .member(**number)
                .is_some_and(|one| one.session.is_some())
    };
    let (voters, left) = (
        status.voters.len(),
        status.voters.iter().filter(live).count(),
    );
    if left * 2 > voters {
        return None;
    }
    Some(format!(
        "{left} of {voters} voters would be up, no majority: nothing could be decided; start \
         another voter first"
    ))
}

pub(super) fn explain(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &[])?;
    let view = with_partitions(core)?;
    let state = view.state();
    let id = parse_id("id", &ask.name()?)?;
    known_partition(&view, id)?;
    let unknown = || Refused::new(Code::PartitionUnknown, format!("there is no {id}"));
    let explained = state.explain(id).ok_or_else(unknown)?;
    let mut reasons: Vec<_> = last_known(core).into_iter().collect();
    reasons.extend(explained.findings.iter().map(ToString::to_string));
    let mut calls = core.backend.handler_calls().into_iter();
    let handler = calls.find(|call| call.partition == id.to_string());
    if let Some(call) = handler.as_ref().filter(|call| call.failures > 0) {
        reasons.push(format!(
            "the application of {} failed {} times in a row at {}: {}",
            core.backend.status().node,
            call.failures,
            call.call,
            call.error
        ));
    }
    let orders = core.orders.as_ref();
    if let Some(event) = orders.and_then(|orders| orders.waits_in_vain(id)) {
        let node = core.backend.status().node;
        reasons.push(format!(
            "the application of {node} is not connected, and {event} waits for it; it follows \
             `GET /v1/orders`"
        ));
    }
    let transfer = explained.transfer.as_ref();
    let transfer = transfer.zip(state.partition(id));
    let answer = api::Explanation {
        id: id.to_string(),
        state: explained.state.name().to_owned(),
        epoch: explained.epoch.0,
        primary: explained.primary.as_ref().map(ToString::to_string),
        reasons,
        handler,
        copies: explained
            .copies
            .iter()
            .map(|view| copy(state, view))
            .collect(),
        last_known: explained.last_known,
        transfer: transfer.map(|(view, control)| moving::transfer(state, control, &view.transfer)),
        plan: explained.plan.map(|plan| api::PlanWants {
            trigger: plan.trigger.to_string(),
            actor: plan.actor,
            nodes: plan.nodes.iter().map(ToString::to_string).collect(),
            reached: plan.reached,
            paused: plan.paused,
        }),
        max_transfers_per_node: state.config().max_transfers_per_node.into(),
        min_in_sync: state.config().min_in_sync.into(),
        brake_lost: explained.brake.map(|brake| brake.lost.into()),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

/// Why a node that is up gets nothing new for a while, where it comes and goes too often. The leader
/// counts on its own clock; what it does not tell is read from the history here.
fn damped(state: &State, node: &str) -> Option<String> {
    let pace = Pace::default();
    let window = u64::try_from(pace.flap_window.as_millis()).unwrap_or(u64::MAX);
    let since = time::now_ms().saturating_sub(window);
    let recent = state
        .history()
        .rev()
        .take_while(|entry| entry.at_ms >= since);
    let opened = recent.filter(|entry| entry.kind == "register" && entry.actor == node);
    let count = opened.count();
    (count >= pace.flaps as usize).then(|| {
        format!(
            "{node} has opened {count} sessions within {window} ms; a node that comes and goes gets \
             nothing new until it has stayed for as long"
        )
    })
}

fn copy(state: &State, view: &CopyView) -> api::CopyExplained {
    let role = match view {
        view if view.primary => "primary",
        view if view.in_row => "replica",
        _ => "arriving",
    };
    let member = state.member_by_node(view.node.as_str());
    api::CopyExplained {
        node: view.node.to_string(),
        role: role.to_owned(),
        in_sync: view.in_sync,
        unproven: view.unproven,
        status: member.map_or("down", status_word).to_owned(),
    }
}

pub(super) fn why_not(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &[])?;
    let view = with_partitions(core)?;
    let state = view.state();
    let id = parse_id("id", &ask.name()?)?;
    known_partition(&view, id)?;
    let member = known_node(state, &ask.second()?)?;
    let found = state.why_not(id, member.node.as_str()).unwrap_or_default();
    let row = state.table().and_then(|table| table.row(id));
    let answer = api::WhyNot {
        id: id.to_string(),
        node: member.node.to_string(),
        is_primary: found.contains(&Obstacle::IsPrimary),
        has_copy: row.is_some_and(|row| row.contains(member.node.as_str())),
        reasons: last_known(core)
            .into_iter()
            .chain(found.iter().map(ToString::to_string))
            .chain(damped(state, member.node.as_str()))
            .collect(),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

pub(super) fn history(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &["from", "to", "limit"])?;
    let view = formed(core)?;
    let state = view.state();
    let from = version(state, ask.query(), "from")?;
    let (from, is_from) = (from.unwrap_or(0), from.is_some());
    let to = version(state, ask.query(), "to")?.unwrap_or(u64::MAX);
    if from > to {
        return Err(query::invalid(
            "from",
            &from.to_string(),
            &format!("is above `to` {to}; the oldest comes first"),
        ));
    }
    let limit = query::number(ask.query(), "limit", 1, HISTORY_MAX)?.unwrap_or(HISTORY_MAX);
    let within = |entry: &&ck_control::HistoryEntry| (from..=to).contains(&entry.version.0);
    let entries: Vec<_> = state.history().filter(within).collect();
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let beyond = entries.len().saturating_sub(take);
    // Who names a beginning reads on from there; everybody else wants to know what happened last.
    let skip = if is_from { 0 } else { beyond };
    let shown: Vec<_> = entries
        .into_iter()
        .skip(skip)
        .take(take)
        .map(|entry| api::HistoryEntry {
            version: entry.version.0,
            position: entry.position.0,
            at_ms: entry.at_ms,
            at: time::rfc3339(Some(entry.at_ms)),
            actor: entry.actor.clone(),
            kind: entry.kind.clone(),
            summary: entry.summary.clone(),
        })
        .collect();
    let answer = api::History {
        count: shown.len() as u64,
        entries: shown,
        has_more: beyond > 0,
        oldest: state.history().next().map_or(0, |entry| entry.version.0),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}

/// A version in a query, alone or behind the incarnation it belongs to.
fn version(state: &State, query: &str, name: &str) -> Result<Option<u64>, Refused> {
    let known = state.incarnation().0;
    match query::version(query, name)? {
        None => Ok(None),
        Some((incarnation, version)) if incarnation.is_none_or(|given| given == known) => {
            Ok(Some(version))
        }
        Some((incarnation, version)) => {
            let incarnation = incarnation.unwrap_or(known);
            let detail = format!(
                "`{name}` is of incarnation {incarnation}, the cluster is in {known}; versions of \
                 another one are gone"
            );
            let problem = Problem::new(Code::InvalidParameter, detail).with_field(name);
            Err(problem
                .with_value(format!("{incarnation}.{version}"))
                .into())
        }
    }
}

pub(super) fn transfers(core: &Core, ask: &Ask<'_>) -> Answer {
    query::only(ask.query(), &[])?;
    let view = formed(core)?;
    let state = view.state();
    let transfers = moving::transfers(state);
    let answer = api::TransferList {
        count: transfers.len() as u64,
        transfers,
        braked: state.brake().is_some(),
        plan: state.rebalance().map(|plan| api::PlanUnderWay {
            trigger: plan.trigger.to_string(),
            actor: plan.actor.clone(),
            total: plan.total.into(),
            done: plan.done.into(),
            paused: plan.paused,
            started_at_ms: plan.started_at_ms,
        }),
        incarnation: state.incarnation().0,
        version: state.version().0,
    };
    Ok(json(&ask.head.headers, Some(view.version()), &answer))
}
