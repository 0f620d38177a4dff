//! A span for each move to this node, from its opening to its end, with its stages as events.

use std::collections::BTreeMap;

use ck_node::{Handle, Stage, State, Transfer, TransferId};
use tracing::field::Empty;
use tracing::{Span, trace, trace_span};

/// The target of the spans of moves.
pub(super) const TRANSFER_SPANS: &str = "ck_serve::transfer";

/// A move under way, and the stage that was told of last.
struct Open {
    span: Span,
    stage: Stage,
    transfer: Transfer,
}

/// Follows the moves to a node. Never ends; holds as many as the cluster's limits let one node have.
pub(crate) async fn follow(node: Handle) {
    let mut changes = node.changes();
    let mut open: BTreeMap<TransferId, Open> = BTreeMap::new();
    loop {
        let published = changes.next().await;
        let state = &published.state;
        let Some(member) = node.status().member else {
            continue;
        };
        open.retain(|id, one| {
            let goes_on = state.transfer(*id).is_some();
            if !goes_on {
                end(one, state);
            }
            goes_on
        });
        let to_here = |transfer: &&Transfer| transfer.target.member == member;
        for transfer in state.transfers().filter(to_here) {
            let one = open.entry(transfer.id).or_insert_with(|| Open {
                span: begin(transfer, state),
                stage: Stage::Prepare,
                transfer: transfer.clone(),
            });
            if one.stage != transfer.stage {
                one.stage = transfer.stage;
                one.span
                    .in_scope(|| trace!(target: TRANSFER_SPANS, stage = transfer.stage.name()));
            }
        }
    }
}

fn begin(transfer: &Transfer, state: &State) -> Span {
    let name = |member| state.member(member).map(|member| member.node.to_string());
    trace_span!(
        target: TRANSFER_SPANS,
        "transfer",
        otel.name = if transfer.handoff { "handoff" } else { "copy" },
        otel.status_code = Empty,
        clusterkit.partition = %transfer.partition,
        clusterkit.transfer = %transfer.id,
        clusterkit.source = name(transfer.source.member),
        clusterkit.target = name(transfer.target.member),
        clusterkit.trigger = %transfer.reason,
    )
}

/// Told as an error where it did not come to what was planned.
fn end(one: &Open, state: &State) {
    let Transfer {
        partition,
        target,
        handoff,
        ..
    } = &one.transfer;
    let holder = state
        .partition(*partition)
        .and_then(|control| control.holder);
    let reached = if *handoff {
        holder.is_some_and(|holder| holder.member == target.member)
    } else {
        let members = state.partition(*partition).map(|control| &control.in_sync);
        members.is_some_and(|members| members.contains(&target.member))
    };
    if !reached {
        one.span.record("otel.status_code", "ERROR");
    }
}
