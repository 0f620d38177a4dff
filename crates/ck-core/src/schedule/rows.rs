//! What happens to each row: who is alive, when its primary changes, when a copy may go.

use alloc::vec::Vec;

use super::sources::Wanted;
use super::{Handoff, Migration, Removal, Transfer};
use crate::{NodeId, PartitionId, Row, Table, Topology};

/// The nodes of both tables under one numbering.
pub(super) struct Crew {
    pub(super) nodes: Vec<NodeId>,
    live: Vec<bool>,
    domain: Vec<u32>,
    of_previous: Vec<u32>,
    of_target: Vec<u32>,
}

/// Everything but the transfers.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) handoffs: Vec<Handoff>,
    pub(super) removals: Vec<Removal>,
    pub(super) lost: Vec<PartitionId>,
}

/// One row on its way.
struct Journey {
    partition: PartitionId,
    /// Live copies in sync.
    copies: Vec<u32>,
    /// What it is to hold, primary first.
    target: Vec<u32>,
    lead: Option<u32>,
    /// Failure domains below which it is not brought.
    spread: usize,
}

impl Crew {
    pub(super) fn new(migration: &Migration<'_>) -> Self {
        let (previous, target) = (migration.previous, migration.target);
        let mut nodes: Vec<NodeId> = [previous.nodes(), target.nodes()].concat();
        nodes.sort_unstable();
        nodes.dedup();
        let numbers = |table: &Table| {
            let number = |id| nodes.binary_search(id).map_or(u32::MAX, |at| at as u32);
            table.nodes().iter().map(number).collect()
        };
        Self {
            of_previous: numbers(previous),
            of_target: numbers(target),
            live: nodes.iter().map(|id| migration.is_live(id)).collect(),
            domain: domains(migration.topology, &nodes),
            nodes,
        }
    }

    /// The copies of a row that can be read, primary first if it is among them.
    fn readable(&self, migration: &Migration<'_>, row: Row<'_>) -> Vec<u32> {
        let number = |index: &u32| self.of_previous[*index as usize];
        let readable = |node: &u32| {
            let id = &self.nodes[*node as usize];
            self.live[*node as usize] && !migration.is_stale(row.partition(), id)
        };
        row.indexes().iter().map(number).filter(readable).collect()
    }

    fn target(&self, row: Row<'_>) -> Vec<u32> {
        let number = |index: &u32| self.of_target[*index as usize];
        row.indexes().iter().map(number).collect()
    }

    /// Every transfer there has to be. What is there but not in sync catches up by itself.
    pub(super) fn wanted(&self, migration: &Migration<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        for (before, after) in migration.previous.rows().zip(migration.target.rows()) {
            let sources = self.readable(migration, before);
            if sources.is_empty() {
                continue;
            }
            let held = |node: &u32| {
                let mut indexes = before.indexes().iter();
                indexes.any(|index| self.of_previous[*index as usize] == *node)
            };
            let row = wanted.partitions.len() as u32;
            let count = wanted.transfers.len();
            let missing = self.target(after).into_iter().filter(|node| !held(node));
            wanted.transfers.extend(missing.map(|node| (row, node)));
            if wanted.transfers.len() > count {
                wanted.partitions.push(before.partition());
                wanted.starts.push(wanted.options.len());
                wanted.options.extend(sources);
            }
        }
        wanted.starts.push(wanted.options.len());
        wanted
    }

    /// Handoffs and removals around `transfers`, which are in order of partition.
    pub(super) fn steps(&self, migration: &Migration<'_>, transfers: &mut [Transfer]) -> Steps {
        transfers.sort_unstable_by_key(|transfer| (transfer.partition, transfer.round));
        let mut steps = Steps::default();
        let mut rest: &[Transfer] = transfers;
        for (before, after) in migration.previous.rows().zip(migration.target.rows()) {
            let partition = before.partition();
            let end = rest.partition_point(|transfer| transfer.partition <= partition);
            let arrivals;
            (arrivals, rest) = rest.split_at(end);
            let copies = self.readable(migration, before);
            if copies.is_empty() {
                if !before.indexes().is_empty() {
                    steps.lost.push(partition);
                }
                continue;
            }
            let first = before.indexes().first();
            let lead = first.map(|index| self.of_previous[*index as usize]);
            let target = self.target(after);
            if copies == target && lead.as_ref() == target.first() {
                continue;
            }
            let spread = usize::from(migration.spec.spread()).min(self.span(&target));
            let journey = Journey {
                partition,
                lead: lead.filter(|lead| copies.contains(lead)),
                copies,
                target,
                spread,
            };
            self.travel(journey, arrivals, &mut steps);
        }
        steps.handoffs.sort_unstable();
        steps.removals.sort_unstable();
        steps
    }

