//! Minimum-cost flow on the graph of nodes, by labels and unit pushes.
//!
//! Rows are always valid; only counts can be outside their boxes. Giving a copy of row p from u to
//! v moves one unit of excess from u to v, at a cost of −1, 0 or +1 new copies. Starting from rows
//! that are each of least cost by themselves, pushing excess only along shortest paths to a
//! deficit keeps the whole of least cost for its counts (the primal-dual method for minimum-cost
//! flow, in Ahuja, Magnanti and Orlin, *Network Flows*, §9.8; rows are bases of a matroid, so single
//! exchanges suffice, as in Frank, *A weighted matroid intersection algorithm*, 1981). When no
//! excess is left, no plan has a lower cost.
//!
//! A last vertex, the *pool*, stands for the freedom inside the boxes: a node that may hold more
//! gives excess to it, a node that may hold less takes excess from it.

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::targets::Boxes;

/// A label counts cost in steps of this, hops below it, so that paths of equal cost are short.
pub(super) const COST: i64 = 1 << 20;

/// No path.
pub(super) const FAR: i64 = i64::MAX / 4;

/// For every vertex the cost of the cheapest path to a deficit; of equally cheap ones the shortest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) of: Vec<i64>,
}

/// How far counts are from their boxes.
#[derive(Debug, Clone)]
pub(super) struct Balance {
    low: Vec<u32>,
    high: Vec<u32>,
    /// What of its count each node keeps: its count where the box allows it.
    keeps: Vec<u32>,
    /// Count minus what is kept; the last entry is the pool's.
    excess: Vec<i64>,
    /// Units that each vertex may still take at the present labels.
    room: Vec<i64>,
}

/// The arcs between nodes.
pub(super) trait Arcs {
    /// Called before anything else is asked, and only if there is something to move.
    fn start(&mut self) {}

    /// Lowers labels by one more arc, and counts for each node the rows that attain its label.
    /// Returns whether any label fell.
    fn relax(&self, labels: &mut Labels, attained: &mut [i64]) -> bool;

    /// Pushes excess along arcs that lie on shortest paths. Returns the units pushed.
    fn push(&mut self, labels: &Labels, balance: &mut Balance) -> u64;

    /// What one pass over all arcs costs, in rows visited.
    fn effort(&self) -> u64;
}

/// How a settlement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// All counts are in their boxes, at the least cost.
    Done,
    /// No path leads from an excess to a deficit: the boxes cannot be met.
    Stuck,
    /// The work budget is used up.
    Stopped,
}

impl Balance {
    pub(super) fn new(counts: &[u32], boxes: &Boxes) -> Self {
        let nodes = counts.len();
        let keeps: Vec<u32> = (0..nodes)
            .map(|at| counts[at].clamp(boxes.low[at], boxes.high[at]))
            .collect();
        let mut excess: Vec<i64> = (0..nodes)
            .map(|at| i64::from(counts[at]) - i64::from(keeps[at]))
            .collect();
        excess.push(-excess.iter().sum::<i64>());
        Self {
            low: boxes.low.clone(),
            high: boxes.high.clone(),
            keeps,
            excess,
            room: vec![0; nodes + 1],
        }
    }

    fn pool(&self) -> usize {
        self.keeps.len()
    }

    /// Whether a vertex has something to give.
    #[inline]
    pub(super) fn gives(&self, vertex: u32) -> bool {
        self.excess[vertex as usize] > 0
    }

    /// Whether any node has something to give that has a way to go.
    pub(super) fn any_gives(&self, labels: &Labels) -> bool {
        let nodes = self.excess.iter().zip(&labels.of).take(self.pool());
        nodes
            .into_iter()
            .any(|(excess, label)| *excess > 0 && *label < FAR)
    }

    /// Whether a vertex can use another unit, or pass it on.
    #[inline]
    pub(super) fn takes(&self, vertex: u32) -> bool {
        self.room[vertex as usize] > 0
    }

    /// Moves one unit.
    pub(super) fn shift(&mut self, from: u32, to: u32) {
        self.excess[from as usize] -= 1;
        self.excess[to as usize] += 1;
        self.room[to as usize] -= 1;
    }

