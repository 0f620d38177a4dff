//! The fewest copies any plan within quota can move, from the counts alone.

use alloc::vec;
use alloc::vec::Vec;

use crate::Table;
use crate::placement::targets::{Whole, targets};
use crate::placement::{Members, Needs};

/// No plan within quota moves fewer copies than this.
///
/// The larger of two counts: what the nodes lack, and what the rows lack. A row can keep at most
/// as many survivors as leave room for the domains it still has to reach.
pub(crate) fn lower_bound(members: &Members<'_>, needs: &Needs, previous: Option<&Table>) -> u64 {
    let (copies, spare) = needs.totals(members.spec.partitions());
    let Some(previous) = previous else {
        return copies;
    };
    let shares = members.quotas(copies, spare);
    let amount = Whole {
        total: copies,
        rows: u64::from(members.spec.partitions()),
        overflow: spare,
    };
    let boxes = members.boxes(&shares, amount);
    let held = |at: usize| members.list[at].held;
    let targets = targets(members, &shares, &boxes, amount, held, |at| {
        held(at) > boxes.low[at]
    });
    let kept: u64 = targets
        .iter()
        .enumerate()
        .map(|(at, target)| u64::from(held(at).min(*target)))
        .sum();
    copies - kept.min(keepable(members, needs, previous))
}

/// Most copies that rows can keep, each by itself.
fn keepable(members: &Members<'_>, needs: &Needs, previous: &Table) -> u64 {
    let number: Vec<Option<u32>> = previous
        .nodes()
        .iter()
        .map(|id| members.index_of(id.as_str()))
        .collect();
    let mut domains = Vec::with_capacity(usize::from(previous.width()));
    let mut sum = 0;
    for row in previous.rows() {
        domains.clear();
        let mut survivors = 0;
        for index in row.indexes() {
            let Some(at) = number[*index as usize] else {
                continue;
            };
            survivors += 1;
            let domain = members.list[at as usize].domain;
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        let need = needs.of(row.partition().index());
        let missing = usize::from(need.domains).saturating_sub(domains.len());
        sum += survivors.min(usize::from(need.copies) - missing) as u64;
    }
    sum
}

/// Whether a table gives every member its quota of copies and of primaries, rounded down or up.
///
/// Where rows have different lengths, primaries cannot always be spread that evenly: there only the
/// copies count.
pub(crate) fn within_quota(members: &Members<'_>, needs: &Needs, table: &Table) -> bool {
    let partitions = members.spec.partitions();
    let (copies, spare) = needs.totals(partitions);
    let shares = members.quotas(copies, spare);
    let held = crate::placement::held(table);
    let mut led = vec![0_u32; held.len()];
    for row in table.rows() {
        if let Some(primary) = row.indexes().first() {
            led[*primary as usize] += 1;
        }
    }
    let mut counts = vec![0; members.list.len()];
    let mut primaries = counts.clone();
    for (index, id) in table.nodes().iter().enumerate() {
        match members.index_of(id.as_str()) {
            Some(at) => (counts[at as usize], primaries[at as usize]) = (held[index], led[index]),
            None if held[index] > 0 => return false,
            None => {}
        }
    }
    let amount = Whole {
        total: copies,
        rows: u64::from(partitions),
        overflow: spare,
    };
    let boxes = members.boxes(&shares, amount);
    let lead_shares = needs.lead_shares(&shares, partitions);
    let lead_boxes = needs.lead_boxes(members, &lead_shares, &boxes);
    boxes.holds(&counts) && (needs.are_uneven() || lead_boxes.holds(&primaries))
}
