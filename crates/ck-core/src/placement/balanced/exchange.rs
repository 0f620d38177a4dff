//! Copies as a flow: which node may take over which copy, and at what cost.

use alloc::vec::Vec;

use crate::placement::balanced::flow::{Arcs, Balance, COST, FAR, Labels};
use crate::placement::balanced::problem::Problem;
use crate::placement::balanced::ranking::{Fit, Groups, Ranking};
use crate::placement::balanced::rows::Rows;

/// Takers looked at for one copy before the next copy is tried.
const WINDOW: usize = 32;

/// A new copy, as a label counts it.
pub(super) const MOVED: i64 = COST << 16;

/// A primary that its row loses though its node may keep it: less than any move, so that of equally
/// many moves those are made that leave primaries alone.
const EVICTED: i64 = COST;

/// Rows whose copies may change hands.
#[derive(Debug)]
pub(super) struct Exchange<'p, 'm> {
    pub(super) problem: &'p Problem<'m>,
    pub(super) rows: Rows,
    /// Nodes that need not give primaries away; none when moves alone count.
    guarded: Vec<bool>,
    /// The rows whose copies may change hands, or all.
    scope: Option<Vec<u32>>,
    /// Whether only copies that are new anyway may, at no cost.
    fresh: bool,
}

impl<'p, 'm> Exchange<'p, 'm> {
    /// Starts from rows in which surviving primaries lead.
    pub(super) fn new(problem: &'p Problem<'m>, rows: Rows) -> Self {
        Self {
            problem,
            rows,
            guarded: guards(problem),
            scope: None,
            fresh: false,
        }
    }

    /// Starts from rows that are close to the targets: only those that have new copies change, or
    /// else copies of a node above its target, and no copy goes back to where it came from. So no
    /// exchange has a cost below 0, whatever the rows.
    pub(super) fn close(problem: &'p Problem<'m>, rows: Rows, fresh: bool) -> Self {
        let above = |member: &u32| {
            let at = *member as usize;
            rows.counts[at] > problem.targets[at]
        };
        let near = |partition: &usize| {
            rows.touched[*partition] || (!fresh && rows.row(*partition).iter().any(above))
        };
        let near = (0..problem.partitions()).filter(near);
        let scope = Some(near.map(|partition| partition as u32).collect());
        Self {
            problem,
            guarded: guards(problem),
            rows,
            scope,
            fresh,
        }
    }

    /// From here on moves alone count.
    pub(super) fn count_moves_only(&mut self) {
        self.guarded.fill(false);
    }
}

impl Exchange<'_, '_> {
    /// How many rows are looked at.
    fn reach(&self) -> usize {
        let scope = self.scope.as_ref();
        scope.map_or(self.problem.partitions(), Vec::len)
    }

    #[inline]
    fn at(&self, number: usize) -> usize {
        let scope = self.scope.as_ref();
        scope.map_or(number, |scope| scope[number] as usize)
    }

    /// What a copy costs where it is.
    fn cost(&self, partition: usize, member: u32) -> i64 {
        let Some(old) = &self.problem.old else {
            return MOVED;
        };
        if old.primary(partition) == member {
            return if self.guarded[member as usize] {
                -EVICTED
            } else {
                0
            };
        }
        let fresh = self.rows.touched[partition] && !self.problem.had(partition, member);
        if fresh { MOVED } else { 0 }
    }

    /// Whether any node may take the copy at `place` as far as spread goes.
    fn is_free(&self, partition: usize, place: usize) -> bool {
        let need = usize::from(self.problem.needs.of(partition).domains);
        if need <= 1 {
            return true;
        }
        let row = self.rows.row(partition);
        let stay = row
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != place)
            .map(|(_, m)| *m);
        self.problem.spans(stay) >= need
    }

    /// The lowest label of a node that may newly take the copy at `place`.
    fn best_entrant(&self, ranking: &Ranking, partition: usize, place: usize) -> i64 {
        let row = self.rows.row(partition);
        if self.is_free(partition, place) {
            let best = ranking
                .order
                .iter()
                .find(|(_, member)| !row.contains(member));
            return best.map_or(FAR, |best| best.0);
        }
        // Every other copy is alone in its domain, so the entrant has to be in none of those.
        let domain = |member: u32| self.problem.domain[member as usize];
        let taken = |of: u32| {
            row.iter()
                .enumerate()
                .any(|(at, member)| at != place && domain(*member) == of)
        };
        let mut best = FAR;
        for top in &ranking.tops {
            if top[0].0 >= best {
                break;
            }
            if !taken(domain(top[0].1)) {
                best = best.min(if top[0].1 == row[place] {
                    top[1].0
                } else {
                    top[0].0
                });
            }
        }
        best
    }

    /// Surviving copies of a row that are not in it now.
    fn absent(&self, partition: usize) -> impl Iterator<Item = u32> + '_ {
        let row = self.rows.row(partition);
        let old = self.problem.old.as_ref();
        old.into_iter()
            .flat_map(move |old| old.survivors(partition))
            .filter(|m| !row.contains(m))
    }

    fn cheapest(&self, labels: &Labels, ranking: &Ranking, partition: usize, place: usize) -> i64 {
        let touched = self.rows.touched[partition];
        let member = self.rows.row(partition)[place];
        let paid = self.cost(partition, member);
        if self.fresh && paid < MOVED {
            return FAR;
        }
        let mut best = FAR;
        if touched && self.scope.is_none() {
            for back in self.absent(partition) {
                let label = labels.of[back as usize];
                if label < FAR && self.rows.may_replace(self.problem, partition, place, back) {
                    best = best.min(label + 1 + self.cost(partition, back) - paid);
                }
            }
        }
        let entry = self.best_entrant(ranking, partition, place);
        if entry < FAR {
            best.min(entry + 1 + MOVED - paid)
        } else {
            best
        }
    }
}