    fn is_even(&self) -> bool {
        self.excess.iter().all(|excess| *excess == 0)
    }

    fn relax_pool(&self, labels: &mut Labels) -> bool {
        let pool = self.pool();
        let mut fell = false;
        for at in 0..pool {
            if self.keeps[at] > self.low[at] && labels.of[at] + 1 < labels.of[pool] {
                labels.of[pool] = labels.of[at] + 1;
                fell = true;
            }
        }
        for at in 0..pool {
            if self.keeps[at] < self.high[at] && labels.of[pool] + 1 < labels.of[at] {
                labels.of[at] = labels.of[pool] + 1;
                fell = true;
            }
        }
        fell
    }

    fn push_pool(&mut self, labels: &Labels) -> u64 {
        let pool = self.pool();
        let mut pushed = 0;
        for at in 0..pool {
            while self.excess[at] > 0
                && self.keeps[at] < self.high[at]
                && labels.of[at] == labels.of[pool] + 1
                && self.room[pool] > 0
            {
                self.keeps[at] += 1;
                self.shift(at as u32, pool as u32);
                pushed += 1;
            }
        }
        for at in 0..pool {
            while self.excess[pool] > 0
                && self.keeps[at] > self.low[at]
                && labels.of[pool] == labels.of[at] + 1
                && self.room[at] > 0
            {
                self.keeps[at] -= 1;
                self.shift(pool as u32, at as u32);
                pushed += 1;
            }
        }
        pushed
    }

    /// What each vertex may take: what it lacks, else as much as it can pass on.
    fn set_room(&mut self, labels: &Labels, attained: &[i64]) {
        let pool = self.pool();
        let mut pooled = 0;
        for (at, attained) in attained.iter().enumerate().take(pool) {
            let mut out = *attained;
            if labels.of[at] == labels.of[pool].saturating_add(1) {
                out += i64::from(self.high[at] - self.keeps[at]);
            }
            if labels.of[pool] == labels.of[at].saturating_add(1) {
                pooled += i64::from(self.keeps[at] - self.low[at]);
            }
            self.room[at] = if self.excess[at] < 0 {
                -self.excess[at]
            } else {
                out
            };
            self.room[at] -= self.excess[at].max(0);
        }
        let lacks = -self.excess[pool];
        self.room[pool] = if lacks > 0 { lacks } else { pooled + lacks };
    }
}

/// Labels from all deficits, by rounds of relaxation; `None` when the budget ends first.
fn label(
    arcs: &impl Arcs,
    balance: &Balance,
    attained: &mut [i64],
    budget: &mut u64,
) -> Option<Labels> {
    let start = |excess: &i64| if *excess < 0 { 0 } else { FAR };
    let mut labels = Labels {
        of: balance.excess.iter().map(start).collect(),
    };
    loop {
        *budget = budget.checked_sub(arcs.effort())?;
        attained.fill(0);
        let pool = balance.relax_pool(&mut labels);
        let rows = arcs.relax(&mut labels, attained);
        if !rows && !pool {
            return Some(labels);
        }
    }
}

/// Moves excess to deficits along shortest paths until there is none.
pub(super) fn settle(arcs: &mut impl Arcs, balance: &mut Balance, budget: &mut u64) -> Settled {
    let mut attained = vec![0; balance.excess.len()];
    loop {
        if balance.is_even() {
            return Settled::Done;
        }
        arcs.start();
        let Some(labels) = label(arcs, balance, &mut attained, budget) else {
            return Settled::Stopped;
        };
        let reaches = |(at, excess): (usize, &i64)| *excess > 0 && labels.of[at] < FAR;
        if !balance.excess.iter().enumerate().any(reaches) {
            return Settled::Stuck;
        }
        balance.set_room(&labels, &attained);
        loop {
            let Some(rest) = budget.checked_sub(arcs.effort()) else {
                return Settled::Stopped;
            };
            *budget = rest;
            let pushed = arcs.push(&labels, balance) + balance.push_pool(&labels);
            if pushed == 0 {
                break;
            }
        }
    }
}
