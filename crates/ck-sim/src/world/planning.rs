//! Plans: computed by the placement that ships, proposed by whoever leads.

use ck_control::{Command, Leader, RebalanceCommand, State, Trigger};
use ck_core::Topology;
use ck_core::placement::{Balanced, Placement};

use crate::clock::MS;
use crate::world::World;

impl World {
    /// Creates the partitions once enough nodes are there.
    pub(super) fn consider_forming(&mut self, place: usize) {
        let Some(process) = &self.places[place].process else {
            return;
        };
        let in_office = process.leader.as_ref().and_then(Leader::office);
        let state = process.agent.state();
        let enough = usize::from(self.config.replication_factor);
        if in_office.is_none() || state.table().is_some() || state.sessions().count() < enough {
            return;
        }
        let Some(topology) = usable(state) else {
            return;
        };
        if let Ok(plan) = Balanced::default().place(&topology, &state.spec(), None) {
            let command = Command::CreatePartitions {
                table: plan.table,
                strategy: None,
            };
            self.append(place, "leader".to_string(), command);
        }
    }

    /// Computes a plan for the present state and proposes to carry it out.
    pub(super) fn plan(&mut self, place: usize, trigger: Trigger) {
        let Some(process) = &self.places[place].process else {
            return;
        };
        let state = process.agent.state();
        let (Some(table), Some(topology)) = (state.table().cloned(), usable(state)) else {
            return;
        };
        let plan = Balanced::default().place(&topology, &state.spec(), Some(&table));
        let Ok(plan) = plan else {
            return;
        };
        // Planned work never goes below `min_in_sync`, so such a plan could not be carried out.
        let least = usize::from(state.config().min_in_sync);
        if plan.table.rows().any(|row| row.indexes().len() < least) {
            return;
        }
        let same = plan.table.rows().zip(table.rows());
        if same
            .into_iter()
            .all(|(new, old)| new.nodes().eq(old.nodes()))
        {
            return;
        }
        let step = RebalanceCommand::Begin {
            base: state.placement_version(),
            table: plan.table,
            trigger,
            started_at_ms: self.now / MS,
        };
        self.append(place, "leader".to_string(), Command::Rebalance { step });
    }
}

fn usable(state: &State) -> Option<Topology> {
    let nodes = state.topology().nodes().to_vec().into_iter();
    let up = nodes.filter(|node| {
        let session = state.open_session_of(node.id.as_str());
        session.is_some_and(|session| !session.closing)
    });
    Topology::new(up).ok()
}
