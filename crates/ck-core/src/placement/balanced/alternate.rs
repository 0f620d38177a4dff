//! Fewer primary changes by other rows that cost no more moves.
//!
//! A *state* (i, j) says: node i holds one copy too many, node j one primary too many. Exchanging a
//! copy, handing over a role, or both in one row leads from state to state; a closed walk leaves all
//! counts as they are. A closed walk that moves no more copies and changes fewer primaries is a
//! negative cycle for the cost (moves, changes) in lexicographic order, found by label correcting
//! with a look for cycles among the predecessors (Cherkassky and Goldberg, *Negative-cycle detection
//! algorithms*, 1999). Exchanges of one walk that meet in a row can spoil each other, so each walk is
//! tried and taken back when it does not gain what it promised.

mod walk;

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::balanced::problem::{NONE, Problem};
use crate::placement::balanced::rows::Rows;

/// A moved copy, in units of a changed primary: more than all primaries together.
const MOVED: i64 = 1 << 32;

/// States looked up in one round of label correcting, at most.
const ROUND: usize = 20_000_000;

/// States looked up in all rounds, at most.
const SEARCH: u64 = 60_000_000;

/// Walks that were tried in vain before the search is given up.
const FAILURES: usize = 24;

/// One change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    row: u32,
    /// The copy that leaves, and the one that enters; both [`NONE`] when only the role moves.
    leaves: u32,
    enters: u32,
    /// The primary afterwards.
    leads: u32,
}

/// The search for walks that gain something.
struct Search<'p, 'm> {
    problem: &'p Problem<'m>,
    rows: &'p mut Rows,
    scope: Vec<u32>,
    /// Rows left out because walks met there.
    barred: Vec<bool>,
    /// Vertices in one coordinate: the members, and the freedom inside their boxes.
    side: usize,
    cost: Vec<i64>,
    from: Vec<(u32, Option<Step>)>,
    /// The least cost of a state by its first coordinate, and by its second.
    low: Vec<i64>,
    low_lead: Vec<i64>,
    /// States looked up so far.
    looked: u64,
}

/// The fewest primary changes there can be, from the counts alone.
fn changes_least(problem: &Problem<'_>) -> u64 {
    let surplus = |(led, most): (&u32, &u32)| u64::from(led.saturating_sub(*most));
    let led = problem.led_before.iter();
    led.zip(&problem.lead_targets).map(surplus).sum()
}

/// Changes that could have been avoided: surviving primaries that do not lead any more.
fn changes(problem: &Problem<'_>, rows: &Rows) -> u64 {
    let Some(old) = &problem.old else { return 0 };
    let survivors = (0..problem.partitions()).map(|partition| (partition, old.primary(partition)));
    survivors
        .filter(|(at, before)| *before != NONE && rows.leads[*at] != *before)
        .count() as u64
}

/// Exchanges copies and roles while that lowers the number of changed primaries.
pub(super) fn improve(problem: &Problem<'_>, rows: &mut Rows, budget: u64) {
    let least = changes_least(problem);
    if changes(problem, rows) <= least {
        return;
    }
    let mut allowance = budget.min(SEARCH);
    let side = problem.nodes() + 1;
    if side.saturating_mul(side) > ROUND / 64 {
        return;
    }
    let scope = scope(problem, rows, side);
    let barred = vec![false; problem.partitions()];
    let (cost, from) = (vec![0; side * side], vec![(NONE, None); side * side]);
    let mut search = Search {
        problem,
        rows,
        scope,
        barred,
        side,
        cost,
        from,
        low: vec![0; side],
        low_lead: vec![0; side],
        looked: 0,
    };
    let mut failures = 0;
    while failures < FAILURES && changes(problem, search.rows) > least {
        let Some(walk) = search.walk(&mut allowance) else {
            return;
        };
        if !search.follow(&walk) {
            failures += 1;
            search.bar(&walk);
        }
    }
}

