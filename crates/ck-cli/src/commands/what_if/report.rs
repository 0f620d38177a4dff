//! What the change does, as one document and as text.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ck_core::schedule::{Limits, Schedule};
use ck_core::table::Stats;
use ck_core::{Fraction, Plan, Spec, Table, Topology};
use comfy_table::Cell;
use serde::Serialize;

use crate::output::{count, figure, table, write_table};

/// Nodes shown in the table; `--json` shows all.
const NODES_SHOWN: usize = 64;

/// The document of `--json`.
#[derive(Serialize)]
pub(super) struct Difference {
    /// Copies that some node has to receive.
    pub(super) copies_moved: u64,
    /// Copies there are afterwards.
    pub(super) copies: u64,
    moved_permille: u64,
    bytes_moved: Option<u64>,
    primaries_changed: u64,
    lower_bound: u64,
    optimal: bool,
    gap: u64,
    degraded: bool,
    rounds: u32,
    incoming: u32,
    outgoing: u32,
    partitions_lost: u64,
    before: State,
    after: State,
    nodes: Vec<NodeChange>,
}

/// A table on its nodes, in figures.
#[derive(Serialize)]
pub(super) struct State {
    partitions: u32,
    replication_factor: u8,
    spread: u8,
    copies_max_over_share_permille: u64,
    primaries_max_over_share_permille: u64,
    under_replicated: u32,
    spread_violations: u32,
    #[serde(skip)]
    stats: Stats,
}

#[derive(Serialize)]
struct NodeChange {
    id: String,
    copies_before: u32,
    copies_after: u32,
    primaries_before: u32,
    primaries_after: u32,
    received: u32,
    sent: u32,
}

impl State {
    pub(super) fn new(table: &Table, topology: &Topology, spec: &Spec) -> Self {
        let stats = table.stats(topology, spec);
        let permille = |ratio: Fraction| u64::try_from(ratio.per_mille()).unwrap_or(u64::MAX);
        Self {
            partitions: stats.partitions,
            replication_factor: spec.replication_factor(),
            spread: spec.spread(),
            copies_max_over_share_permille: permille(stats.copies_balance),
            primaries_max_over_share_permille: permille(stats.primaries_balance),
            under_replicated: stats.under_replicated,
            spread_violations: stats.spread_violations,
            stats,
        }
    }
}

impl Difference {
    pub(super) fn new(
        plan: &Plan,
        schedule: &Schedule,
        limits: Limits,
        before: State,
        after: State,
    ) -> Self {
        let copies = after.stats.copies;
        Self {
            copies_moved: plan.copies_moved,
            copies,
            moved_permille: plan.copies_moved * 1_000 / copies.max(1),
            bytes_moved: None,
            primaries_changed: plan.primaries_changed,
            lower_bound: plan.lower_bound,
            optimal: plan.optimal,
            gap: plan.gap,
            degraded: plan.degraded,
            rounds: schedule.rounds,
            incoming: limits.incoming.get(),
            outgoing: limits.outgoing.get(),
            partitions_lost: schedule.lost.len() as u64,
            nodes: nodes(&before.stats, &after.stats, schedule),
            before,
            after,
        }
    }

    /// With the bytes that move, when the size of a partition is known.
    pub(super) fn in_bytes(mut self, per_partition: Option<u64>) -> Self {
        self.bytes_moved = per_partition.map(|bytes| bytes.saturating_mul(self.copies_moved));
        self
    }

    /// Whether more moves than `most` hundredths of a percent of all copies.
    pub(super) fn exceeds(&self, most: u64) -> bool {
        u128::from(self.copies_moved) * 10_000 > u128::from(self.copies) * u128::from(most)
    }
}

