//! Integer counts within the quota: every node its share rounded down or up.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::Fraction;
use crate::placement::Members;

/// For every member the fewest and the most it may hold.
#[derive(Debug, Clone)]
pub(crate) struct Boxes {
    pub(crate) low: Vec<u32>,
    pub(crate) high: Vec<u32>,
}

impl Boxes {
    /// Each share rounded down and up.
    pub(crate) fn around(shares: &[Fraction]) -> Self {
        let fit = |count: u128| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            low: shares.iter().map(|share| fit(share.floor())).collect(),
            high: shares.iter().map(|share| fit(share.ceil())).collect(),
        }
    }

    /// The same, with as few rounded up as leave the largest count in proportion to the weight as
    /// small as it can be: nobody may round up beyond that ratio.
    pub(crate) fn strict(
        mut self,
        members: &Members<'_>,
        shares: &[Fraction],
        limit: Whole,
    ) -> Self {
        let ratio = |count: u32, at: usize| {
            Fraction::new(u128::from(count), u128::from(members.list[at].node.weight))
        };
        let rounds = |at: &usize| self.low[*at] < self.high[*at];
        let open: Vec<usize> = (0..self.low.len()).filter(rounds).collect();
        let highs: Vec<Fraction> = open.iter().map(|at| ratio(self.high[*at], *at)).collect();
        let lows = (0..self.low.len()).map(|at| ratio(self.low[at], at));
        let least = lows.max().unwrap_or(Fraction::ZERO);
        let mut levels: Vec<Fraction> = highs.iter().copied().filter(|l| *l > least).collect();
        levels.push(least);
        levels.sort_unstable();
        levels.dedup();
        let capped = |level: Fraction| {
            let mut boxes = self.clone();
            for (at, high) in open.iter().zip(&highs) {
                if *high > level {
                    boxes.high[*at] = boxes.low[*at];
                }
            }
            boxes
        };
        let suffices = |level: &Fraction| {
            let counts = whole(members, shares, &capped(*level), limit, |_| ());
            counts.iter().map(|count| u64::from(*count)).sum::<u64>() >= limit.total
        };
        let at = levels.partition_point(|level| !suffices(level));
        if let Some(level) = levels.get(at) {
            self = capped(*level);
        }
        self
    }

    pub(crate) fn holds(&self, counts: &[u32]) -> bool {
        counts
            .iter()
            .zip(self.low.iter().zip(&self.high))
            .all(|(c, (l, h))| l <= c && c <= h)
    }
}

/// What is to be handed out as whole numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    /// Sum of the counts.
    pub(crate) total: u64,
    /// Rows: what a domain may hold before it counts against `overflow`.
    pub(crate) rows: u64,
    /// Most that may go beyond `rows`, over all domains.
    pub(crate) overflow: u64,
}

/// Counts within `boxes` that add up to `whole.total`.
///
/// Every node starts at its lower end; those with a fraction to round go up in order of `merit`,
/// largest first, then of the fraction, then of id. The sets that may go up are the independent
/// sets of a matroid (the union of one with a limit a domain and one with a limit in all), so
/// taking them greedily has the largest merit there is (Edmonds, *Matroids and the greedy
/// algorithm*, 1971).
pub(crate) fn whole<M: Ord>(
    members: &Members<'_>,
    shares: &[Fraction],
    boxes: &Boxes,
    whole: Whole,
    merit: impl Fn(usize) -> M,
) -> Vec<u32> {
    let mut counts = boxes.low.clone();
    let mut rest = whole
        .total
        .saturating_sub(counts.iter().map(|c| u64::from(*c)).sum());
    let mut domains = vec![0_u64; members.domains as usize];
    for (member, count) in members.list.iter().zip(&counts) {
        domains[member.domain as usize] += u64::from(*count);
    }
    let beyond: u64 = domains
        .iter()
        .map(|held| held.saturating_sub(whole.rows))
        .sum();
    let mut overflow = whole.overflow.saturating_sub(beyond);
    let mut open: Vec<usize> = (0..counts.len())
        .filter(|at| boxes.low[*at] < boxes.high[*at])
        .collect();
    let part = |at: usize| {
        let share = shares[at];
        Fraction::new(share.numerator() % share.denominator(), share.denominator())
    };
    open.sort_by_cached_key(|at| (Reverse(merit(*at)), Reverse(part(*at)), *at));
    for at in open {
        let held = &mut domains[members.list[at].domain as usize];
        if rest == 0 || (*held >= whole.rows && overflow == 0) {
            continue;
        }
        overflow -= u64::from(*held >= whole.rows);
        *held += 1;
        counts[at] += 1;
        rest -= 1;
    }
    counts
}
