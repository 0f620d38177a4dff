//! The fewest moves, by counts and by prices.

use alloc::vec::Vec;

use super::{Case, zeros};
use crate::{NodeState, Row, Table};

impl Case<'_> {
    /// By counts: what rows can keep, each by itself, and what nodes can keep within quota.
    pub(super) fn bound_by_counts(
        &self,
        previous: &Table,
        boxes: &[(u128, u128)],
        copies: u64,
    ) -> u64 {
        let by_rows: u64 = previous.rows().map(|row| self.keepable(row)).sum();
        let domains = self
            .holders
            .iter()
            .map(|holder| holder.domain + 1)
            .max()
            .unwrap_or(0);
        let rows = u64::from(self.spec.partitions());
        let floor = |at: usize| u64::try_from(boxes[at].0).unwrap_or(u64::MAX);
        let mut held = zeros(domains);
        let mut by_nodes = 0;
        for (at, holder) in self.holders.iter().enumerate() {
            held[holder.domain] += floor(at);
            by_nodes += u64::from(holder.before).min(floor(at));
        }
        let beyond: u64 = held.iter().map(|held| held.saturating_sub(rows)).sum();
        let mut rest = copies.saturating_sub(held.iter().sum());
        let mut spare = self.spare().saturating_sub(beyond);
        // A node that may hold more keeps more, where its domain has room for it.
        for (at, holder) in self.holders.iter().enumerate() {
            let most = u64::try_from(boxes[at].1).unwrap_or(u64::MAX);
            let more = u64::from(holder.before).min(most).saturating_sub(floor(at));
            let within = rows.saturating_sub(held[holder.domain]);
            let more = more.min(rest).min(within + spare);
            spare -= more.saturating_sub(within);
            held[holder.domain] += more;
            rest -= more;
            by_nodes += more;
        }
        copies - by_rows.min(by_nodes)
    }

    /// Most surviving copies that fit into a valid row.
    fn keepable(&self, row: Row<'_>) -> u64 {
        let (copies, spread) = self.due[row.partition().index()];
        let survivors: Vec<usize> = row
            .nodes()
            .filter_map(|id| self.holder(id.as_str()))
            .collect();
        let mut domains: Vec<usize> = survivors
            .iter()
            .map(|at| self.holders[*at].domain)
            .collect();
        domains.sort_unstable();
        domains.dedup();
        survivors
            .len()
            .min(copies - spread.saturating_sub(domains.len())) as u64
    }

    /// By prices: cheapest rows less dearest counts.
    pub(super) fn bound_by_prices(&self, prices: &[i64], boxes: &[(u128, u128)]) -> u64 {
        let price = |at: usize| {
            let index = self.plan.table.index_of(self.holders[at].node.id.as_str());
            index
                .and_then(|index| prices.get(index as usize))
                .copied()
                .unwrap_or(0)
        };
        let active = |at: &usize| self.holders[*at].node.state == NodeState::Active;
        let mut others: Vec<(i128, usize)> = (0..self.holders.len())
            .filter(active)
            .map(|at| (i128::from(price(at)) + 1, at))
            .collect();
        others.sort_unstable();
        let mut bound = 0_i128;
        for row in self.previous.into_iter().flat_map(Table::rows) {
            let mut kept: Vec<(i128, usize)> = row
                .nodes()
                .filter_map(|id| self.holder(id.as_str()))
                .map(|at| (i128::from(price(at)), at))
                .collect();
            kept.sort_unstable();
            bound += self.cheapest(row, &kept, &others);
        }
        for (at, (low, high)) in boxes.iter().enumerate() {
            let price = i128::from(price(at));
            let count = if price > 0 { *high } else { *low };
            bound -= price.saturating_mul(i128::try_from(count).unwrap_or(i128::MAX));
        }
        u64::try_from(bound.max(0)).unwrap_or(u64::MAX)
    }

    /// The cheapest valid row: nodes in order of price, each taken unless the domains that are still
    /// missing would no longer fit. Greedy is exact here, as valid rows are the bases of a matroid.
    fn cheapest(&self, row: Row<'_>, kept: &[(i128, usize)], others: &[(i128, usize)]) -> i128 {
        let (copies, spread) = self.due[row.partition().index()];
        let (mut kept, mut others) = (kept.iter().peekable(), others.iter().peekable());
        let mut taken: Vec<usize> = Vec::with_capacity(copies);
        let mut domains: Vec<usize> = Vec::with_capacity(copies);
        let mut cost = 0;
        while taken.len() < copies {
            let first = match (kept.peek(), others.peek()) {
                (Some(a), Some(b)) if a.0 <= b.0 => kept.next(),
                (_, Some(_)) => others.next(),
                _ => kept.next(),
            };
            let Some((price, at)) = first else { break };
            let domain = self.holders[*at].domain;
            let fresh = usize::from(!domains.contains(&domain));
            let missing = spread.saturating_sub(domains.len() + fresh);
            if taken.contains(at) || taken.len() + 1 + missing > copies {
                continue;
            }
            taken.push(*at);
            cost += price;
            if fresh == 1 {
                domains.push(domain);
            }
        }
        cost
    }
}
