//! Primaries for fixed rows: every node its quota, as few changes as possible.

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::balanced::flow::{Arcs, Balance, COST, FAR, Labels, Settled, settle};
use crate::placement::balanced::problem::{NONE, Problem};
use crate::placement::balanced::rows::Rows;
use crate::placement::targets::Boxes;

/// A change of primary, in units of one that has to wait for its data.
const CHANGED: i64 = 1 << 22;

/// Rows whose primary role may change hands.
#[derive(Debug)]
struct Roles<'p, 'm> {
    problem: &'p Problem<'m>,
    rows: &'p mut Rows,
    /// The rows whose role may move, or all.
    scope: Option<Vec<u32>>,
}

/// Gives every row a primary, within the quota of primaries, with the fewest changes there are for
/// these rows; among those, with the fewest replacements of a dead primary by a node that does not
/// have the data yet.
pub(super) fn assign(problem: &Problem<'_>, rows: &mut Rows, budget: &mut u64) -> Settled {
    let mut orphaned = Vec::new();
    for partition in 0..problem.partitions() {
        // Each row by itself at least cost, as the flow demands.
        let before = problem
            .old
            .as_ref()
            .map_or(NONE, |old| old.primary(partition));
        if before != NONE && rows.leads[partition] == before {
            continue;
        }
        if before != NONE && rows.row(partition).contains(&before) {
            rows.lead(partition, before);
            continue;
        }
        orphaned.push(partition as u32);
        let lead = rows.leads[partition];
        let cold = before == NONE && lead != NONE && !problem.had(partition, lead);
        if cold {
            rows.lead(partition, NONE);
        }
        if cold || lead == NONE {
            let first = promoted(problem, rows, partition);
            rows.lead(partition, first);
        }
    }
    // Rows that have to change anyway settle among themselves first: they are few, and moving a
    // role there costs nothing. No cheaper path leads through the other rows.
    let mut balance = Balance::new(&rows.led, &problem.lead_boxes);
    let mut roles = Roles {
        problem,
        rows,
        scope: Some(orphaned),
    };
    settle(&mut roles, &mut balance, budget);
    roles.scope = None;
    settle(&mut roles, &mut balance, budget)
}

/// Gives rows that lost their primary to survivors that lack primaries, as many as can be; returns
/// the rows that remain without one.
pub(super) fn adopt(problem: &Problem<'_>, rows: &mut Rows, budget: &mut u64) -> Vec<usize> {
    let orphans: Vec<u32> = (0..problem.partitions())
        .filter(|partition| rows.leads[*partition] == NONE)
        .map(|partition| partition as u32)
        .collect();
    if orphans.is_empty() {
        return Vec::new();
    }
    for partition in &orphans {
        let first = promoted(problem, rows, *partition as usize);
        rows.lead(*partition as usize, first);
    }
    let high = problem.lead_targets.clone();
    let boxes = Boxes {
        low: vec![0; high.len()],
        high,
    };
    let mut balance = Balance::new(&rows.led, &boxes);
    let mut roles = Roles {
        problem,
        rows,
        scope: Some(orphans),
    };
    settle(&mut roles, &mut balance, budget);
    let Roles { rows, scope, .. } = roles;
    let mut left = Vec::new();
    for partition in scope
        .into_iter()
        .flatten()
        .map(|partition| partition as usize)
    {
        let lead = rows.leads[partition];
        if lead != NONE && rows.led[lead as usize] > problem.lead_targets[lead as usize] {
            rows.lead(partition, NONE);
        }
        if rows.leads[partition] == NONE {
            left.push(partition);
        }
    }
    left
}

/// A copy that has the data, and whose node is furthest below its target of primaries.
fn promoted(problem: &Problem<'_>, rows: &Rows, partition: usize) -> u32 {
    let above = |member: u32| {
        let at = member as usize;
        i64::from(rows.led[at]) - i64::from(problem.lead_targets[at])
    };
    let cold = |member: u32| !problem.had(partition, member);
    let row = rows.row(partition).iter().copied();
    row.min_by_key(|member| (cold(*member), above(*member)))
        .unwrap_or(NONE)
}

impl Roles<'_, '_> {
    fn cost(&self, partition: usize, member: u32) -> i64 {
        let Some(old) = &self.problem.old else {
            return 0;
        };
        let before = old.primary(partition);
        if before == member {
            return 0;
        }
        let cold = before == NONE && !self.problem.had(partition, member);
        CHANGED + i64::from(cold)
    }

    fn partitions(&self) -> impl Iterator<Item = usize> + '_ {
        let scope = self.scope.as_deref();
        let count = scope.map_or(self.rows.leads.len(), <[u32]>::len);
        (0..count).map(move |at| scope.map_or(at, |scope| scope[at] as usize))
    }

    fn arcs(&self, partition: usize) -> impl Iterator<Item = (u32, i64)> + '_ {
        let lead = self.rows.leads[partition];
        let row = self.rows.row(partition);
        // Without a choice the cost is not even looked at.
        let paid = if row.len() > 1 {
            self.cost(partition, lead)
        } else {
            0
        };
        row.iter()
            .copied()
            .filter(move |member| *member != lead)
            .map(move |member| (member, (self.cost(partition, member) - paid) * COST + 1))
    }
}

impl Arcs for Roles<'_, '_> {
    fn relax(&self, labels: &mut Labels, attained: &mut [i64]) -> bool {
        let mut fell = false;
        for partition in self.partitions() {
            let lead = self.rows.leads[partition];
            if lead == NONE {
                continue;
            }
            let reach = |(member, cost): (u32, i64)| {
                let label = labels.of[member as usize];
                if label < FAR { label + cost } else { FAR }
            };
            let found = self.arcs(partition).map(reach).min().unwrap_or(FAR);
            let present = &mut labels.of[lead as usize];
            attained[lead as usize] += i64::from(found < FAR && found <= *present);
            if found < *present {
                *present = found;
                fell = true;
            }
        }
        fell
    }

    fn push(&mut self, labels: &Labels, balance: &mut Balance) -> u64 {
        let mut pushed = 0;
        for at in 0..self.effort() as usize {
            let partition = self.scope.as_ref().map_or(at, |scope| scope[at] as usize);
            let lead = self.rows.leads[partition];
            if lead == NONE || !balance.gives(lead) {
                continue;
            }
            let label = labels.of[lead as usize];
            let taker = self.arcs(partition).find(|(member, cost)| {
                let reach = labels.of[*member as usize];
                reach < FAR && label == reach + cost && balance.takes(*member)
            });
            if let Some((taker, _)) = taker {
                self.rows.lead(partition, taker);
                balance.shift(lead, taker);
                pushed += 1;
            }
        }
        pushed
    }

    fn effort(&self) -> u64 {
        self.scope.as_ref().map_or(self.rows.leads.len(), Vec::len) as u64
    }
}