    fn travel(&self, mut row: Journey, arrivals: &[Transfer], steps: &mut Steps) {
        let mut rest = arrivals;
        let mut round = 0;
        loop {
            if let Some(handoff) = row.handoff(round) {
                steps.handoffs.push(handoff);
            }
            while let Some(at) = self.removable(&row, rest) {
                let node = row.copies.remove(at);
                let partition = row.partition;
                steps.removals.push(Removal {
                    round,
                    partition,
                    node,
                });
            }
            let Some(next) = rest.first() else { break };
            round = next.round;
            let end = rest.partition_point(|transfer| transfer.round == round);
            let (now, later) = rest.split_at(end);
            row.copies
                .extend(now.iter().map(|transfer| transfer.target));
            rest = later;
        }
    }

    /// A copy that may go now: not wanted, not the primary, read by nobody any more, and spared
    /// both as a copy and as a domain. Rows that hold enough are the bases of a matroid, so there
    /// is one for every arrival, unless the primary or a source waits.
    fn removable(&self, row: &Journey, pending: &[Transfer]) -> Option<usize> {
        if row.copies.len() <= row.target.len() {
            return None;
        }
        let span = self.span(&row.copies);
        (0..row.copies.len()).find(|at| {
            let node = row.copies[*at];
            let domain = self.domain[node as usize];
            let others = row.copies.iter().filter(|other| **other != node);
            let alone = others
                .into_iter()
                .all(|n| self.domain[*n as usize] != domain);
            !row.target.contains(&node)
                && row.lead != Some(node)
                && pending.iter().all(|transfer| transfer.source != node)
                && (!alone || span > row.spread)
        })
    }

    /// Failure domains that `nodes` touch.
    fn span(&self, nodes: &[u32]) -> usize {
        let fresh = |at: &usize| {
            let domain = self.domain[nodes[*at] as usize];
            nodes[..*at]
                .iter()
                .all(|node| self.domain[*node as usize] != domain)
        };
        (0..nodes.len()).filter(fresh).count()
    }
}

impl Journey {
    /// The primary of the target as soon as it has the copy; while nobody leads, a survivor, one
    /// that is to keep its copy where there is one.
    fn handoff(&mut self, round: u32) -> Option<Handoff> {
        let wanted = self.target.first().copied();
        let ready = wanted.filter(|node| self.copies.contains(node));
        let stand_in = || {
            let staying = self.copies.iter().find(|node| self.target.contains(node));
            staying.or(self.copies.first()).copied()
        };
        let to = match (ready, self.lead) {
            (Some(ready), lead) if lead != Some(ready) => ready,
            (None, None) => stand_in()?,
            _ => return None,
        };
        Some(Handoff {
            round,
            partition: self.partition,
            from: self.lead.replace(to),
            to,
        })
    }
}

/// The widest failure domain of every node; one of its own where it names none.
fn domains(topology: &Topology, nodes: &[NodeId]) -> Vec<u32> {
    let mut names: Vec<&str> = Vec::new();
    let named = |id: &NodeId| topology.node(id.as_str())?.domain.as_ref();
    names.extend(nodes.iter().filter_map(named).map(crate::Domain::widest));
    names.sort_unstable();
    names.dedup();
    let number = |(at, id): (usize, &NodeId)| match named(id) {
        Some(domain) => names.binary_search(&domain.widest()).unwrap_or(names.len()) as u32,
        None => (names.len() + at) as u32,
    };
    nodes.iter().enumerate().map(number).collect()
}
