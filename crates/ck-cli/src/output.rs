//! Results on standard output: one JSON document, or text for a person.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use serde::Serialize;

use crate::exit::Done;

/// Width of tables when standard output is no terminal.
const PAGER_WIDTH: u16 = 100;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Writes `value` as JSON, or what `text` writes.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Done {
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer(&mut out, value)?;
            out.write_all(b"\n")?;
        } else {
            text(&mut out)?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Whether standard output takes colour: a terminal, and `NO_COLOR` is not set.
pub(crate) fn colours() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// A table without lines, headed by `columns`, as wide as the terminal or a pager.
pub(crate) fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if colours() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if !io::stdout().is_terminal() || table.width().is_none() {
        table.set_width(PAGER_WIDTH);
    }
    let bold = columns.map(|name| Cell::new(name.to_uppercase()).fg(Color::DarkGrey));
    table.set_header(bold);
    table
}

/// Writes a table without the blanks that pad its last column.
pub(crate) fn write_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(
            out,
            "{}",
            line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end())
        )?;
    }
    Ok(())
}

/// Writes a sentence behind `bullet`, in lines that fit a pager.
pub(crate) fn write_item(out: &mut dyn Write, bullet: &str, text: &str) -> io::Result<()> {
    let width = usize::from(PAGER_WIDTH);
    let mut used = bullet.len();
    out.write_all(bullet.as_bytes())?;
    for (at, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if at > 0 && used + 1 + length > width {
            write!(out, "\n{:1$}", "", bullet.len())?;
            used = bullet.len();
        } else if at > 0 {
            out.write_all(b" ")?;
            used += 1;
        }
        out.write_all(word.as_bytes())?;
        used += length;
    }
    writeln!(out)
}

/// A node's or a partition's state, coloured by how well it is.
pub(crate) fn state(name: &str) -> Cell {
    let colour = match name {
        "active" | "stable" | "yes" => Color::Green,
        "down" | "unavailable" | "no" => Color::Red,
        _ => Color::Yellow,
    };
    Cell::new(name).fg(colour)
}

/// A right-aligned figure.
pub(crate) fn figure(value: impl Display) -> Cell {
    Cell::new(value).set_alignment(comfy_table::CellAlignment::Right)
}

/// `1 copy`, `2 copies`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_wrapped_under_its_bullet() {
        let mut out = Vec::new();
        write_item(&mut out, "- ", &"twelve words ".repeat(12)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(
            text.lines().skip(1).all(|line| line.starts_with("  ")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2);
    }
}
