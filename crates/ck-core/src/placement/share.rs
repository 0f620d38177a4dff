//! The fair share of every node: weighted max-min by water filling, exact.
//!
//! Every node grows as λ × weight until it reaches its cap, all at the same level λ. Where the
//! spread limits how much of a row one failure domain may hold, the domains that exhaust that
//! limit are frozen together and the water goes on rising in the others, each frozen in turn when
//! it holds a copy of every partition. The result is the unique weighted max-min fair share
//! (Bertsekas and Gallager, *Data Networks*, §6.5.2, with the domain limit as an extra bottleneck).

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::Fraction;

/// One node that takes a share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharer {
    pub(crate) weight: u32,
    /// Most copies it may hold.
    pub(crate) cap: u32,
    /// Index of its failure domain.
    pub(crate) domain: u32,
}

/// What is to be shared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Number of rows: what a domain may hold before it counts against `overflow`.
    pub(crate) partitions: u32,
    /// Copies to hand out.
    pub(crate) copies: u64,
    /// Copies that may share a row with another copy of their domain, over all rows.
    pub(crate) overflow: u64,
}

/// A water level, `numerator / denominator`; at most 2^41 over 2^48.
#[derive(Debug, Clone, Copy)]
struct Level {
    numerator: u64,
    denominator: u64,
}

impl Level {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = u128::from(self.numerator) * u128::from(other.denominator);
        left.cmp(&(u128::from(other.numerator) * u128::from(self.denominator)))
    }

    fn of(self, sharer: &Sharer) -> Fraction {
        let share = u128::from(self.numerator) * u128::from(sharer.weight);
        let cap = u128::from(sharer.cap);
        if share >= cap * u128::from(self.denominator) {
            return Fraction::new(cap, 1);
        }
        Fraction::new(share, u128::from(self.denominator))
    }
}

/// `full + λ × weight`: what a set of nodes holds at level λ between two events.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    full: i64,
    weight: i64,
}

impl Line {
    /// The level at which the line reaches `target`; `None` when it never does.
    fn reaches(self, target: u64) -> Option<Level> {
        let rest = i64::try_from(target).ok()? - self.full;
        if self.weight == 0 && rest > 0 {
            return None;
        }
        let numerator = u64::try_from(rest.max(0)).ok()?;
        let denominator = u64::try_from(self.weight.max(1)).ok()?;
        Some(Level {
            numerator,
            denominator,
        })
    }
}

/// The exact share of every node, in the order given.
///
/// Hands out `amount.copies` where the caps and the overflow allow it, else as much as they do.
pub(crate) fn quotas(sharers: &[Sharer], amount: Amount) -> Vec<Fraction> {
    let flood = Flood::new(sharers, amount.partitions);
    let free = flood.total(amount.copies, None, 0);
    let over = flood
        .overflow(amount.overflow)
        .filter(|over| free.is_none_or(|free| over.cmp(&free) == Ordering::Less));
    let level = match over {
        Some(_) => flood.total(amount.copies, over, amount.overflow),
        None => free,
    };
    let share = |sharer: &Sharer| {
        let stop = over.and_then(|over| flood.stop(sharer.domain, over));
        let lowest = match (level, stop) {
            (Some(level), Some(stop)) if stop.cmp(&level) == Ordering::Less => Some(stop),
            (Some(level), _) => Some(level),
            (None, stop) => stop,
        };
        lowest.map_or_else(
            || Fraction::from(u64::from(sharer.cap)),
            |level| level.of(sharer),
        )
    };
    sharers.iter().map(share).collect()
}

/// Nodes in the order in which they reach their caps.
struct Flood<'a> {
    sharers: &'a [Sharer],
    order: Vec<u32>,
    domains: usize,
    /// Level at which each domain holds as many copies as there are partitions.
    brims: Vec<Option<Level>>,
    /// Each domain's line at its brim.
    at_brim: Vec<Line>,
    partitions: i64,
}

impl<'a> Flood<'a> {
    fn new(sharers: &'a [Sharer], partitions: u32) -> Self {
        let order: Vec<u32> = (0..sharers.len() as u32).collect();
        let domains = sharers
            .iter()
            .map(|s| s.domain as usize + 1)
            .max()
            .unwrap_or(0);
        let mut lines = vec![Line::default(); domains];
        for sharer in sharers {
            lines[sharer.domain as usize].weight += i64::from(sharer.weight);
        }
        let mut flood = Self {
            sharers,
            order,
            domains,
            brims: vec![None; domains],
            at_brim: vec![Line::default(); domains],
            partitions: i64::from(partitions),
        };
        let mut order = core::mem::take(&mut flood.order);
        order.sort_by(|a, b| flood.cap(*a).cmp(&flood.cap(*b)).then(a.cmp(b)));
        flood.order = order;
        flood.find_brims(lines, u64::from(partitions));
        flood
    }