/// Rows to look at: those whose copies or roles have moved, then others while there is time.
fn scope(problem: &Problem<'_>, rows: &Rows, side: usize) -> Vec<u32> {
    let width = usize::from(problem.members.spec.replication_factor());
    let most = ROUND / (width * side * side).max(1);
    let moved = |at: &usize| {
        let before = problem.old.as_ref().map_or(NONE, |old| old.primary(*at));
        rows.touched[*at] || rows.leads[*at] != before
    };
    let (first, rest): (Vec<usize>, Vec<usize>) = (0..problem.partitions()).partition(moved);
    let mut scope: Vec<u32> = first.into_iter().take(most).map(|at| at as u32).collect();
    let left = most - scope.len();
    let stride = rest.len().div_ceil(left.max(1)).max(1);
    scope.extend(
        rest.into_iter()
            .step_by(stride)
            .take(left)
            .map(|at| at as u32),
    );
    scope
}

impl Search<'_, '_> {
    /// A closed walk of negative cost, as the steps to take.
    fn walk(&mut self, budget: &mut u64) -> Option<Vec<Step>> {
        self.cost.fill(0);
        self.from.fill((NONE, None));
        self.low.fill(0);
        self.low_lead.fill(0);
        loop {
            let looked = core::mem::take(&mut self.looked) + (self.side * self.side) as u64;
            *budget = budget.checked_sub(looked)?;
            let mut fell = self.relax_boxes();
            for at in 0..self.scope.len() {
                let row = self.scope[at];
                if !self.barred[row as usize] {
                    fell |= self.relax_row(row);
                }
            }
            if !fell {
                return None;
            }
            if let Some(walk) = self.closed() {
                return Some(walk);
            }
        }
    }

    fn lower(
        &mut self,
        from: (usize, usize),
        to: (usize, usize),
        cost: i64,
        step: Option<Step>,
    ) -> bool {
        let state = to;
        let (from, to) = (from.0 * self.side + from.1, to.0 * self.side + to.1);
        let reach = self.cost[from] + cost;
        let falls = reach < self.cost[to];
        if falls {
            self.cost[to] = reach;
            self.from[to] = (from as u32, step);
            self.low[state.0] = self.low[state.0].min(reach);
            self.low_lead[state.1] = self.low_lead[state.1].min(reach);
        }
        falls
    }

    /// Whether any state of the first coordinate `to` falls by an arc from that of `from`; no branch
    /// inside, as almost always none does.
    fn falls(&self, from: usize, to: usize, cost: i64) -> bool {
        let states = |at: usize| &self.cost[at * self.side..][..self.side];
        let pairs = states(from).iter().zip(states(to));
        pairs.fold(false, |any, (a, b)| any | (*a + cost < *b))
    }

    /// The freedom inside the boxes: a surplus that a box admits needs no further exchange.
    fn relax_boxes(&mut self) -> bool {
        let pool = self.side - 1;
        let mut fell = false;
        for at in 0..pool {
            let (count, led) = (self.rows.counts[at], self.rows.led[at]);
            let (boxes, lead_boxes) = (&self.problem.boxes, &self.problem.lead_boxes);
            let arcs = [
                (count < boxes.high[at], count > boxes.low[at]),
                (led < lead_boxes.high[at], led > lead_boxes.low[at]),
            ];
            for other in 0..self.side {
                let pairs = [((at, other), (pool, other)), ((other, at), (other, pool))];
                for ((into, out), (a, b)) in arcs.into_iter().zip(pairs) {
                    fell |= into && self.lower(a, b, 0, None);
                    fell |= out && self.lower(b, a, 0, None);
                }
            }
        }
        fell
    }

    /// What it costs in changed primaries to make `leads` the primary of a row.
    fn change(&self, row: u32, leads: u32) -> i64 {
        let before = self
            .problem
            .old
            .as_ref()
            .map_or(NONE, |old| old.primary(row as usize));
        i64::from(before != NONE && before != leads)
    }

