//! What the arguments allow, read anew: how long rows can be, and how many copies each node may
//! have.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::quota::{Pot, Taker, quota};
use super::{Case, Holder};
use crate::{Evenness, Fraction, NodeState, Spec};

/// The most that all rows can hold at once, copies and domains, once caps are counted.
///
/// Tried from above: rows of c copies in d domains exist if each domain gives every row one copy at
/// most, and all domains together c − d more for every row.
pub(super) fn limit(holders: &[Holder<'_>], spec: &Spec) -> (usize, usize) {
    let (rows, asked) = (u64::from(spec.partitions()), spec.replication_factor());
    if holders.iter().all(|h| h.node.max_copies.is_none()) {
        return (usize::from(asked), usize::from(spec.spread()));
    }
    let mut domains: BTreeMap<usize, u64> = BTreeMap::new();
    for holder in holders {
        *domains.entry(holder.domain).or_default() += u64::from(holder.cap(spec));
    }
    let exist = |copies: u64, spread: u64| {
        let first: u64 = domains.values().map(|room| *room.min(&rows)).sum();
        let room: u64 = domains.values().sum();
        first + (room - first).min((copies - spread) * rows) >= copies * rows
    };
    for copies in (1..=u64::from(asked)).rev() {
        for spread in (1..=copies.min(u64::from(spec.spread()))).rev() {
            if exist(copies, spread) {
                return (copies as usize, spread as usize);
            }
        }
    }
    (0, 0)
}

impl Holder<'_> {
    /// Most copies it may hold.
    fn cap(&self, spec: &Spec) -> u32 {
        let most = match self.node.state {
            NodeState::Active => spec.partitions(),
            _ => self.before,
        };
        self.node.max_copies.unwrap_or(u32::MAX).min(most)
    }
}

impl Case<'_> {
    /// Copies that may share a row with another of their domain.
    pub(super) fn spare(&self) -> u64 {
        self.due.iter().map(|due| (due.0 - due.1) as u64).sum()
    }

    /// The exact shares of copies.
    pub(super) fn shares(&self, copies: u64) -> Vec<Fraction> {
        let mut numbers: Vec<usize> = self.holders.iter().map(|holder| holder.domain).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let taker = |holder: &Holder<'_>| {
            let domain = numbers.partition_point(|number| *number < holder.domain);
            (holder.node.weight, holder.cap(self.spec), domain)
        };
        let takers: Vec<Taker> = self.holders.iter().map(taker).collect();
        let pot = Pot {
            rows: u64::from(self.spec.partitions()),
            copies,
            spare: self.spare(),
        };
        quota(&takers, pot)
    }

    /// The fewest and the most copies of every node, as even as the spec asks for.
    pub(super) fn boxes(&self, shares: &[Fraction], copies: u64) -> Vec<(u128, u128)> {
        let boxes: Vec<(u128, u128)> = shares.iter().map(|s| (s.floor(), s.ceil())).collect();
        match self.spec.evenness() {
            Evenness::Quota => boxes,
            Evenness::Strict => self.strict(boxes, copies),
            Evenness::Tolerance { permille } => self.beside(shares, u128::from(permille)),
            Evenness::LeastMaximum => self.least_maximum(copies),
        }
    }

    /// So many thousandths below and above each share, rounded down and up, within the caps.
    fn beside(&self, shares: &[Fraction], permille: u128) -> Vec<(u128, u128)> {
        let of = |share: &Fraction, thousandths: u128| {
            Fraction::new(share.numerator() * thousandths, share.denominator() * 1000)
        };
        let range = |(share, holder): (&Fraction, &Holder<'_>)| {
            let high = of(share, 1000 + permille).ceil();
            let cap = u128::from(holder.cap(self.spec));
            (of(share, 1000 - permille).floor(), high.min(cap))
        };
        shares.iter().zip(&self.holders).map(range).collect()
    }

    /// None at least; at most what the least ratio of copies to weight allows at which all copies
    /// find a place. That ratio is one node's, so each node is asked for its least count.
    fn least_maximum(&self, copies: u64) -> Vec<(u128, u128)> {
        let highs = |count: u128, weight: u128| -> Vec<u128> {
            let high = |holder: &Holder<'_>| {
                let most = count * u128::from(holder.node.weight) / weight;
                most.min(u128::from(holder.cap(self.spec)))
            };
            self.holders.iter().map(high).collect()
        };
        let rows = u128::from(self.spec.partitions());
        let finds_place = |highs: &[u128]| {
            let mut domains: BTreeMap<usize, u128> = BTreeMap::new();
            for (holder, high) in self.holders.iter().zip(highs) {
                *domains.entry(holder.domain).or_default() += high;
            }
            let first: u128 = domains.values().map(|room| *room.min(&rows)).sum();
            let room: u128 = domains.values().sum();
            first + (room - first).min(u128::from(self.spare())) >= u128::from(copies)
        };
        let mut best: Option<(Fraction, Vec<u128>)> = None;
        for holder in &self.holders {
            let weight = u128::from(holder.node.weight);
            let (mut low, mut high) = (0, rows + 1);
            while low < high {
                let middle = (low + high) / 2;
                if finds_place(&highs(middle, weight)) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            let ratio = Fraction::new(low, weight);
            if low <= rows && best.as_ref().is_none_or(|best| ratio < best.0) {
                best = Some((ratio, highs(low, weight)));
            }
        }
        let most = best.map_or_else(|| highs(u128::from(u64::MAX), 1), |best| best.1);
        most.into_iter().map(|most| (0, most)).collect()
    }

    /// Rounded up only as far as the largest ratio of copies to weight has to be.
    fn strict(&self, mut boxes: Vec<(u128, u128)>, copies: u64) -> Vec<(u128, u128)> {
        let ratio =
            |count: u128, at: usize| Fraction::new(count, u128::from(self.holders[at].node.weight));
        let mut order: Vec<(Fraction, usize)> = (0..boxes.len())
            .filter(|at| boxes[*at].0 < boxes[*at].1)
            .map(|at| (ratio(boxes[at].1, at), at))
            .collect();
        order.sort_unstable();
        let lows = (0..boxes.len()).map(|at| ratio(boxes[at].0, at));
        let mut level = lows.max().unwrap_or(Fraction::ZERO);
        let mut held: BTreeMap<usize, u64> = BTreeMap::new();
        for (at, (low, _)) in boxes.iter().enumerate() {
            *held.entry(self.holders[at].domain).or_default() += *low as u64;
        }
        let given: u64 = held.values().sum();
        let rows = u64::from(self.spec.partitions());
        let beyond = |held: u64| held.saturating_sub(rows);
        let spare = self
            .spare()
            .saturating_sub(held.values().map(|held| beyond(*held)).sum());
        // One after the other, least ratio first, until enough may round up.
        let (mut free, mut shared) = (0, 0);
        for (ratio, at) in &order {
            if given + free + u64::min(shared, spare) >= copies && *ratio > level {
                break;
            }
            level = level.max(*ratio);
            if let Some(held) = held.get_mut(&self.holders[*at].domain) {
                *(if *held < rows { &mut free } else { &mut shared }) += 1;
                *held += 1;
            }
        }
        for (ratio, at) in order {
            if ratio > level {
                boxes[at].1 = boxes[at].0;
            }
        }
        boxes
    }
}