/// Every node that is in either state, in order of id.
fn nodes(before: &Stats, after: &Stats, schedule: &Schedule) -> Vec<NodeChange> {
    let mut changes: BTreeMap<&str, NodeChange> = BTreeMap::new();
    for (stats, is_after) in [(before, false), (after, true)] {
        for node in &stats.nodes {
            let change = changes
                .entry(node.id.as_str())
                .or_insert_with(|| NodeChange {
                    id: node.id.to_string(),
                    copies_before: 0,
                    copies_after: 0,
                    primaries_before: 0,
                    primaries_after: 0,
                    received: 0,
                    sent: 0,
                });
            if is_after {
                (change.copies_after, change.primaries_after) = (node.copies, node.primaries);
            } else {
                (change.copies_before, change.primaries_before) = (node.copies, node.primaries);
            }
        }
    }
    for transfer in &schedule.transfers {
        let id = |index: u32| schedule.nodes[index as usize].as_str();
        if let Some(change) = changes.get_mut(id(transfer.target)) {
            change.received += 1;
        }
        if let Some(change) = changes.get_mut(id(transfer.source)) {
            change.sent += 1;
        }
    }
    changes.into_values().collect()
}

pub(super) fn write(out: &mut dyn Write, difference: &Difference) -> io::Result<()> {
    let (before, after) = (&difference.before, &difference.after);
    writeln!(
        out,
        "moves: {} of {} copies, {}.{} % ({}; lower bound {})",
        difference.copies_moved,
        difference.copies,
        difference.moved_permille / 10,
        difference.moved_permille % 10,
        least(difference),
        difference.lower_bound,
    )?;
    if let Some(bytes) = difference.bytes_moved {
        writeln!(out, "bytes: {}", size(bytes))?;
    }
    writeln!(
        out,
        "primaries: {}",
        count(difference.primaries_changed, "changes", "change")
    )?;
    writeln!(
        out,
        "rounds: {}, the fewest with {} in and {} out at once a node",
        difference.rounds, difference.incoming, difference.outgoing,
    )?;
    writeln!(
        out,
        "balance: fullest node at {} → {} of its share of copies, {} → {} of primaries",
        before.stats.copies_balance,
        after.stats.copies_balance,
        before.stats.primaries_balance,
        after.stats.primaries_balance,
    )?;
    if difference.degraded {
        writeln!(
            out,
            "degraded: {} with fewer copies than asked for, {} in fewer domains; add nodes",
            after.under_replicated, after.spread_violations
        )?;
    }
    if difference.partitions_lost > 0 {
        let lost = count(difference.partitions_lost, "partition", "partitions");
        writeln!(out, "lost: {lost} without any copy left")?;
    }
    writeln!(out)?;
    let mut rows = table(["node", "copies", "primaries", "receives", "sends"]);
    for node in difference.nodes.iter().take(NODES_SHOWN) {
        rows.add_row(vec![
            Cell::new(&node.id),
            figure(change(node.copies_before, node.copies_after)),
            figure(change(node.primaries_before, node.primaries_after)),
            figure(node.received),
            figure(node.sent),
        ]);
    }
    write_table(out, &rows)?;
    let left_out = difference.nodes.len().saturating_sub(NODES_SHOWN);
    if left_out > 0 {
        writeln!(out, "… and {left_out} more; --json prints all")?;
    }
    Ok(())
}

fn least(difference: &Difference) -> String {
    match (difference.optimal, difference.gap) {
        (true, _) => "proved to be the fewest".to_owned(),
        (false, gap) => format!("at most {gap} above the fewest"),
    }
}

fn change(before: u32, after: u32) -> String {
    if before == after {
        before.to_string()
    } else {
        format!("{before} → {after}")
    }
}

/// Bytes in the largest unit of which there is at least one, with one decimal, rounded down.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exponent = bytes.checked_ilog2().unwrap_or(0) / 10;
    let Some(unit) = (exponent as usize).checked_sub(1).map(|at| units[at]) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> (10 * exponent);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        let shown = [0, 1_023, 1_024, 1_536, 1 << 30, u64::MAX].map(size);
        let wanted = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 GiB", "15.9 EiB"];
        assert_eq!(shown, wanted);
    }
}
