//! Rows while they are being planned, always valid where every slot is filled.

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::balanced::problem::{NONE, Problem};

/// The rows, who leads each, and how much every member holds.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    width: usize,
    cells: Vec<u32>,
    /// Primary of each row, or [`NONE`] while it has none.
    pub(super) leads: Vec<u32>,
    /// Copies on each member.
    pub(super) counts: Vec<u32>,
    /// Primaries on each member.
    pub(super) led: Vec<u32>,
    /// Rows whose copies are not exactly the surviving ones.
    pub(super) touched: Vec<bool>,
}

impl Rows {
    pub(super) fn empty(problem: &Problem<'_>) -> Self {
        let width = usize::from(problem.members.spec.replication_factor());
        let (rows, nodes) = (problem.partitions(), problem.nodes());
        Self {
            width,
            cells: vec![NONE; rows * width],
            leads: vec![NONE; rows],
            counts: vec![0; nodes],
            led: vec![0; nodes],
            touched: vec![false; rows],
        }
    }

    /// Cells of a row, used or not.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// The copies of a row.
    #[inline]
    pub(super) fn row(&self, partition: usize) -> &[u32] {
        let cells = &self.cells[partition * self.width..][..self.width];
        let used = cells
            .iter()
            .position(|cell| *cell == NONE)
            .unwrap_or(self.width);
        &cells[..used]
    }

    /// Puts one more copy behind the last one of a row.
    pub(super) fn push(&mut self, partition: usize, member: u32) {
        let at = partition * self.width + self.row(partition).len();
        self.cells[at] = member;
        self.counts[member as usize] += 1;
    }

    /// Fills an empty row.
    pub(super) fn copy(&mut self, partition: usize, members: &[u32]) {
        self.cells[partition * self.width..][..members.len()].copy_from_slice(members);
        for member in members {
            self.counts[*member as usize] += 1;
        }
    }

    /// Replaces the copy at a position. A primary that leaves leaves the row without one.
    pub(super) fn replace(&mut self, partition: usize, place: usize, member: u32) {
        let cell = &mut self.cells[partition * self.width + place];
        let left = core::mem::replace(cell, member);
        self.counts[left as usize] -= 1;
        self.counts[member as usize] += 1;
        self.touched[partition] = true;
        if self.leads[partition] == left {
            self.lead(partition, NONE);
        }
    }

    /// Makes `member` the primary of a row, or nobody.
    pub(super) fn lead(&mut self, partition: usize, member: u32) {
        let before = core::mem::replace(&mut self.leads[partition], member);
        if before != NONE {
            self.led[before as usize] -= 1;
        }
        if member != NONE {
            self.led[member as usize] += 1;
        }
    }

    /// Exchanges two copies of two rows.
    pub(super) fn exchange(&mut self, a: (usize, usize), b: (usize, usize)) {
        self.cells
            .swap(a.0 * self.width + a.1, b.0 * self.width + b.1);
    }

    /// Whether the row stays spread far enough when the copy at `place` goes to `enter`.
    #[inline]
    pub(super) fn may_replace(
        &self,
        problem: &Problem<'_>,
        partition: usize,
        place: usize,
        enter: u32,
    ) -> bool {
        let row = self.row(partition);
        if row.contains(&enter) {
            return false;
        }
        let need = usize::from(problem.needs.of(partition).domains);
        if need <= 1 || problem.domain[enter as usize] == problem.domain[row[place] as usize] {
            return true;
        }
        let after = row
            .iter()
            .enumerate()
            .map(|(at, m)| if at == place { enter } else { *m });
        problem.spans(after) >= need
    }

    /// Whether a further copy in that domain leaves room for the domains that are still missing.
    pub(super) fn has_room_for(
        &self,
        problem: &Problem<'_>,
        partition: usize,
        domain: u32,
    ) -> bool {
        let need = problem.needs.of(partition);
        if need.domains <= 1 {
            return true;
        }
        let row = self.row(partition);
        let taken = row
            .iter()
            .any(|member| problem.domain[*member as usize] == domain);
        let spans = problem.spans(row.iter().copied()) + usize::from(!taken);
        let missing = usize::from(need.domains).saturating_sub(spans);
        row.len() + 1 + missing <= usize::from(need.copies)
    }

    /// Cells in the order in which they are published: primary first, then copies that were there
    /// before in their old order, then new ones.
    pub(super) fn into_cells(mut self, problem: &Problem<'_>) -> Vec<u32> {
        let mut row = Vec::with_capacity(self.width);
        for partition in 0..self.leads.len() {
            let lead = self.leads[partition];
            // Surviving copies, and those of a first placement, are in order but for the primary.
            if !self.touched[partition] && self.cells[partition * self.width] == lead {
                continue;
            }
            row.clear();
            row.extend_from_slice(self.row(partition));
            let rank = |member: u32| match &problem.old {
                _ if member == lead => 0,
                Some(old) => {
                    1 + old
                        .row(partition)
                        .iter()
                        .position(|m| *m == member)
                        .unwrap_or(usize::MAX - 1)
                }
                None => 1,
            };
            row.sort_by_key(|member| rank(*member));
            self.cells[partition * self.width..][..row.len()].copy_from_slice(&row);
        }
        self.cells
    }
}
