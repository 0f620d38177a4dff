//! What a plan changes, for a person: partitions that change alike stand on one line.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ck_api::Move;
use comfy_table::Cell;

use crate::output::{count, partition_number, runs, table, write_item, write_table};

/// Lines shown, of partitions and of reasons.
const LINES_MAX: usize = 64;

/// Runs of partitions that a line names.
const RUNS_MAX: usize = 5;

/// One change: what moves, in which round when that is known, and why.
pub(super) struct Change<'a> {
    pub(super) moved: &'a Move,
    pub(super) round: Option<u64>,
    pub(super) why: &'a [String],
}

/// What is alike of changes on one line.
type Alike<'a> = (&'a [String], &'a [String], &'a str, &'a str);

/// The changes of a line.
#[derive(Default)]
struct Line {
    partitions: Vec<u32>,
    rounds: Option<(u64, u64)>,
}

/// Writes the changes, and that there are more.
pub(super) fn write<'a>(
    out: &mut dyn Write,
    changes: impl Iterator<Item = Change<'a>>,
    left_out: u64,
) -> io::Result<()> {
    let mut lines: BTreeMap<Alike<'a>, Line> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let mut reordered = 0;
    for Change { moved, round, why } in changes {
        if is_order_alone(moved) {
            reordered += 1;
            continue;
        }
        let alike = (
            moved.copy_to.as_slice(),
            moved.drop_from.as_slice(),
            moved.old_primary.as_str(),
            moved.new_primary.as_str(),
        );
        let line = lines.entry(alike).or_default();
        line.partitions.extend(partition_number(&moved.partition));
        if let Some(round) = round.filter(|round| *round > 0) {
            let (first, last) = line.rounds.unwrap_or((round, round));
            line.rounds = Some((first.min(round), last.max(round)));
        }
        for why in why {
            *reasons.entry(why).or_default() += 1;
        }
    }
    if !lines.is_empty() {
        writeln!(out)?;
        write_lines(out, lines)?;
    }
    if !reasons.is_empty() {
        writeln!(out)?;
        write_reasons(out, &reasons)?;
    }
    if reordered > 0 {
        let what = count(reordered, "partition keeps its", "partitions keep their");
        writeln!(
            out,
            "{what} copies and primary, in another order of replicas"
        )?;
    }
    if left_out > 0 {
        let more = count(left_out, "partition changes", "partitions change");
        writeln!(
            out,
            "… and {more} that the server does not list; `ck explain ID` tells of one"
        )?;
    }
    Ok(())
}

/// Whether nothing is copied and nobody else acts.
fn is_order_alone(moved: &Move) -> bool {
    moved.copy_to.is_empty() && moved.drop_from.is_empty() && moved.old_primary == moved.new_primary
}

fn write_lines(out: &mut dyn Write, lines: BTreeMap<Alike<'_>, Line>) -> io::Result<()> {
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by(|(_, a), (_, b)| a.partitions.cmp(&b.partitions));
    let has_rounds = lines.iter().any(|(_, line)| line.rounds.is_some());
    let mut rows = match has_rounds {
        true => table(["partitions", "copy to", "drop from", "primary", "rounds"]),
        false => table(["partitions", "copy to", "drop from", "primary"]),
    };
    let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    for ((copy_to, drop_from, old, new), line) in lines.iter().take(LINES_MAX) {
        let primary = if old == new {
            dash(new)
        } else {
            format!("{} → {}", dash(old), dash(new))
        };
        let mut cells = vec![
            Cell::new(named(&line.partitions)),
            Cell::new(dash(&copy_to.join(", "))),
            Cell::new(dash(&drop_from.join(", "))),
            Cell::new(primary),
        ];
        if has_rounds {
            cells.push(Cell::new(match line.rounds {
                None => "-".to_owned(),
                Some((first, last)) if first == last => first.to_string(),
                Some((first, last)) => format!("{first}-{last}"),
            }));
        }
        rows.add_row(cells);
    }
    write_table(out, &rows)?;
    let more: usize = lines
        .iter()
        .skip(LINES_MAX)
        .map(|(_, line)| line.partitions.len())
        .sum();
    if more > 0 {
        let more = count(more as u64, "partition", "partitions");
        writeln!(
            out,
            "… and {more} on further lines; --json prints up to 1,000"
        )?;
    }
    Ok(())
}

/// `partition-7` alone, else how many and which.
fn named(partitions: &[u32]) -> String {
    match partitions {
        [only] => format!("partition-{only}"),
        many => format!("{}: {}", many.len(), runs(many.iter().copied(), RUNS_MAX)),
    }
}

fn write_reasons(out: &mut dyn Write, reasons: &BTreeMap<&str, u64>) -> io::Result<()> {
    for (why, times) in reasons.iter().take(LINES_MAX) {
        let of = match times {
            1 => String::new(),
            times => format!(" ({times} partitions)"),
        };
        write_item(out, "- ", &format!("{why}{of}"))?;
    }
    let more = reasons.len().saturating_sub(LINES_MAX);
    if more > 0 {
        writeln!(
            out,
            "… and {more} more reasons; --json prints those of each partition"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(partition: u32, copy_to: &[&str], primaries: [&str; 2]) -> Move {
        Move {
            partition: format!("partition-{partition}"),
            copy_to: copy_to.iter().map(ToString::to_string).collect(),
            old_primary: primaries[0].into(),
            new_primary: primaries[1].into(),
            ..Move::default()
        }
    }

    fn written(moves: &[Move], why: &[String], left_out: u64) -> String {
        let mut out = Vec::new();
        let changes = moves.iter().enumerate().map(|(at, moved)| Change {
            moved,
            round: Some(at as u64),
            why,
        });
        write(&mut out, changes, left_out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn partitions_that_change_alike_stand_on_one_line() {
        let mut moves: Vec<Move> = (0..40).map(|at| moved(at, &["n4"], ["n1", "n4"])).collect();
        moves.push(moved(40, &[], ["n1", "n2"]));
        moves.push(moved(41, &[], ["n1", "n1"]));
        let why = ["n4: new: below its quota".to_owned()];
        let text = written(&moves, &why, 7);
        assert!(text.contains("40: 0-39"), "{text}");
        assert!(text.contains("n1 → n4  1-39"), "{text}");
        assert!(text.contains("partition-40"), "{text}");
        assert_eq!(
            text.matches("below its quota (41 partitions)").count(),
            1,
            "{text}"
        );
        assert!(text.contains("1 partition keeps its copies"), "{text}");
        assert!(text.contains("7 partitions change that"), "{text}");
        assert!(text.lines().count() < 10, "{text}");
    }

    #[test]
    fn an_order_of_replicas_alone_is_no_table() {
        let text = written(&[moved(3, &[], ["n1", "n1"])], &[], 0);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(written(&[], &[], 0), "");
    }

    #[test]
    fn what_differs_everywhere_is_cut_and_said() {
        let moves: Vec<Move> = (0..100)
            .map(|at| moved(at, &[&format!("n{at}")], ["a", "a"]))
            .collect();
        let text = written(&moves, &[], 0);
        assert!(
            text.contains("… and 36 partitions on further lines"),
            "{text}"
        );
    }
}
