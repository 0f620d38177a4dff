//! Results on standard output: one JSON document, or text for a person.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    table.set_width(terminal_width().unwrap_or(PAGER_WIDTH));
    if colours() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
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

/// The width of the terminal that standard output is, if it is one.
fn terminal_width() -> Option<u16> {
    Table::new().width().filter(|_| io::stdout().is_terminal())
}

/// How wide a line of prose may be: as a pager's, or a narrower terminal's.
fn line_width() -> usize {
    usize::from(terminal_width().unwrap_or(PAGER_WIDTH).min(PAGER_WIDTH))
}

/// Writes a sentence behind `bullet`, in lines that fit a pager and the terminal.
pub(crate) fn write_item(out: &mut dyn Write, bullet: &str, text: &str) -> io::Result<()> {
    write_wrapped(out, bullet, text, line_width())
}

fn write_wrapped(out: &mut dyn Write, bullet: &str, text: &str, width: usize) -> io::Result<()> {
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

/// `0-7, 9`: numbers in order, in runs of which at most so many are named.
pub(crate) fn runs(numbers: impl IntoIterator<Item = u32>, most: usize) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if number.checked_sub(1) == Some(*last) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let named = runs.iter().take(most).map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if runs.len() > most {
        text.push_str(", …");
    }
    text
}

/// The number of `partition-3`.
pub(crate) fn partition_number(id: &str) -> Option<u32> {
    id.strip_prefix("partition-")?.parse().ok()
}

/// How long ago that was, in one unit; the clock of whoever said so may be ahead of ours.
pub(crate) fn ago(at_ms: u64, now: SystemTime) -> String {
    let at = Duration::from_millis(at_ms);
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(at).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
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
        write_wrapped(&mut out, "- ", &"twelve words ".repeat(12), 100).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(
            text.lines().skip(1).all(|line| line.starts_with("  ")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2);
    }
    #[test]
    fn numbers_are_told_in_runs() {
        let odd = (0..20).filter(|one| one % 2 == 1);
        for (numbers, expected) in [
            (vec![], ""),
            (vec![3], "3"),
            (vec![0, 1, 2, 7, 9, 10], "0-2, 7, 9-10"),
            (odd.collect(), "1, 3, 5, …"),
        ] {
            let most = if expected.contains('…') { 3 } else { 9 };
            assert_eq!(runs(numbers, most), expected);
        }
        assert_eq!(runs([u32::MAX - 1, u32::MAX], 1), "4294967294-4294967295");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds, expected) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(ago((1_000_000 - seconds) * 1_000, now), expected);
        }
        assert_eq!(ago(1_000_001_000, now), "0 s", "a clock that is ahead");
    }
}
