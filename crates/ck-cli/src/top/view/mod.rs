//! The picture of a moment.

mod moves;
mod nodes;
mod partitions;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};
use tokio::time::Instant;

use super::model::{Model, Panel};

/// Lines of the moves: the plan, and some transfers.
const MOVES_LINES: u16 = 7;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, now: Instant) {
    let nodes = model.table.as_ref().map_or(0, |table| table.members.len());
    let nodes = u16::try_from(nodes).unwrap_or(u16::MAX).saturating_add(3);
    let [head, upper, moves, events, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Max(nodes.max(9)),
        Constraint::Length(MOVES_LINES),
        Constraint::Min(4),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let halves = Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]);
    let [left, right] = halves.areas(upper);
    frame.render_widget(title(model, now), head);
    nodes::draw(frame, model, left);
    partitions::draw(frame, model, right);
    moves::draw(frame, model, moves);
    happenings(frame, model, events);
    let keys = " q quit  tab panel  ←↑↓→ move  n next in trouble  return a node's  esc all";
    frame.render_widget(Paragraph::new(keys).style(dim()), foot);
}

/// One line: which cluster, how it is, and whether the picture lives.
fn title(model: &Model, now: Instant) -> Line<'static> {
    let mut parts = vec![Span::styled(format!(" {} ", model.cluster), bold())];
    if let Some((since, why)) = &model.cut {
        let seconds = now.saturating_duration_since(*since).as_secs();
        let text = format!(" cut off for {seconds} s: {why} ");
        let style = colour(model, "unavailable").add_modifier(Modifier::BOLD);
        parts.push(Span::styled(text, style));
    }
    // What is amiss stands where a narrow terminal still has it.
    for (state, partitions) in model.by_state() {
        let style = colour(model, state);
        let count = partitions.len();
        parts.push(Span::styled(format!(" {count} {state} "), style));
    }
    let leader = match model.asked.leader.as_str() {
        "" => "no leader".to_owned(),
        leader => format!("{leader} leads, term {}", model.asked.term),
    };
    parts.push(Span::raw(format!(" {leader} ")));
    match &model.table {
        None => parts.push(Span::raw(" waiting for the table")),
        Some(table) => {
            let (incarnation, version) = (table.incarnation, table.version);
            parts.push(Span::raw(format!(" {incarnation}.{version} ")));
            parts.push(Span::styled(format!(" {} ", model.server), dim()));
        }
    }
    Line::from(parts)
}

/// What happened, the newest first.
fn happenings(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let block = panel(model, Panel::Events, "events");
    let lines = usize::from(block.inner(area).height);
    let skipped = model.cursor(Panel::Events);
    let newest = model.happenings.iter().rev().skip(skipped).take(lines);
    let text: Vec<Line<'_>> = newest
        .map(|one| {
            Line::from(vec![
                Span::styled(format!("{:>6} ", one.version), dim()),
                Span::styled(format!("{:<14} ", one.kind), happening(model, &one.kind)),
                Span::raw(one.text.as_str()),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(text).block(block), area);
}

/// A panel's frame; that of the one the arrows move in stands out.
fn panel(model: &Model, panel: Panel, title: &str) -> Block<'static> {
    let number = panel as usize + 1;
    let block = Block::bordered().title(format!(" {number} {title} "));
    if model.panel == panel {
        block.border_style(bold()).title_style(bold())
    } else {
        block.border_style(dim()).title_style(Style::new())
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// How well a node or a partition is.
fn colour(model: &Model, state: &str) -> Style {
    let colour = match state {
        "active" | "stable" => Color::Green,
        "down" | "unavailable" => Color::Red,
        _ => Color::Yellow,
    };
    coloured(model, colour)
}

fn happening(model: &Model, kind: &str) -> Style {
    match kind {
        "node-down" | "missed" => coloured(model, Color::Red),
        "failover" | "node-left" => coloured(model, Color::Yellow),
        _ => coloured(model, Color::Cyan),
    }
}

fn coloured(model: &Model, colour: Color) -> Style {
    if model.colours {
        Style::new().fg(colour)
    } else {
        Style::new()
    }
}
