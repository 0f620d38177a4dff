//! The second phase: every fault ends, and the cluster has to come right.

use ck_control::{Command, PartitionState, State};
use ck_core::{NodeState, PartitionId};

use crate::clock::MS;
use crate::invariants::Observation;
use crate::world::{Event, World};

impl World {
    /// Ends every fault: from here on everything has to come right.
    pub fn heal(&mut self) {
        self.healed = Some(self.now);
        self.network.heal();
        for place in 0..self.places.len() {
            let here = &mut self.places[place];
            here.stuck = false;
            let (paused, started) = (here.paused, here.started);
            if paused {
                self.resume(place);
            }
            if started {
                let at = self.random.below(100 * MS);
                self.after(at, Event::Start { place });
            }
            self.catch_up(place);
        }
        self.say(|| "everything heals".to_string());
        self.see(&Observation::Healed);
    }

    /// What an operator does once everything runs again: takes nodes back, removes members whose
    /// disk is gone, accepts the loss where nobody has everything.
    pub fn tidy(&mut self) {
        for place in 0..self.places.len() {
            let here = &self.places[place];
            let state = self.state();
            let member = state.member_by_node(here.node.as_str());
            let draining = member.is_some_and(|one| one.state != NodeState::Active);
            if draining {
                self.change(place, |change| change.state = Some(NodeState::Active));
            }
        }
        let doomed = self.doomed.clone();
        for node in doomed {
            let member = self.state().member_by_node(node.as_str());
            if member.is_some_and(|one| !one.closing) {
                self.operator(Command::Close { node });
            }
        }
        if self.state().brake().is_some() {
            let (office, lost) = (None, 0);
            self.operator(Command::Brake { office, lost });
        }
        self.accept_losses();
    }

    fn accept_losses(&mut self) {
        let state = self.state().clone();
        let Some(table) = state.table() else {
            return;
        };
        for (partition, control) in state.partitions() {
            if state.partition_state(partition) != PartitionState::Unavailable {
                continue;
            }
            let nodes = table.row(partition).into_iter().flat_map(|row| row.nodes());
            let mut members = nodes.filter_map(|node| state.member_by_node(node.as_str()));
            let with_copy = members.find(|member| member.session.is_some() && !member.closing);
            if let Some(member) = with_copy {
                let member = member.number;
                self.lossy.insert(partition, control.epoch.next());
                self.operator(Command::Promote {
                    partition,
                    member,
                    accept_loss: true,
                });
            }
        }
    }

    /// Why the cluster has not come right yet; `None` when it has.
    #[must_use]
    pub fn unsettled(&self) -> Option<String> {
        let state = self.state();
        if state.table().is_none() {
            return Some("no partitions".to_string());
        }
        for place in self.places.iter().filter(|one| one.started && !one.removed) {
            if state.open_session_of(place.node.as_str()).is_none() {
                return Some(format!("{} has no session", place.node));
            }
        }
        if let Some(transfer) = state.transfers().next() {
            return Some(format!("transfer {} is in {}", transfer.id, transfer.stage));
        }
        let lost = state.partitions().any(|(one, _)| self.is_lost(state, one));
        if state.rebalance().is_some() && !lost {
            return Some("a plan is being carried out".to_string());
        }
        state
            .partitions()
            .find_map(|(partition, _)| self.unsettled_partition(state, partition))
    }

    /// Whether nobody has a copy any more: every disk with one is gone, or was removed.
    fn is_lost(&self, state: &State, partition: PartitionId) -> bool {
        let row = state.table().and_then(|table| table.row(partition));
        let mut nodes = row.into_iter().flat_map(|row| row.nodes());
        !nodes.any(|node| {
            self.places
                .iter()
                .any(|place| place.node == *node && !place.removed)
        })
    }

    fn unsettled_partition(&self, state: &State, partition: PartitionId) -> Option<String> {
        if self.is_lost(state, partition) {
            return None;
        }
        let open = self.open.get(&partition).into_iter().flatten();
        let owners = open.filter(|place| {
            let process = self.places[**place].process.as_ref();
            process.is_some_and(|one| one.agent.owns(partition, self.clock(**place)).is_some())
        });
        match (owners.count(), state.partition_state(partition)) {
            (1, PartitionState::Stable) => None,
            (owners, how) => Some(format!(
                "{partition} is {} with {owners} owners",
                how.name()
            )),
        }
    }
}
