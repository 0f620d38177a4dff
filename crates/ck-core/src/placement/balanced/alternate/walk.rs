//! A closed walk, tried on the rows.

use alloc::vec::Vec;

use super::{MOVED, Search, Step};
use crate::placement::balanced::problem::NONE;

impl Search<'_, '_> {
    /// Takes the steps; takes them back and says false unless they gain something.
    pub(super) fn follow(&mut self, walk: &[Step]) -> bool {
        let before = self.worth(walk);
        let mut undo: Vec<Step> = Vec::with_capacity(walk.len());
        let mut whole = true;
        for step in walk {
            match self.take(step) {
                Some(back) => undo.push(back),
                None => {
                    whole = false;
                    break;
                }
            }
        }
        let boxes = self.problem.boxes.holds(&self.rows.counts);
        let kept = boxes && self.problem.lead_boxes.holds(&self.rows.led);
        if whole && kept && self.worth(walk) < before {
            return true;
        }
        for step in undo.iter().rev() {
            self.put(step);
        }
        false
    }

    /// Moves and changes of the rows of a walk, each row counted once.
    fn worth(&self, walk: &[Step]) -> i64 {
        let mut rows: Vec<u32> = walk.iter().map(|step| step.row).collect();
        rows.sort_unstable();
        rows.dedup();
        let cost = |row: u32| {
            let at = row as usize;
            let moved = self
                .rows
                .row(at)
                .iter()
                .filter(|m| !self.problem.had(at, **m))
                .count();
            moved as i64 * MOVED + self.change(row, self.rows.leads[at])
        };
        rows.into_iter().map(cost).sum()
    }

    /// Takes one step if the row as it is now admits it; returns the step back.
    fn take(&mut self, step: &Step) -> Option<Step> {
        let at = step.row as usize;
        let lead = self.rows.leads[at];
        if step.leaves != NONE {
            let place = self
                .rows
                .row(at)
                .iter()
                .position(|member| *member == step.leaves)?;
            if !self.rows.may_replace(self.problem, at, place, step.enters) {
                return None;
            }
        }
        let stays = step.leads == step.enters || step.leads != step.leaves;
        let present = step.leads == step.enters || self.rows.row(at).contains(&step.leads);
        if !stays || !present {
            return None;
        }
        self.put(step);
        Some(Step {
            row: step.row,
            leaves: step.enters,
            enters: step.leaves,
            leads: lead,
        })
    }

    fn put(&mut self, step: &Step) {
        let at = step.row as usize;
        if step.leaves != NONE {
            let place = self
                .rows
                .row(at)
                .iter()
                .position(|member| *member == step.leaves);
            let place = place.expect("a step is taken only where its copy is");
            self.rows.replace(at, place, step.enters);
        }
        self.rows.lead(at, step.leads);
    }

    /// Leaves out a row in which a walk met itself, or else its first.
    pub(super) fn bar(&mut self, walk: &[Step]) {
        let met = walk
            .iter()
            .enumerate()
            .find(|(at, step)| walk[..*at].iter().any(|earlier| earlier.row == step.row));
        if let Some(step) = met.map(|met| met.1).or(walk.first()) {
            self.barred[step.row as usize] = true;
        }
    }
}
