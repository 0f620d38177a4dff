//! Checks a schedule by going through it, row by row. Shares nothing with what made it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Bound, Migration, Schedule};
use crate::{NodeId, NodeState, PartitionId, Row};

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleVerifyError {
    /// A step refers to no node, no row, or a round that is not there.
    #[error("{partition}, round {round}: the step refers to no such node, row or round")]
    Reference {
        /// The partition of the step.
        partition: PartitionId,
        /// Its round.
        round: u32,
    },
    /// A copy is read where there is none, or made where there is one, or where none is wanted.
    #[error("{partition}, round {round}: {node:?} cannot take this part in a transfer")]
    Transfer {
        /// The partition.
        partition: PartitionId,
        /// The round.
        round: u32,
        /// The node.
        node: NodeId,
    },
    /// The primary role goes from a node that has it not, or to one without a live copy.
    #[error("{partition}, round {round}: the primary role cannot be handed to {node:?}")]
    Handoff {
        /// The partition.
        partition: PartitionId,
        /// The round.
        round: u32,
        /// The node that was to receive it.
        node: NodeId,
    },
    /// A copy is dropped that is not there, is to stay, or is the primary.
    #[error("{partition}, round {round}: the copy of {node:?} must not be dropped")]
    Removal {
        /// The partition.
        partition: PartitionId,
        /// The round.
        round: u32,
        /// The node.
        node: NodeId,
    },
    /// Too few copies, too few domains, or no primary, after a round.
    #[error("{partition}, round {round}: fewer copies or domains than it had and is to have")]
    Thin {
        /// The partition.
        partition: PartitionId,
        /// The round.
        round: u32,
    },
    /// More transfers of a node in a round than are allowed.
    #[error("round {round}: {node:?} has {got} transfers of one kind; at most {limit} are allowed")]
    Limit {
        /// The round.
        round: u32,
        /// The node.
        node: NodeId,
        /// Its transfers.
        got: u32,
        /// The limit.
        limit: u32,
    },
    /// The steps do not lead to the row of the target, or a lost row is not said to be lost.
    #[error("{partition}: the steps do not lead to the target")]
    End {
        /// The partition.
        partition: PartitionId,
    },
    /// The bound does not prove that the rounds are needed.
    #[error("{rounds} rounds are not proved to be needed")]
    Rounds {
        /// The rounds of the schedule.
        rounds: u32,
    },
}

use ScheduleVerifyError as Wrong;

/// In the order within a round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Copy { source: u32, target: u32 },
    Handoff { from: Option<u32>, to: u32 },
    Remove { node: u32 },
}

type Events = BTreeMap<PartitionId, Vec<(u32, Event)>>;

impl Schedule {
    /// Checks that every step can be taken, within the limits, that no row is ever short, that the
    /// target is reached, and that fewer rounds are impossible.
    ///
    /// # Errors
    /// [`ScheduleVerifyError`] names the first fault.
    pub fn verify(&self, migration: &Migration<'_>) -> Result<(), Wrong> {
        let events = self.events(migration)?;
        let none = Vec::new();
        for row in migration.previous.rows() {
            let events = events.get(&row.partition()).unwrap_or(&none);
            self.row(migration, row, events)?;
        }
        self.limits(migration)?;
        self.bound(migration)
    }

    /// All steps by partition, in order.
    fn events(&self, migration: &Migration<'_>) -> Result<Events, Wrong> {
        let copies = self.transfers.iter().map(|t| {
            let (source, target) = (t.source, t.target);
            let known = t.round > 0 && self.is_node(source) && self.is_node(target);
            (t.partition, t.round, known, Event::Copy { source, target })
        });
        let handoffs = self.handoffs.iter().map(|h| {
            let (from, to) = (h.from, h.to);
            let known = self.is_node(to) && from.is_none_or(|from| self.is_node(from));
            (h.partition, h.round, known, Event::Handoff { from, to })
        });
        let removals = self.removals.iter().map(|r| {
            let node = r.node;
            (
                r.partition,
                r.round,
                self.is_node(node),
                Event::Remove { node },
            )
        });
        let mut events = Events::new();
        for (partition, round, known, event) in copies.chain(handoffs).chain(removals) {
            let there = partition.0 < migration.previous.partitions();
            if !known || !there || round > self.rounds {
                return Err(Wrong::Reference { partition, round });
            }
            events.entry(partition).or_default().push((round, event));
        }
        for events in events.values_mut() {
            events.sort_unstable();
        }
        Ok(events)
    }

    fn is_node(&self, index: u32) -> bool {
        (index as usize) < self.nodes.len()
    }

