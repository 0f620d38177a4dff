//! The nodes, and what they hold against what their weight earns them.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table, TableState};

use super::super::model::{Held, Model, Panel};
use super::{bold, colour, dim, panel};

/// Cells of the bar beside a node's copies.
const BAR: u16 = 8;

/// From this width on, there are bars and domains.
const ROOMY: u16 = 60;

/// Draws the nodes.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let held = model.held();
    let copies: u64 = held.values().map(|one| one.copies).sum();
    let primaries: u64 = held.values().map(|one| one.primaries).sum();
    let members = model.table.iter().flat_map(|table| &table.members);
    // What a node that takes nothing new should have is not told by its weight.
    let weights = members.clone().filter(|one| one.status == "active");
    let weights: u64 = weights.map(|one| u64::from(one.weight)).sum();
    let most = held.values().map(|one| one.copies).max().unwrap_or(0);
    let rows = members.map(|one| {
        let Held {
            primaries: acts,
            copies: has,
        } = held.get(&one.member).copied().unwrap_or_default();
        let share = |total| match one.status.as_str() {
            "active" => share(total, u64::from(one.weight), weights),
            _ => "-".to_owned(),
        };
        let leads = if one.id == model.asked.leader {
            "*"
        } else {
            " "
        };
        let style = if model.only == Some(one.member) {
            bold()
        } else {
            Style::new()
        };
        Row::new(vec![
            Cell::from(format!("{leads}{}", one.id)),
            Cell::from(one.status.clone()).style(colour(model, &one.status)),
            figures(acts, &share(primaries)),
            figures(has, &share(copies)),
            Cell::from(bar(has, most)).style(colour(model, &one.status)),
            Cell::from(one.domain.clone().unwrap_or_default()).style(dim()),
        ])
        .style(style)
    });
    let right = |text: &'static str| Cell::from(Line::from(text).right_aligned());
    let head = [
        Cell::from("node"),
        Cell::from("status"),
        right("primaries"),
        right("copies"),
        Cell::default(),
        Cell::from("domain"),
    ];
    let roomy = area.width >= ROOMY;
    let widths = [
        Constraint::Min(10),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(if roomy { BAR } else { 0 }),
        Constraint::Length(if roomy { 10 } else { 0 }),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(panel(model, Panel::Nodes, "nodes"));
    let mut state = TableState::default();
    if model.panel == Panel::Nodes && model.table.is_some() {
        state.select(Some(model.cursor(Panel::Nodes)));
    }
    frame.render_stateful_widget(table, area, &mut state);
}

/// What it has, of what it should.
fn figures(has: u64, share: &str) -> Cell<'static> {
    Cell::from(Line::from(format!("{has}/{share}")).right_aligned())
}

/// A weight's share of a total, with one digit behind the point.
fn share(total: u64, weight: u64, weights: u64) -> String {
    let tenths = (total * weight * 10 + weights / 2).checked_div(weights);
    tenths.map_or("-".to_owned(), |tenths| match tenths % 10 {
        0 => (tenths / 10).to_string(),
        rest => format!("{}.{rest}", tenths / 10),
    })
}

/// As long as its part of the most any node has; never empty for something.
fn bar(has: u64, most: u64) -> String {
    let cells = (has * u64::from(BAR)).checked_div(most).unwrap_or(0);
    let cells = cells.max(u64::from(has > 0));
    (0..cells).map(|_| '▬').collect()
}
