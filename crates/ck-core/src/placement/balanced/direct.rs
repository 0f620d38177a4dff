//! Moves of one copy each, from a node above its target to one below.

use alloc::vec::Vec;

use crate::placement::balanced::problem::{NONE, Problem};
use crate::placement::balanced::rows::Rows;
use crate::placement::balanced::survivors::lacking;
use crate::placement::balanced::wants::Wants;

/// Moves what single exchanges can: first copies that take a primary role along which has to move
/// anyway, then copies without the role, last the rest.
pub(super) fn settle(problem: &Problem<'_>, rows: &mut Rows) {
    let above: Vec<bool> = rows
        .counts
        .iter()
        .zip(&problem.targets)
        .map(|(count, target)| count > target)
        .collect();
    if !above.contains(&true) {
        return;
    }
    let wants = |lacks| Wants::new(&problem.domain, problem.members.domains, lacks);
    let lacks = |rows: &Rows| -> Vec<u32> {
        let lacks = lacking(&problem.targets, &rows.counts)
            .into_iter()
            .enumerate();
        lacks
            .map(|(at, lack)| if problem.open(at as u32) { lack } else { 0 })
            .collect()
    };
    for kind in [Pass::WithRole, Pass::TakeOver] {
        let roles = lacking(&problem.lead_targets, &rows.led);
        let both = lacks(rows)
            .iter()
            .zip(&roles)
            .map(|(copies, roles)| *copies.min(roles))
            .collect();
        pass(problem, rows, &above, wants(both), kind);
    }
    for kind in [Pass::WithoutRole, Pass::Rest] {
        let lacks = lacks(rows);
        pass(problem, rows, &above, wants(lacks), kind);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The primary's copy goes, and the role with it.
    WithRole,
    /// Another copy goes, and its taker takes the role from a primary that has too many.
    TakeOver,
    /// Another copy goes.
    WithoutRole,
    /// The primary's copy goes; who leads is decided afterwards.
    Rest,
}

fn pass(problem: &Problem<'_>, rows: &mut Rows, above: &[bool], mut wants: Wants, kind: Pass) {
    let surplus =
        |rows: &Rows, member: u32| rows.counts[member as usize] > problem.targets[member as usize];
    let mut left: u64 = rows
        .counts
        .iter()
        .zip(&problem.targets)
        .map(|(count, target)| u64::from(count.saturating_sub(*target)))
        .sum();
    for partition in 0..problem.partitions() {
        if left == 0 || wants.is_empty() {
            return;
        }
        // Nobody gets above its target on the way, so no other row has anything to give.
        let row = rows.row(partition);
        if !row.iter().any(|member| above[*member as usize]) {
            continue;
        }
        for place in 0..rows.row(partition).len() {
            let member = rows.row(partition)[place];
            let lead = rows.leads[partition];
            let leads = lead == member;
            let spares =
                lead != NONE && rows.led[lead as usize] > problem.lead_targets[lead as usize];
            let gives = match kind {
                Pass::WithRole => leads && spares,
                Pass::TakeOver => !leads && spares,
                Pass::WithoutRole => !leads,
                Pass::Rest => true,
            };
            if !gives || !surplus(rows, member) {
                continue;
            }
            let Some(taker) = taker(problem, rows, &mut wants, partition, place) else {
                continue;
            };
            rows.replace(partition, place, taker);
            if matches!(kind, Pass::WithRole | Pass::TakeOver) {
                rows.lead(partition, taker);
            }
            left -= 1;
        }
    }
}

/// Someone below target who may take the copy at `place`.
fn taker(
    problem: &Problem<'_>,
    rows: &Rows,
    wants: &mut Wants,
    partition: usize,
    place: usize,
) -> Option<u32> {
    let row = rows.row(partition);
    let need = usize::from(problem.needs.of(partition).domains);
    let stay = || {
        row.iter()
            .enumerate()
            .filter(|(at, _)| *at != place)
            .map(|(_, m)| *m)
    };
    let free = need <= 1 || problem.spans(stay()) >= need;
    let fits = |domain: u32| free || !stay().any(|m| problem.domain[m as usize] == domain);
    wants.take(fits, |member| !row.contains(&member))
}