    fn row(
        &self,
        migration: &Migration<'_>,
        before: Row<'_>,
        events: &[(u32, Event)],
    ) -> Result<(), Wrong> {
        let partition = before.partition();
        let end = Wrong::End { partition };
        let after = migration.target.row(partition).ok_or(end.clone())?;
        let mut copies: BTreeSet<&NodeId> = sources(migration, before).into_iter().collect();
        let lost = copies.is_empty() && before.primary().is_some();
        if self.lost.contains(&partition) != lost || copies.is_empty() && !events.is_empty() {
            return Err(end);
        }
        if copies.is_empty() {
            return Ok(());
        }
        let goal: BTreeSet<&NodeId> = after.nodes().collect();
        let spread = usize::from(migration.spec.spread());
        let floor = (
            copies.len().min(goal.len()),
            domains(migration, &copies)
                .min(domains(migration, &goal))
                .min(spread),
        );
        let mut lead = before.primary().filter(|id| copies.contains(id));
        let held: BTreeSet<&NodeId> = before.nodes().collect();
        let mut begun = (0, copies.clone());
        for (round, event) in events {
            if begun.0 != *round {
                // Whoever is copied from has to be there from the beginning of the round.
                begun = (*round, copies.clone());
            }
            let node = |index: u32| &self.nodes[index as usize];
            self.step(*event, partition, *round, |event| match event {
                Event::Copy { source, target } => {
                    let fresh = goal.contains(node(target)) && !held.contains(node(target));
                    begun.1.contains(node(source)) && fresh && copies.insert(node(target))
                }
                Event::Handoff { from, to } => {
                    let right = from.map(node) == lead && copies.contains(node(to));
                    lead = Some(node(to));
                    right
                }
                Event::Remove { node: index } => {
                    let gone = node(index);
                    lead != Some(gone) && !goal.contains(gone) && copies.remove(gone)
                }
            })?;
            if copies.len() < floor.0 || domains(migration, &copies) < floor.1 {
                let round = *round;
                return Err(Wrong::Thin { partition, round });
            }
        }
        let waits = goal
            .iter()
            .any(|id| held.contains(id) && !copies.contains(id));
        let reached = copies == goal && lead == after.primary();
        if lead.is_some() && (reached || waits || goal.is_empty()) {
            Ok(())
        } else {
            Err(end)
        }
    }

    /// Takes a step, and names it when it was wrong.
    fn step(
        &self,
        event: Event,
        partition: PartitionId,
        round: u32,
        take: impl FnOnce(Event) -> bool,
    ) -> Result<(), Wrong> {
        if take(event) {
            return Ok(());
        }
        let node = |index: u32| self.nodes[index as usize].clone();
        Err(match event {
            Event::Copy { target, .. } => Wrong::Transfer {
                partition,
                round,
                node: node(target),
            },
            Event::Handoff { to, .. } => Wrong::Handoff {
                partition,
                round,
                node: node(to),
            },
            Event::Remove { node: gone } => Wrong::Removal {
                partition,
                round,
                node: node(gone),
            },
        })
    }

    fn limits(&self, migration: &Migration<'_>) -> Result<(), Wrong> {
        let limits = migration.limits;
        for (limit, incoming) in [(limits.incoming, true), (limits.outgoing, false)] {
            let mut counts: BTreeMap<(u32, u32), u32> = BTreeMap::new();
            for t in &self.transfers {
                let node = if incoming { t.target } else { t.source };
                let got = counts.entry((t.round, node)).or_default();
                *got += 1;
                if *got > limit.get() {
                    return Err(Wrong::Limit {
                        round: t.round,
                        node: self.nodes[node as usize].clone(),
                        got: *got,
                        limit: limit.get(),
                    });
                }
            }
        }
        Ok(())
    }

    fn bound(&self, migration: &Migration<'_>) -> Result<(), Wrong> {
        let rounds = self.rounds;
        let wrong = Wrong::Rounds { rounds };
        let (load, room) = match &self.bound {
            Bound::Incoming(node) => {
                let load = self.transfers.iter().filter(|t| t.target == *node).count();
                (load as u64, u64::from(migration.limits.incoming.get()))
            }
            Bound::Outgoing(nodes) => {
                let known = nodes.iter().filter(|node| self.is_node(**node));
                let nodes: BTreeSet<&NodeId> =
                    known.map(|node| &self.nodes[*node as usize]).collect();
                let only = |partition| {
                    let row = migration.previous.row(partition);
                    let sources = row.map(|row| sources(migration, row)).unwrap_or_default();
                    sources.iter().all(|id| nodes.contains(id))
                };
                let load = self.transfers.iter().filter(|t| only(t.partition)).count();
                let limit = u64::from(migration.limits.outgoing.get());
                (load as u64, limit * nodes.len() as u64)
            }
        };
        let needed = if load == 0 {
            0
        } else {
            load.div_ceil(room.max(1))
        };
        if needed >= u64::from(rounds) {
            Ok(())
        } else {
            Err(wrong)
        }
    }
}

/// The copies of a row that are alive and in sync.
fn sources<'a>(migration: &Migration<'a>, row: Row<'a>) -> Vec<&'a NodeId> {
    let alive = |id: &&NodeId| {
        let mut nodes = migration.topology.node(id.as_str()).into_iter();
        let alive = nodes.any(|node| node.state != NodeState::Down);
        let stale = |(p, n): &(PartitionId, NodeId)| *p == row.partition() && n == *id;
        alive && !migration.stale.iter().any(stale)
    };
    row.nodes().filter(alive).collect()
}

fn domains(migration: &Migration<'_>, nodes: &BTreeSet<&NodeId>) -> usize {
    let named = |id: &&NodeId| migration.topology.node(id.as_str())?.domain.as_ref();
    let names: BTreeSet<&str> = nodes
        .iter()
        .filter_map(|id| Some(named(id)?.widest()))
        .collect();
    let unnamed = nodes.iter().filter(|id| named(id).is_none()).count();
    names.len() + unnamed
}
