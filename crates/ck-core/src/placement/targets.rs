//! Integer counts within the quota: every node its share rounded down or up.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::Fraction;
use crate::placement::Members;
use crate::placement::members::Member;

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

    /// Each share less and more `permille` thousandths, rounded down and up, within the caps.
    pub(crate) fn beside(members: &Members<'_>, shares: &[Fraction], permille: u16) -> Self {
        let (whole, part) = (1000, u64::from(permille));
        let times = |share: &Fraction, by: u64| share.scaled(by.into(), whole.into());
        let low: Vec<Fraction> = shares.iter().map(|s| times(s, whole - part)).collect();
        let high: Vec<Fraction> = shares.iter().map(|s| times(s, whole + part)).collect();
        let (low, mut high) = (Self::around(&low).low, Self::around(&high).high);
        for (high, member) in high.iter_mut().zip(&members.list) {
            *high = (*high).min(member.cap);
        }
        Self { low, high }
    }

    /// Nothing at least, and at most what the least ratio of copies to weight allows at which all
    /// copies find a place.
    ///
    /// The ratio is looked for in steps of 2^-64: two different ratios of a count to a weight below
    /// 2^32 are further apart than that.
    pub(crate) fn least_maximum(members: &Members<'_>, limit: Whole) -> Self {
        let highs = |ratio: u128| -> Vec<u32> {
            let high = |member: &Member<'_>| {
                let most = (ratio * u128::from(member.node.weight)) >> 64;
                u32::try_from(most).map_or(member.cap, |most| most.min(member.cap))
            };
            members.list.iter().map(high).collect()
        };
        let suffices = |ratio: u128| {
            let mut domains = vec![0_u64; members.domains as usize];
            for (member, high) in members.list.iter().zip(highs(ratio)) {
                domains[member.domain as usize] += u64::from(high);
            }
            let beyond: u64 = domains.iter().map(|k| k.saturating_sub(limit.rows)).sum();
            let within: u64 = domains.iter().map(|k| (*k).min(limit.rows)).sum();
            within + beyond.min(limit.overflow) >= limit.total
        };
        let (mut least, mut most) = (0, u128::from(crate::spec::PARTITIONS_MAX) << 64);
        while least < most {
            let ratio = least + (most - least) / 2;
            if suffices(ratio) {
                most = ratio;
            } else {
                least = ratio + 1;
            }
        }
        Self {
            low: vec![0; members.list.len()],
            high: highs(most),
        }
    }

    /// The same for `rows` out of every `copies`.
    pub(crate) fn part(&self, rows: u64, copies: u64) -> Self {
        let part =
            |count: &u32| Fraction::new(u128::from(*count) * u128::from(rows), copies.into());
        let low: Vec<Fraction> = self.low.iter().map(part).collect();
        let high: Vec<Fraction> = self.high.iter().map(part).collect();
        Self {
            low: Self::around(&low).low,
            high: Self::around(&high).high,
        }
    }

    /// Whether no member has a choice of more than two counts.
    fn are_narrow(&self) -> bool {
        let mut pairs = self.low.iter().zip(&self.high);
        pairs.all(|(low, high)| high - low <= 1)
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

/// Counts within `boxes` that add up to `amount.total` and let members keep as much of what they
/// `held` as they can together; beyond that as near to the shares as can be, by `merit`.
pub(crate) fn targets<M: Ord>(
    members: &Members<'_>,
    shares: &[Fraction],
    boxes: &Boxes,
    amount: Whole,
    held: impl Fn(usize) -> u32,
    merit: impl Fn(usize) -> M,
) -> Vec<u32> {
    if boxes.are_narrow() {
        return whole(members, shares, boxes, amount, merit);
    }
    let around = Boxes::around(shares);
    let mut pour = Pour::new(members, boxes, amount);
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_cached_key(|at| (Reverse(merit(*at)), Reverse(part(shares[*at])), *at));
    // Copies that are kept come first: with the least to hold they are the units of a polymatroid,
    // so any order of theirs keeps as many. Then those that are new; each up to the share first.
    for most in [&held as &dyn Fn(usize) -> u32, &|_| u32::MAX] {
        for share in [&around.low, &around.high] {
            for at in &order {
                pour.raise(*at, share[*at].min(most(*at)));
            }
        }
        for step in 1..=STEPS {
            for at in &order {
                let above = u64::from(boxes.high[*at].saturating_sub(around.high[*at]));
                let above = (above * step).div_ceil(STEPS) as u32;
                pour.raise(*at, (around.high[*at] + above).min(most(*at)));
            }
        }
    }
    pour.counts
}

/// Steps in which counts rise from the share to the most there may be, all alike.
const STEPS: u64 = 16;

/// Counts that rise until they add up.
struct Pour<'a> {
    members: &'a Members<'a>,
    boxes: &'a Boxes,
    amount: Whole,
    counts: Vec<u32>,
    domains: Vec<u64>,
    rest: u64,
    overflow: u64,
}

impl<'a> Pour<'a> {
    fn new(members: &'a Members<'a>, boxes: &'a Boxes, amount: Whole) -> Self {
        let counts = boxes.low.clone();
        let given = counts.iter().map(|count| u64::from(*count)).sum();
        let mut domains = vec![0_u64; members.domains as usize];
        for (member, count) in members.list.iter().zip(&counts) {
            domains[member.domain as usize] += u64::from(*count);
        }
        let beyond = |held: &u64| held.saturating_sub(amount.rows);
        let beyond: u64 = domains.iter().map(beyond).sum();
        Self {
            members,
            boxes,
            amount,
            counts,
            rest: amount.total.saturating_sub(given),
            overflow: amount.overflow.saturating_sub(beyond),
            domains,
        }
    }

    /// Raises one count to `most`, as far as its box, its domain and what is left allow.
    fn raise(&mut self, at: usize, most: u32) {
        let count = &mut self.counts[at];
        let wanted = u64::from(most.min(self.boxes.high[at]).saturating_sub(*count)).min(self.rest);
        let held = &mut self.domains[self.members.list[at].domain as usize];
        let free = self.amount.rows.saturating_sub(*held);
        let taken = wanted.min(free.saturating_add(self.overflow));
        self.overflow -= taken.saturating_sub(free);
        *held += taken;
        *count += taken as u32;
        self.rest -= taken;
    }
}

/// What is left of a share when it is rounded down.
fn part(share: Fraction) -> Fraction {
    Fraction::new(share.numerator() % share.denominator(), share.denominator())
}

/// Counts within `boxes` that add up to `whole.total`.
///
/// Every node starts at its lower end; those with a fraction to round go up in order of `merit`,
/// largest first, then of the fraction, then of id. The sets that may go up are the independent
/// sets of a matroid (the union of one with a limit a domain and one with a limit in all), so
/// taking them greedily has the largest merit there is (Edmonds, *Matroids and the greedy
/// algorithm*, 1971).
fn whole<M: Ord>(
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
    open.sort_by_cached_key(|at| (Reverse(merit(*at)), Reverse(part(shares[*at])), *at));
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