    fn relax_row(&mut self, row: u32) -> bool {
        let partition = row as usize;
        let lead = self.rows.leads[partition];
        if lead == NONE {
            return false;
        }
        let mut members = [NONE; 16];
        let width = self.rows.row(partition).len();
        members[..width].copy_from_slice(self.rows.row(partition));
        let members = &members[..width];
        let paid = self.change(row, lead);
        let l = lead as usize;
        let mut fell = false;
        for heir in members.iter().copied().filter(|member| *member != lead) {
            let step = Step {
                row,
                leaves: NONE,
                enters: NONE,
                leads: heir,
            };
            let cost = self.change(row, heir) - paid;
            if self.low_lead[l] + cost >= 0 {
                continue;
            }
            self.looked += self.side as u64;
            for i in 0..self.side {
                fell |= self.lower((i, l), (i, heir as usize), cost, Some(step));
            }
        }
        for (place, leaves) in members.iter().copied().enumerate() {
            let given = i64::from(!self.problem.had(partition, leaves));
            let mut enter = |search: &mut Self, enters: u32, had: bool| {
                let moves = (i64::from(!had) - given) * MOVED;
                // No state can fall to what is not below 0.
                if search.low[leaves as usize] + moves - paid >= 0
                    || !search
                        .rows
                        .may_replace(search.problem, partition, place, enters)
                {
                    return;
                }
                fell |= search.relax_exchange(row, (leaves, enters), (lead, paid), moves, members);
            };
            for back in self.problem.survivors(partition) {
                enter(self, back, true);
            }
            if self.low[leaves as usize] + (1 - given) * MOVED - paid >= 0 {
                continue;
            }
            for enters in 0..self.problem.nodes() as u32 {
                if self.problem.open(enters) && !self.problem.had(partition, enters) {
                    enter(self, enters, false);
                }
            }
        }
        fell
    }

    /// All states that the exchange of one copy leads to.
    fn relax_exchange(
        &mut self,
        row: u32,
        (leaves, enters): (u32, u32),
        (lead, paid): (u32, i64),
        moves: i64,
        members: &[u32],
    ) -> bool {
        let (out, into, l) = (leaves as usize, enters as usize, lead as usize);
        let step = |leads| {
            Some(Step {
                row,
                leaves,
                enters,
                leads,
            })
        };
        // The newcomer takes the role from whoever has it.
        let taken = moves + self.change(row, enters) - paid;
        let mut fell = self.lower((out, l), (into, into), taken, step(enters));
        self.looked += 1;
        if leaves != lead {
            if self.low[out] + moves >= 0 {
                return fell;
            }
            self.looked += self.side as u64 / 8;
            if self.falls(out, into, moves) {
                self.looked += self.side as u64;
                for j in 0..self.side {
                    fell |= self.lower((out, j), (into, j), moves, step(lead));
                }
            }
            return fell;
        }
        for heir in members.iter().copied().filter(|member| *member != lead) {
            let cost = moves + self.change(row, heir) - paid;
            fell |= self.lower((out, l), (into, heir as usize), cost, step(heir));
        }
        fell
    }

    /// A cycle among the predecessors, in the order in which it is walked.
    fn closed(&self) -> Option<Vec<Step>> {
        let mut seen = vec![0_u32; self.from.len()];
        for start in 0..self.from.len() {
            let mark = start as u32 + 1;
            let mut at = start as u32;
            while at != NONE && seen[at as usize] == 0 {
                seen[at as usize] = mark;
                at = self.from[at as usize].0;
            }
            if at == NONE || seen[at as usize] != mark {
                continue;
            }
            let (mut walk, end) = (Vec::new(), at);
            loop {
                let (before, step) = self.from[at as usize];
                walk.extend(step);
                at = before;
                if at == end {
                    walk.reverse();
                    return Some(walk);
                }
            }
        }
        None
    }
}
