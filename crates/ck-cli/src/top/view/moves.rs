//! The plan under way, and the copies that move.

use ck_api::Transfer;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::model::{Model, Panel};
use crate::output::count;

use super::{bold, colour, dim, panel};

/// Draws the plan and the moves.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let transfers = &model.asked.moves.transfers;
    let block = panel(model, Panel::Moves, "moves");
    let lines = usize::from(block.inner(area).height);
    let mut text = vec![plan(model)];
    if model.asked.moves.braked {
        let why = "nothing is moved, many nodes were lost at once; `ck resume --brake`";
        text.push(Line::styled(why, colour(model, "unavailable")));
    }
    let first = model.cursor(Panel::Moves);
    let left = lines.saturating_sub(text.len());
    text.extend(
        transfers
            .iter()
            .skip(first)
            .take(left)
            .map(|one| transfer(one, model)),
    );
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn plan(model: &Model) -> Line<'static> {
    let moves = count(model.asked.moves.transfers.len() as u64, "move", "moves");
    let plan = model.asked.plan.as_ref();
    let progress = plan.and_then(|plan| plan.progress.as_ref().map(|one| (plan, one)));
    let Some((plan, progress)) = progress else {
        return Line::styled(format!("no plan is under way, {moves}"), dim());
    };
    let paused = if progress.paused { "paused, " } else { "" };
    let (done, total, trigger) = (progress.done, progress.total, &plan.trigger);
    let by = match progress.actor.as_str() {
        "" => String::new(),
        actor => format!(" by {actor}"),
    };
    Line::styled(
        format!("plan {trigger}{by}: {paused}{done} of {total} partitions, {moves}"),
        bold(),
    )
}

fn transfer(one: &Transfer, model: &Model) -> Line<'static> {
    let from = one.from.as_deref().unwrap_or("nobody");
    let arrow = if one.handoff { "⇒" } else { "→" };
    let copied = match (one.done, one.total) {
        (_, 0) => String::new(),
        (done, total) => format!(" {done}/{total}"),
    };
    let again = match one.attempt {
        0 | 1 => String::new(),
        attempt => format!(", try {attempt}"),
    };
    Line::from(vec![
        Span::raw(format!("{:<14} {from} {arrow} {} ", one.partition, one.to)),
        Span::styled(format!("{}{copied}", one.stage), colour(model, "moving")),
        Span::styled(
            format!(" waits for {}{again} ({})", one.waits_for, one.reason),
            dim(),
        ),
    ])
}