/// The nodes that need not give primaries away.
fn guards(problem: &Problem<'_>) -> Vec<bool> {
    let most = problem.lead_targets.iter();
    let led = problem.led_before.iter();
    led.zip(most).map(|(led, most)| led <= most).collect()
}

impl Arcs for Exchange<'_, '_> {
    fn relax(&self, labels: &mut Labels, attained: &mut [i64]) -> bool {
        let ranking = Ranking::new(self.problem, labels);
        let lowest = ranking.order.first().map_or(FAR, |first| first.0);
        let mut fell = false;
        for number in 0..self.reach() {
            let partition = self.at(number);
            let touched = self.rows.touched[partition];
            for (place, member) in self.rows.row(partition).iter().enumerate() {
                let present = labels.of[*member as usize];
                // What every row could offer at best; most rows stop here.
                if !touched && present < lowest + 1 + MOVED {
                    continue;
                }
                let found = self.cheapest(labels, &ranking, partition, place);
                if found < present {
                    labels.of[*member as usize] = found;
                    fell = true;
                }
                attained[*member as usize] += i64::from(found < FAR && found <= present);
            }
        }
        fell
    }

    fn push(&mut self, labels: &Labels, balance: &mut Balance) -> u64 {
        if !balance.any_gives(labels) {
            return 0;
        }
        let mut groups = Groups::new(&Ranking::new(self.problem, labels));
        for (gentle, window) in [(true, WINDOW), (false, WINDOW), (false, usize::MAX)] {
            let pushed = self.sweep(labels, balance, &mut groups, Sweep { gentle, window });
            if pushed > 0 {
                return pushed;
            }
        }
        0
    }

    fn effort(&self) -> u64 {
        self.reach() as u64
    }
}

/// How a sweep goes about it.
#[derive(Debug, Clone, Copy)]
struct Sweep {
    /// Leaves copies alone whose primary role would have to move though its node may keep it.
    gentle: bool,
    window: usize,
}

impl Exchange<'_, '_> {
    fn sweep(
        &mut self,
        labels: &Labels,
        balance: &mut Balance,
        groups: &mut Groups,
        how: Sweep,
    ) -> u64 {
        let mut pushed = 0;
        for number in 0..self.reach() {
            let partition = self.at(number);
            for place in 0..self.rows.row(partition).len() {
                let member = self.rows.row(partition)[place];
                if !balance.gives(member) || labels.of[member as usize] >= FAR {
                    continue;
                }
                let at = member as usize;
                let leads = self.rows.leads[partition] == member;
                let spares = self.rows.led[at] > self.problem.lead_targets[at];
                if how.gentle && leads && !spares {
                    continue;
                }
                let taker = self.taker(labels, balance, groups, (partition, place), how.window);
                let Some(taker) = taker else { continue };
                self.rows.replace(partition, place, taker);
                let at = taker as usize;
                if leads && self.rows.led[at] < self.problem.lead_targets[at] {
                    self.rows.lead(partition, taker);
                }
                balance.shift(member, taker);
                pushed += 1;
            }
        }
        pushed
    }

    fn taker(
        &self,
        labels: &Labels,
        balance: &Balance,
        groups: &mut Groups,
        (partition, place): (usize, usize),
        window: usize,
    ) -> Option<u32> {
        let row = self.rows.row(partition);
        let member = row[place];
        let touched = self.rows.touched[partition];
        if self.fresh && self.cost(partition, member) < MOVED {
            return None;
        }
        let target = labels.of[member as usize] - 1 + self.cost(partition, member);
        if touched && self.scope.is_none() {
            let back = self.absent(partition).find(|back| {
                labels.of[*back as usize] + self.cost(partition, *back) == target
                    && balance.takes(*back)
                    && self.rows.may_replace(self.problem, partition, place, *back)
            });
            if back.is_some() {
                return back;
            }
        }
        groups.find(target - MOVED, window, |entrant| {
            if !balance.takes(entrant) {
                return Fit::Never;
            }
            let fits = self
                .rows
                .may_replace(self.problem, partition, place, entrant);
            if fits { Fit::Yes } else { Fit::NotHere }
        })
    }
}
