//! Members that lack copies, by failure domain, so that a slot finds a taker in a few steps.

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::balanced::problem::Problem;
use crate::placement::balanced::rows::Rows;

/// Domains looked at for one slot; beyond that the next slot starts where this one ended.
const WINDOW: usize = 64;

/// How many more each member takes.
#[derive(Debug)]
pub(super) struct Wants {
    lacks: Vec<u32>,
    /// Members that lack something, by domain.
    takers: Vec<Vec<u32>>,
    /// What the members of each domain lack together.
    sums: Vec<u64>,
    /// Domains with takers.
    live: Vec<u32>,
    next: usize,
}

impl Wants {
    pub(super) fn new(domain: &[u32], domains: u32, lacks: Vec<u32>) -> Self {
        let mut takers = vec![Vec::new(); domains as usize];
        let mut sums = vec![0_u64; domains as usize];
        for (member, lack) in lacks.iter().enumerate().filter(|(_, lack)| **lack > 0) {
            takers[domain[member] as usize].push(member as u32);
            sums[domain[member] as usize] += u64::from(*lack);
        }
        let live = (0..domains).filter(|d| sums[*d as usize] > 0).collect();
        Self {
            lacks,
            takers,
            sums,
            live,
            next: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Takes one copy for the member that may have it and whose domain lacks most.
    ///
    /// `domain_fits` and `fits` must refuse only a few, or all: each domain is asked for few members.
    pub(super) fn take(
        &mut self,
        domain_fits: impl Fn(u32) -> bool,
        fits: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let mut best: Option<(u64, usize, usize)> = None;
        let count = self.live.len();
        let mut seen = 0;
        for step in 0..count {
            let at = (self.next + step) % count;
            let domain = self.live[at];
            if !domain_fits(domain) || best.is_some_and(|b| b.0 >= self.sums[domain as usize]) {
                continue;
            }
            let takers = &self.takers[domain as usize];
            if let Some(place) = takers.iter().rposition(|member| fits(*member)) {
                best = Some((self.sums[domain as usize], at, place));
                seen += 1;
            }
            if seen >= WINDOW {
                break;
            }
        }
        let (_, at, place) = best?;
        self.next = at;
        Some(self.settle(at, place))
    }

    /// Takes one copy for a free slot of a row.
    pub(super) fn take_for(
        &mut self,
        problem: &Problem<'_>,
        rows: &Rows,
        partition: usize,
    ) -> Option<u32> {
        let row = rows.row(partition);
        let fits = |domain| rows.has_room_for(problem, partition, domain);
        self.take(fits, |member| !row.contains(&member))
    }

    fn settle(&mut self, at: usize, place: usize) -> u32 {
        let domain = self.live[at] as usize;
        let member = self.takers[domain][place];
        self.sums[domain] -= 1;
        self.lacks[member as usize] -= 1;
        if self.lacks[member as usize] == 0 {
            self.takers[domain].swap_remove(place);
        } else {
            // The next slot starts with another member, so that partners are mixed.
            let last = self.takers[domain].len() - 1;
            self.takers[domain].swap(place, last / 2);
        }
        if self.takers[domain].is_empty() {
            self.live.swap_remove(at);
            self.next = 0;
        }
        member
    }
}
