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
    /// What it costs each copy of these rows to lead, as an index into [`LEADS`]; found when it is
    /// asked for first.
    prices: Vec<u8>,
}

/// What leading can cost: nothing where the primary stays; else a change, and the data has to come.
const LEADS: [i64; 3] = [0, CHANGED * COST, (CHANGED + 1) * COST];

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
    settle(
        &mut Roles::new(problem, rows, Some(orphaned)),
        &mut balance,
        budget,
    );
    settle(&mut Roles::new(problem, rows, None), &mut balance, budget)
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
    let mut roles = Roles::new(problem, rows, Some(orphans));
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

impl<'p, 'm> Roles<'p, 'm> {
    fn new(problem: &'p Problem<'m>, rows: &'p mut Rows, scope: Option<Vec<u32>>) -> Self {
        let prices = Vec::new();
        Self {
            problem,
            rows,
            scope,
            prices,
        }
    }

    fn price(&self, partition: usize, member: u32) -> u8 {
        let Some(old) = &self.problem.old else {
            return 0;
        };
        let before = old.primary(partition);
        if before == member {
            return 0;
        }
        let cold = before == NONE && !self.problem.had(partition, member);
        1 + u8::from(cold)
    }

    fn reach(&self) -> usize {
        let scope = self.scope.as_ref();
        scope.map_or(self.rows.leads.len(), Vec::len)
    }

    #[inline]
    fn at(&self, number: usize) -> usize {
        let scope = self.scope.as_ref();
        scope.map_or(number, |scope| scope[number] as usize)
    }

    fn set_prices(&mut self) {
        let width = self.rows.width();
        let mut prices = vec![0; self.reach() * width];
        for (number, prices) in prices.chunks_exact_mut(width).enumerate() {
            let partition = self.at(number);
            let row = self.rows.row(partition);
            // Without a choice the cost is not even looked at.
            for (price, member) in prices.iter_mut().zip(row).filter(|_| row.len() > 1) {
                *price = self.price(partition, *member);
            }
        }
        self.prices = prices;
    }

    /// Copies of a row with what it costs each to lead.
    #[inline]
    fn copies(&self, number: usize, partition: usize) -> impl Iterator<Item = (u32, i64)> + '_ {
        let prices = &self.prices[number * self.rows.width()..];
        let copies = self.rows.row(partition).iter().zip(prices);
        copies.map(|(member, price)| (*member, LEADS[usize::from(*price)]))
    }

    /// What the primary of a row pays to lead it.
    fn paid(&self, number: usize, partition: usize) -> i64 {
        let lead = self.rows.leads[partition];
        let mut copies = self.copies(number, partition);
        copies
            .find(|(member, _)| *member == lead)
            .map_or(0, |(_, cost)| cost)
    }
}

impl Arcs for Roles<'_, '_> {
    fn start(&mut self) {
        if self.prices.is_empty() {
            self.set_prices();
        }
    }

    fn relax(&self, labels: &mut Labels, attained: &mut [i64]) -> bool {
        let mut fell = false;
        for number in 0..self.reach() {
            let partition = self.at(number);
            let lead = self.rows.leads[partition];
            if lead == NONE {
                continue;
            }
            let (mut found, mut paid) = (FAR, 0);
            for (member, cost) in self.copies(number, partition) {
                if member == lead {
                    paid = cost;
                } else {
                    found = found.min(labels.of[member as usize].saturating_add(cost));
                }
            }
            if found >= FAR {
                continue;
            }
            found += 1 - paid;
            let present = &mut labels.of[lead as usize];
            attained[lead as usize] += i64::from(found <= *present);
            if found < *present {
                *present = found;
                fell = true;
            }
        }
        fell
    }

    fn push(&mut self, labels: &Labels, balance: &mut Balance) -> u64 {
        if !balance.any_gives(labels) {
            return 0;
        }
        let mut pushed = 0;
        for number in 0..self.reach() {
            let partition = self.at(number);
            let lead = self.rows.leads[partition];
            if lead == NONE || !balance.gives(lead) {
                continue;
            }
            let target = labels.of[lead as usize] - 1 + self.paid(number, partition);
            let taker = self.copies(number, partition).find(|(member, cost)| {
                let reach = labels.of[*member as usize];
                *member != lead && reach < FAR && reach + cost == target && balance.takes(*member)
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
        self.reach() as u64
    }
}
