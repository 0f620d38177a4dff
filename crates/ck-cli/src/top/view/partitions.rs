//! A cell a partition: its state, and whether the chosen node has it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use ck_api::TableRow;

use super::super::model::{Model, Panel};
use super::{colour, dim, panel};
use crate::output::runs;

/// Runs of partitions in trouble that are named.
const NAMED_MAX: usize = 5;

/// Lines below the cells that tell of the one at the cursor.
const DETAIL_LINES: u16 = 2;

/// Draws the partitions.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, area: Rect) {
    let inner = panel(model, Panel::Partitions, "").inner(area);
    model.cells_in_line = usize::from(inner.width).max(1);
    let across = model.cells_in_line;
    let down = usize::from(inner.height.saturating_sub(DETAIL_LINES)).max(1);
    let rows = model.table.as_ref().map_or(&[][..], |table| &table.rows);
    let cursor = model.cursor(Panel::Partitions);
    // As far down as the cursor needs.
    let first = (cursor / across + 1).saturating_sub(down);
    // Most of a large cluster does not fit, and that is said.
    let part = if rows.len() > across * down {
        let last = rows.len().min((first + down) * across);
        format!(", {} to {} of {}", first * across, last - 1, rows.len())
    } else {
        String::new()
    };
    let of = match model.only {
        Some(member) => format!(" of {}", model.name(member)),
        None => String::new(),
    };
    let block = panel(model, Panel::Partitions, &format!("partitions{of}{part}"));
    let shown = rows.chunks(across).enumerate().skip(first).take(down);
    let mut lines: Vec<Line<'_>> = shown
        .map(|(line, rows)| {
            let cells = rows.iter().enumerate().map(|(column, row)| {
                let here = model.panel == Panel::Partitions && line * across + column == cursor;
                cell(model, row, here)
            });
            Line::from_iter(cells)
        })
        .collect();
    // What is told of them stands at the bottom, however many there are.
    lines.resize_with(down.max(lines.len()), Line::default);
    lines.extend(detail(model));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn cell(model: &Model, row: &TableRow, here: bool) -> Span<'static> {
    let sign = sign(&row.state);
    let (sign, style) = match model.only {
        Some(member) if row.primary == Some(member) => {
            (sign, colour(model, &row.state).add_modifier(Modifier::BOLD))
        }
        Some(member) if row.replicas.contains(&member) => ("o", colour(model, &row.state)),
        Some(_) => ("·", dim()),
        None => (sign, colour(model, &row.state)),
    };
    let style = if here {
        style.add_modifier(Modifier::REVERSED)
    } else {
        style
    };
    Span::styled(sign, style)
}

fn sign(state: &str) -> &'static str {
    match state {
        "stable" => "■",
        "moving" => "»",
        "degraded" => "□",
        "unavailable" => "×",
        _ => "?",
    }
}

/// The partition at the cursor in words, or what the signs mean.
fn detail(model: &Model) -> Vec<Line<'static>> {
    let at_cursor = model
        .row_at_cursor()
        .filter(|_| model.panel == Panel::Partitions);
    let Some((number, row)) = at_cursor else {
        let signs = match (&model.table, model.only) {
            (Some(table), _) if table.rows.is_empty() => ["none yet; `ck create` creates them", ""],
            (_, Some(_)) => ["■ primary  o copy", "· not here"],
            (_, None) => ["■ stable    » moving", "□ degraded  × unavailable"],
        };
        let mut lines = signs.map(|line| Line::styled(line, dim())).to_vec();
        let amiss = model.by_state().into_iter();
        let amiss = amiss.filter(|(state, _)| matches!(*state, "unavailable" | "degraded"));
        for (at, (state, which)) in amiss.enumerate() {
            let which = format!("{} {state}: {}", sign(state), runs(which, NAMED_MAX));
            // The last line first: the one above it has the signs of what is well.
            lines[1 - at % 2] = Line::styled(which, colour(model, state));
        }
        return lines;
    };
    let acts = row
        .primary
        .map_or("nobody".to_owned(), |one| model.name(one));
    let copies: Vec<_> = row.replicas.iter().map(|one| model.name(*one)).collect();
    let state = Span::styled(row.state.clone(), colour(model, &row.state));
    vec![
        Line::from(vec![
            Span::styled(
                format!("partition-{number} "),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            state,
            Span::raw(format!(", epoch {}", row.epoch)),
        ]),
        Line::from(vec![
            Span::raw(format!("at {acts}")),
            Span::styled(format!(", copies {}", copies.join(" ")), dim()),
        ]),
    ]
}
