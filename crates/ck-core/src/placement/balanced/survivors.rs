//! What stays: surviving copies, trimmed to what a valid row can keep, and the empty slots filled.

use alloc::vec::Vec;

use crate::placement::balanced::primaries;
use crate::placement::balanced::problem::{NONE, Old, Problem};
use crate::placement::balanced::rows::Rows;
use crate::placement::balanced::wants::Wants;

/// Rows that keep as many surviving copies as each can by itself, and are full; with the number of
/// copies kept.
pub(super) fn keep(problem: &Problem<'_>, old: &Old, budget: &mut u64) -> (Rows, u64) {
    let mut rows = Rows::empty(problem);
    let mut held: Vec<u32> = problem
        .members
        .list
        .iter()
        .map(|member| member.held)
        .collect();
    let mut kept = Vec::with_capacity(16);
    for partition in 0..problem.partitions() {
        let lead = old.primary(partition);
        // Most rows stay as they are.
        if is_whole(problem, partition, old.row(partition)) {
            rows.copy(partition, old.row(partition));
            rows.lead(partition, lead);
            continue;
        }
        kept.clear();
        kept.extend(old.survivors(partition));
        rows.touched[partition] = trim(problem, partition, lead, &mut kept, &mut held);
        for member in &kept {
            rows.push(partition, *member);
        }
        if kept.contains(&lead) {
            rows.lead(partition, lead);
        }
    }
    let kept = rows.counts.iter().map(|count| u64::from(*count)).sum();
    let orphans = primaries::adopt(problem, &mut rows, budget);
    fill(problem, &mut rows, &orphans);
    (rows, kept)
}

/// Whether a row is as it should be: none of its nodes is gone, and it is as long and as spread as
/// it has to be.
#[inline]
fn is_whole(problem: &Problem<'_>, partition: usize, row: &[u32]) -> bool {
    let need = problem.needs.of(partition);
    row.len() == usize::from(need.copies)
        && !row.contains(&NONE)
        && problem.reaches(row, usize::from(need.domains))
}

/// Drops copies until the rest fits into a valid row, those first whose node holds most beyond its
/// target, and the primary never while it is not alone. Returns whether any was dropped.
fn trim(
    problem: &Problem<'_>,
    partition: usize,
    lead: u32,
    kept: &mut Vec<u32>,
    held: &mut [u32],
) -> bool {
    let need = problem.needs.of(partition);
    let mut dropped = false;
    loop {
        let domains = problem.spans(kept.iter().copied());
        let missing = usize::from(need.domains).saturating_sub(domains);
        if kept.len() + missing <= usize::from(need.copies) {
            return dropped;
        }
        // A copy that is alone in its domain may go only while there are domains to spare.
        let twin = |member: u32| {
            let domain = problem.domain[member as usize];
            kept.iter()
                .any(|m| *m != member && problem.domain[*m as usize] == domain)
        };
        let spare = domains > usize::from(need.domains);
        let surplus = |member: u32| {
            i64::from(held[member as usize]) - i64::from(problem.targets[member as usize])
        };
        let worst = (0..kept.len())
            .filter(|at| kept[*at] != lead && (spare || twin(kept[*at])))
            .max_by_key(|at| surplus(kept[*at]));
        // The primary is the only copy left that may go when every other one is needed.
        let at = worst.unwrap_or(kept.len() - 1);
        held[kept[at] as usize] -= 1;
        kept.remove(at);
        dropped = true;
    }
}

/// Fills every empty slot, with nodes below their targets where the row can take one. Rows that
/// found no primary among their survivors come first, and get a node that lacks primaries too.
fn fill(problem: &Problem<'_>, rows: &mut Rows, orphans: &[usize]) {
    let mut lacks = lacking(&problem.targets, &rows.counts);
    for (at, lack) in lacks.iter_mut().enumerate() {
        *lack = if problem.open(at as u32) { *lack } else { 0 };
    }
    let roles = lacking(&problem.lead_targets, &rows.led);
    let both = lacks
        .iter()
        .zip(&roles)
        .map(|(copies, roles)| *copies.min(roles))
        .collect();
    let domains = problem.members.domains;
    let slots = |rows: &Rows, partition: usize| {
        usize::from(problem.needs.of(partition).copies) - rows.row(partition).len()
    };
    let mut wants = Wants::new(&problem.domain, domains, both);
    for partition in orphans.iter().copied() {
        if slots(rows, partition) == 0 {
            continue;
        }
        if let Some(member) = wants.take_for(problem, rows, partition) {
            rows.push(partition, member);
            rows.lead(partition, member);
            rows.touched[partition] = true;
            lacks[member as usize] -= 1;
        }
    }
    let mut wants = Wants::new(&problem.domain, domains, lacks);
    for partition in 0..problem.partitions() {
        for _ in 0..slots(rows, partition) {
            let member = wants
                .take_for(problem, rows, partition)
                .or_else(|| anyone(problem, rows, partition));
            let Some(member) = member else { break };
            rows.push(partition, member);
            rows.touched[partition] = true;
        }
    }
}

/// The open member furthest below, or least above, its target that the row can take.
fn anyone(problem: &Problem<'_>, rows: &Rows, partition: usize) -> Option<u32> {
    let row = rows.row(partition);
    let surplus = |member: u32| {
        let at = member as usize;
        i64::from(rows.counts[at]) - i64::from(problem.targets[at])
    };
    let fits = |member: &u32| {
        let domain = problem.domain[*member as usize];
        !row.contains(member) && rows.has_room_for(problem, partition, domain)
    };
    (0..problem.nodes() as u32)
        .filter(|member| problem.open(*member) && fits(member))
        .min_by_key(|member| (surplus(*member), *member))
}

/// By how much each count is below its target.
pub(super) fn lacking(targets: &[u32], counts: &[u32]) -> Vec<u32> {
    targets
        .iter()
        .zip(counts)
        .map(|(target, count)| target.saturating_sub(*count))
        .collect()
}
