//! Members in order of label: who enters a row at what cost.

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::balanced::flow::{FAR, Labels};
use crate::placement::balanced::problem::{NONE, Problem};

/// Open members in order of label: the best entrants of a row.
#[derive(Debug)]
pub(super) struct Ranking {
    /// Members that reach a deficit, cheapest first.
    pub(super) order: Vec<(i64, u32)>,
    /// For every domain with such members its two best, in order of the best.
    pub(super) tops: Vec<[(i64, u32); 2]>,
}

impl Ranking {
    pub(super) fn new(problem: &Problem<'_>, labels: &Labels) -> Self {
        let mut order: Vec<(i64, u32)> = (0..problem.nodes() as u32)
            .filter(|member| problem.open(*member))
            .map(|member| (labels.of[member as usize], member))
            .filter(|(label, _)| *label < FAR)
            .collect();
        order.sort_unstable();
        let mut place = vec![usize::MAX; problem.members.domains as usize];
        let mut tops: Vec<[(i64, u32); 2]> = Vec::new();
        for entry in &order {
            let place = &mut place[problem.domain[entry.1 as usize] as usize];
            match tops.get_mut(*place) {
                None => {
                    *place = tops.len();
                    tops.push([*entry, (FAR, NONE)]);
                }
                Some(top) if top[1].1 == NONE => top[1] = *entry,
                Some(_) => {}
            }
        }
        Self { order, tops }
    }
}

/// Whether a member takes a copy.
pub(super) enum Fit {
    Yes,
    NotHere,
    /// It takes nothing any more at these labels.
    Never,
}

/// Members of equal label, those that still take something.
pub(super) struct Groups {
    labels: Vec<i64>,
    members: Vec<Vec<u32>>,
    next: Vec<usize>,
}

impl Groups {
    pub(super) fn new(ranking: &Ranking) -> Self {
        let mut groups = Self {
            labels: Vec::new(),
            members: Vec::new(),
            next: Vec::new(),
        };
        for (label, member) in &ranking.order {
            if groups.labels.last() != Some(label) {
                groups.labels.push(*label);
                groups.members.push(Vec::new());
                groups.next.push(0);
            }
            if let Some(members) = groups.members.last_mut() {
                members.push(*member);
            }
        }
        groups
    }

    pub(super) fn find(
        &mut self,
        label: i64,
        window: usize,
        fits: impl Fn(u32) -> Fit,
    ) -> Option<u32> {
        let group = self.labels.binary_search(&label).ok()?;
        let (members, next) = (&mut self.members[group], &mut self.next[group]);
        let mut looked = 0;
        while looked < window.min(members.len()) {
            if *next >= members.len() {
                *next = 0;
            }
            match fits(members[*next]) {
                Fit::Yes => {
                    let found = members[*next];
                    *next += 1;
                    return Some(found);
                }
                Fit::NotHere => {
                    *next += 1;
                    looked += 1;
                }
                Fit::Never => {
                    members.swap_remove(*next);
                }
            }
        }
        None
    }
}
