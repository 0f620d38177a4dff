//! Which copy each transfer reads: no node gives more than it must in the fewest rounds.

use alloc::vec;
use alloc::vec::Vec;

use super::{Bound, Limits};
use crate::PartitionId;

/// Transfers to be made, and the live copies each may read.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// (position of the row among those with transfers, target).
    pub(super) transfers: Vec<(u32, u32)>,
    /// The partition of each such row.
    pub(super) partitions: Vec<PartitionId>,
    /// Where the sources of each such row begin in `options`; one more at the end.
    pub(super) starts: Vec<usize>,
    pub(super) options: Vec<u32>,
}

/// A source for each transfer, and the rounds that takes.
pub(super) struct Choice {
    pub(super) sources: Vec<u32>,
    pub(super) rounds: u32,
    pub(super) bound: Bound,
}

impl Wanted {
    pub(super) fn of(&self, transfer: usize) -> &[u32] {
        let row = self.transfers[transfer].0 as usize;
        &self.options[self.starts[row]..self.starts[row + 1]]
    }

    /// Chooses sources by augmenting paths in blocking phases (Dinic), from a balanced start.
    pub(super) fn choose(&self, nodes: usize, limits: Limits) -> Choice {
        let mut incoming = vec![0_u32; nodes];
        for (_, target) in &self.transfers {
            incoming[*target as usize] += 1;
        }
        let busiest = (0..nodes).max_by_key(|node| incoming[*node]).unwrap_or(0);
        let most = incoming.get(busiest).copied().unwrap_or(0);
        let mut rounds = most.div_ceil(limits.incoming.get());
        let mut bound = Bound::Incoming(busiest as u32);
        let mut flow = Flow::new(self, nodes);
        loop {
            let cap = u64::from(rounds) * u64::from(limits.outgoing.get());
            let Some(closed) = flow.relieve(cap) else {
                return Choice {
                    sources: flow.sources,
                    rounds,
                    bound,
                };
            };
            let load: u64 = closed.iter().map(|node| flow.load[*node as usize]).sum();
            let room = closed.len() as u64 * u64::from(limits.outgoing.get());
            // More than `rounds`, since every one of them is full and one is more than that.
            rounds = u32::try_from(load.div_ceil(room)).unwrap_or(u32::MAX);
            bound = Bound::Outgoing(closed);
        }
    }
}

struct Flow<'w> {
    wanted: &'w Wanted,
    sources: Vec<u32>,
    load: Vec<u64>,
    /// Transfers that may read from each node; empty until something has to be moved.
    readers: Vec<Vec<u32>>,
}

impl<'w> Flow<'w> {
    /// The least loaded source each, those with the fewest to choose from first.
    fn new(wanted: &'w Wanted, nodes: usize) -> Self {
        let mut load = vec![0_u64; nodes];
        let mut order: Vec<u32> = (0..wanted.transfers.len() as u32).collect();
        order.sort_by_key(|transfer| wanted.of(*transfer as usize).len());
        let mut sources = vec![0; order.len()];
        for transfer in order {
            let options = wanted.of(transfer as usize);
            let least = options.iter().min_by_key(|node| load[**node as usize]);
            let least = *least.expect("a row without a live copy has no transfers");
            sources[transfer as usize] = least;
            load[least as usize] += 1;
        }
        Self {
            wanted,
            sources,
            load,
            readers: Vec::new(),
        }
    }

    /// Moves work away from nodes above `cap`. When that cannot be done: the nodes that cannot be
    /// relieved, all full, whose transfers can be read from none but themselves.
    fn relieve(&mut self, cap: u64) -> Option<Vec<u32>> {
        if self.load.iter().all(|load| *load <= cap) {
            return None;
        }
        if self.readers.is_empty() {
            self.readers = vec![Vec::new(); self.load.len()];
            for transfer in 0..self.sources.len() {
                for node in self.wanted.of(transfer) {
                    self.readers[*node as usize].push(transfer as u32);
                }
            }
        }
        loop {
            let (mut levels, reached, found) = self.levels(cap);
            if reached.is_empty() {
                return None;
            }
            if !found {
                return Some(reached);
            }
            let mut next = vec![(0_usize, 0_usize); self.load.len()];
            for node in 0..self.load.len() {
                while self.load[node] > cap && self.shift(node, cap, &mut levels, &mut next) {}
            }
        }
    }

    /// Distance of every node from those above `cap`, those reached, and whether one has room.
    fn levels(&self, cap: u64) -> (Vec<u32>, Vec<u32>, bool) {
        let mut levels = vec![u32::MAX; self.load.len()];
        let mut reached: Vec<u32> = (0..self.load.len() as u32)
            .filter(|node| self.load[*node as usize] > cap)
            .collect();
        for node in &reached {
            levels[*node as usize] = 0;
        }
        let (mut at, mut found) = (0, false);
        while let Some(node) = reached.get(at).copied() {
            at += 1;
            let readers = &self.readers[node as usize];
            for transfer in readers.iter().map(|transfer| *transfer as usize) {
                if self.sources[transfer] != node {
                    continue;
                }
                for other in self.wanted.of(transfer) {
                    if levels[*other as usize] == u32::MAX {
                        levels[*other as usize] = levels[node as usize] + 1;
                        found |= self.load[*other as usize] < cap;
                        reached.push(*other);
                    }
                }
            }
        }
        (levels, reached, found)
    }

    /// Moves one transfer's worth from `start` to a node with room, along a shortest path.
    fn shift(
        &mut self,
        start: usize,
        cap: u64,
        levels: &mut [u32],
        next: &mut [(usize, usize)],
    ) -> bool {
        let mut path: Vec<(usize, usize)> = Vec::new();
        let mut node = start;
        loop {
            if self.load[node] < cap {
                self.load[start] -= 1;
                self.load[node] += 1;
                let mut to = node;
                for (from, transfer) in path.into_iter().rev() {
                    self.sources[transfer] = to as u32;
                    to = from;
                }
                return true;
            }
            if let Some((transfer, other)) = self.step(node, levels, &mut next[node]) {
                path.push((node, transfer));
                node = other;
                continue;
            }
            levels[node] = u32::MAX;
            match path.pop() {
                Some((before, _)) => node = before,
                None => return false,
            }
        }
    }

    /// The next transfer of `node` that another node one level on could serve.
    fn step(
        &self,
        node: usize,
        levels: &[u32],
        (reader, option): &mut (usize, usize),
    ) -> Option<(usize, usize)> {
        let level = levels[node].checked_add(1)?;
        while let Some(transfer) = self.readers[node].get(*reader) {
            let transfer = *transfer as usize;
            if self.sources[transfer] == node as u32 {
                let options = self.wanted.of(transfer);
                while let Some(other) = options.get(*option) {
                    if levels[*other as usize] == level {
                        return Some((transfer, *other as usize));
                    }
                    *option += 1;
                }
            }
            (*reader, *option) = (*reader + 1, 0);
        }
        None
    }
}