    fn cap(&self, index: u32) -> Level {
        let sharer = &self.sharers[index as usize];
        Level {
            numerator: u64::from(sharer.cap),
            denominator: u64::from(sharer.weight),
        }
    }

    fn find_brims(&mut self, mut lines: Vec<Line>, partitions: u64) {
        for at in 0..self.order.len() {
            let index = self.order[at];
            let sharer = self.sharers[index as usize];
            let domain = sharer.domain as usize;
            self.brim_before(domain, lines[domain], partitions, self.cap(index));
            let line = &mut lines[domain];
            line.full += i64::from(sharer.cap);
            line.weight -= i64::from(sharer.weight);
        }
    }

    /// Records the brim of `domain` when its line reaches it no later than at `next`.
    fn brim_before(&mut self, domain: usize, line: Line, partitions: u64, next: Level) {
        if self.brims[domain].is_none()
            && let Some(level) = line.reaches(partitions)
            && level.cmp(&next) != Ordering::Greater
        {
            self.brims[domain] = Some(level);
            self.at_brim[domain] = line;
        }
    }

    /// Level at which a domain stops: at `over` when it is full there, else when it is.
    fn stop(&self, domain: u32, over: Level) -> Option<Level> {
        let brim = self.brims[domain as usize]?;
        Some(if brim.cmp(&over) == Ordering::Less {
            over
        } else {
            brim
        })
    }

    /// The level at which all nodes together hold `copies`.
    ///
    /// With `freeze`, domains stop as [`Flood::stop`] says. Those that stop there together hold
    /// `overflow` copies beyond one of each partition, a domain that stops later none.
    fn total(&self, copies: u64, freeze: Option<Level>, overflow: u64) -> Option<Level> {
        let mut line = Line::default();
        let mut lines = vec![Line::default(); self.domains];
        for sharer in self.sharers {
            lines[sharer.domain as usize].weight += i64::from(sharer.weight);
            line.weight += i64::from(sharer.weight);
        }
        let stop = |domain: usize| self.stop(domain as u32, freeze?);
        let mut stops: Vec<(Level, usize)> = (0..self.domains)
            .filter_map(|d| stop(d).map(|level| (level, d)))
            .collect();
        stops.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut stopped = vec![false; self.domains];
        let mut at = 0;
        for index in &self.order {
            let cap = self.cap(*index);
            while let Some((level, _)) = stops.get(at).filter(|s| s.0.cmp(&cap).is_le()) {
                if let Some(found) = line.reaches(copies).filter(|l| l.cmp(level).is_le()) {
                    return Some(found);
                }
                // All domains of one level stop in one step: only their sum is an integer.
                if at == 0 {
                    line.full += i64::try_from(overflow).unwrap_or(i64::MAX / 2);
                }
                let together = stops[at..]
                    .iter()
                    .take_while(|s| s.0.cmp(level).is_eq())
                    .count();
                for (_, domain) in &stops[at..at + together] {
                    stopped[*domain] = true;
                    line.full += self.partitions - lines[*domain].full;
                    line.weight -= lines[*domain].weight;
                }
                at += together;
            }
            if let Some(found) = line.reaches(copies).filter(|l| l.cmp(&cap).is_le()) {
                return Some(found);
            }
            let sharer = &self.sharers[*index as usize];
            let own = &mut lines[sharer.domain as usize];
            own.full += i64::from(sharer.cap);
            own.weight -= i64::from(sharer.weight);
            if !stopped[sharer.domain as usize] {
                line.full += i64::from(sharer.cap);
                line.weight -= i64::from(sharer.weight);
            }
        }
        None
    }

    /// The level at which copies beyond one a partition and domain add up to `allowed`.
    fn overflow(&self, allowed: u64) -> Option<Level> {
        let mut line = Line::default();
        let mut starts: Vec<(Level, usize)> = self
            .brims
            .iter()
            .enumerate()
            .filter_map(|(d, b)| b.map(|level| (level, d)))
            .collect();
        starts.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut starts = starts.into_iter().peekable();
        let mut open = vec![false; self.domains];
        let exceeds = |line: Line, until: Level| {
            (line.weight > 0)
                .then(|| line.reaches(allowed))
                .flatten()
                .filter(|level| level.cmp(&until) == Ordering::Less)
        };
        for index in &self.order {
            let cap = self.cap(*index);
            // A domain whose last node fills up exactly at the brim never goes beyond it, but
            // starting it there adds nothing either.
            while let Some((level, domain)) =
                starts.next_if(|(level, _)| level.cmp(&cap) != Ordering::Greater)
            {
                if let Some(found) = exceeds(line, level) {
                    return Some(found);
                }
                open[domain] = true;
                line.full += self.at_brim[domain].full - self.partitions;
                line.weight += self.at_brim[domain].weight;
            }
            if let Some(found) = exceeds(line, cap) {
                return Some(found);
            }
            let sharer = &self.sharers[*index as usize];
            if open[sharer.domain as usize] {
                line.full += i64::from(sharer.cap);
                line.weight -= i64::from(sharer.weight);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
