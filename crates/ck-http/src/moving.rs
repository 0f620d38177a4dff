//! Moves under way, as wire types.

use ck_api as api;
use ck_control::{PartitionControl, State, Transfer};
use ck_core::NodeId;

/// A move with names, and whom it waits for.
pub(crate) fn transfer(
    state: &State,
    control: &PartitionControl,
    transfer: &Transfer,
) -> api::Transfer {
    let view = state.move_view(control, transfer);
    let text = |node: Option<&NodeId>| node.map(ToString::to_string);
    api::Transfer {
        id: transfer.id.0,
        stage: transfer.stage.name().to_owned(),
        from: text(view.source.as_ref()),
        to: text(view.target.as_ref()).unwrap_or_default(),
        partition: transfer.partition.to_string(),
        handoff: transfer.handoff,
        leaving: text(view.leaving.as_ref()),
        waits_for: view.waits_for.name().to_owned(),
        reason: transfer.reason.to_string(),
        done: transfer.done,
        total: transfer.total,
        attempt: transfer.attempt,
        paused: transfer.paused,
        opened_at_ms: transfer.opened_at_ms,
        stage_at_ms: transfer.stage_at_ms,
    }
}

/// The moves under way, oldest first.
pub(crate) fn transfers(state: &State) -> Vec<api::Transfer> {
    let known = state.transfers();
    let shown = known.filter_map(|one| Some(transfer(state, state.partition(one.partition)?, one)));
    shown.collect()
}
