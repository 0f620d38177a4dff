//! The quota again, round by round: raise the level to the next event, and see what it stops.

use alloc::vec;
use alloc::vec::Vec;

use crate::Fraction;

/// A node that takes a share: weight, most copies, failure domain.
pub(super) type Taker = (u32, u32, usize);

/// What there is to share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pot {
    pub(super) rows: u64,
    pub(super) copies: u64,
    pub(super) spare: u64,
}

/// The weighted max-min fair share of every taker.
pub(super) fn quota(takers: &[Taker], pot: Pot) -> Vec<Fraction> {
    let domains = takers.iter().map(|taker| taker.2 + 1).max().unwrap_or(0);
    let mut rise = Rise {
        takers,
        pot,
        level: Fraction::ZERO,
        stopped_at: vec![None; takers.len()],
        closed: vec![false; domains],
        whole: 0,
        exhausted: false,
    };
    while rise.next_event() {}
    let share = |(taker, stopped): (&Taker, &Option<Fraction>)| {
        let own = stopped.unwrap_or(rise.level);
        let grown = Fraction::new(own.numerator() * u128::from(taker.0), own.denominator());
        grown.min(Fraction::from(u64::from(taker.1)))
    };
    takers.iter().zip(&rise.stopped_at).map(share).collect()
}

/// A level that rises through its events: a node is full, all copies are handed out, the domains
/// beyond one copy a row use up what is spare (they stop), a domain reaches one copy a row (it stops
/// once nothing is spare).
struct Rise<'a> {
    takers: &'a [Taker],
    pot: Pot,
    level: Fraction,
    /// Where each taker stopped, once it has.
    stopped_at: Vec<Option<Fraction>>,
    /// Domains that stopped as a whole; together they hold `whole` copies.
    closed: Vec<bool>,
    whole: u64,
    /// Whether the spare copies are used up.
    exhausted: bool,
}

/// What a domain holds between two events: `full + level × weight`.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    full: u64,
    weight: u64,
}

impl Held {
    /// The level at which it holds `target`; `None` when it never does.
    fn reaches(self, target: u64) -> Option<Fraction> {
        let rest = u128::from(target.saturating_sub(self.full));
        match self.weight {
            0 => (self.full >= target).then_some(Fraction::ZERO),
            weight => Some(Fraction::new(rest, u128::from(weight))),
        }
    }
}

impl core::iter::Sum for Held {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            full: a.full + b.full,
            weight: a.weight + b.weight,
        })
    }
}

impl Rise<'_> {
    /// Raises the level to its next event; false when there is none, or all is handed out.
    fn next_event(&mut self) -> bool {
        let domains = self.domains();
        let brim = |at: usize| domains[at].reaches(self.pot.rows);
        let (over, under): (Vec<usize>, Vec<usize>) = (0..domains.len())
            .filter(|at| !self.closed[*at])
            .partition(|at| brim(*at).is_some_and(|brim| brim <= self.level));
        let growing = |held: Held, target: u64| {
            if held.weight > 0 {
                held.reaches(target)
            } else {
                None
            }
        };
        let all: Held = over.iter().chain(&under).map(|at| domains[*at]).sum();
        let done = growing(
            Held {
                full: all.full + self.whole,
                ..all
            },
            self.pot.copies,
        );
        let most = over.len() as u64 * self.pot.rows + self.pot.spare;
        let spent = growing(over.iter().map(|at| domains[*at]).sum(), most);
        let spent = spent.filter(|_| !self.exhausted);
        let fills = (0..self.takers.len())
            .filter(|at| self.stopped_at[*at].is_none())
            .map(|at| self.fills(at))
            .min();
        let next_brim = under.iter().filter_map(|at| brim(*at)).min();
        let events = [done, spent, fills, next_brim];
        let Some(next) = events.into_iter().flatten().min() else {
            return false;
        };
        self.level = next.max(self.level);
        if done == Some(self.level) {
            return false;
        }
        for at in 0..self.takers.len() {
            if self.stopped_at[at].is_none() && self.fills(at) == self.level {
                self.stopped_at[at] = Some(self.level);
            }
        }
        let spends = spent == Some(self.level);
        if spends || self.exhausted {
            // Domains that are full here stop together; only their sum is whole.
            self.whole += if spends { self.pot.spare } else { 0 };
            self.exhausted = true;
            let stops = |at: &usize| brim(*at).is_some_and(|brim| brim <= self.level);
            let stops: Vec<usize> = over.into_iter().chain(under).filter(stops).collect();
            stops.into_iter().for_each(|domain| self.close(domain));
        }
        true
    }

    /// The level at which a taker is full.
    fn fills(&self, at: usize) -> Fraction {
        Fraction::new(u128::from(self.takers[at].1), u128::from(self.takers[at].0))
    }

    fn domains(&self) -> Vec<Held> {
        let mut domains = vec![Held::default(); self.closed.len()];
        for (taker, stopped) in self.takers.iter().zip(&self.stopped_at) {
            match stopped {
                Some(_) => domains[taker.2].full += u64::from(taker.1),
                None => domains[taker.2].weight += u64::from(taker.0),
            }
        }
        domains
    }

    fn close(&mut self, domain: usize) {
        self.closed[domain] = true;
        self.whole += self.pot.rows;
        for (taker, stopped) in self.takers.iter().zip(&mut self.stopped_at) {
            if taker.2 == domain && stopped.is_none() {
                *stopped = Some(self.level);
            }
        }
    }
}
