//! Why a node does not have a partition, or not its primary role.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ck_core::explain::{Explainer, WhyNot};
use ck_core::{NodeId, NodeState, PartitionId};

use crate::state::{Member, Stage, State};

/// One reason for which a node does not have a partition, or only a copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is the primary.
    IsPrimary,
    /// It stands first in the row, but nobody may act on the partition.
    NotGranted,
    /// It has a copy, and another node is the primary.
    HasCopy {
        /// Who is, while somebody may act.
        primary: Option<NodeId>,
    },
    /// Its removal has begun.
    Closing,
    /// It takes nothing new, or is being emptied.
    State(NodeState),
    /// It is not up.
    NoSession {
        /// Whether it ended its session itself.
        stopped: bool,
    },
    /// It has a copy that does not have every write.
    NotInSync,
    /// It came back without proof of having every write.
    Unproven,
    /// A move of the partition to this node is under way.
    OnItsWay {
        /// Its stage.
        stage: Stage,
    },
    /// Another move of the partition is under way, and one at a time is made.
    OtherMove {
        /// Its stage.
        stage: Stage,
        /// Who gets that copy or role.
        target: Option<NodeId>,
    },
    /// The plan under way brings it here, later.
    Planned {
        /// Whether an operator holds the plan back.
        paused: bool,
    },
    /// It takes part in as many moves as it may.
    Limit {
        /// The limit, each way.
        max: u8,
    },
    /// Too much was lost at once: nothing is moved.
    Braked {
        /// Nodes lost.
        lost: u32,
    },
    /// Another copy is in the same failure domain, and copies are to be spread.
    SharesDomain {
        /// The domain.
        domain: String,
        /// Whose copy.
        with: NodeId,
    },
    /// What the planner says of it.
    Planner(WhyNot),
}

impl State {
    /// Why a node does not have a partition, or only a copy of it, the most decisive reason first;
    /// `None` when there is no such partition or no such node.
    #[must_use]
    pub fn why_not(&self, partition: PartitionId, node: &str) -> Option<Vec<Obstacle>> {
        let control = self.partition(partition)?;
        let member = self.member_by_node(node)?;
        let number = member.number;
        let holder = control.holder;
        let holder = holder.filter(|holder| self.session(holder.session).is_some());
        let in_row = self.row_members(partition).contains(&number);
        let mut found = Vec::new();
        if holder.is_some_and(|holder| holder.member == number) {
            found.push(Obstacle::IsPrimary);
            return Some(found);
        }
        let primary = holder.and_then(|holder| self.name_of(holder.member));
        if in_row && primary.is_none() {
            found.push(Obstacle::NotGranted);
        }
        self.of_node(member, &mut found);
        if control.unproven.contains(&number) {
            found.push(Obstacle::Unproven);
        } else if in_row && !control.is_in_sync(number) {
            found.push(Obstacle::NotInSync);
        }
        if let Some(moved) = control.transfer.and_then(|id| self.transfer(id)) {
            let stage = moved.stage;
            found.push(if moved.target.member == number {
                Obstacle::OnItsWay { stage }
            } else {
                let target = self.name_of(moved.target.member);
                Obstacle::OtherMove { stage, target }
            });
        }
        if in_row && primary.is_some() {
            found.push(Obstacle::HasCopy { primary });
        }
        self.of_plan(partition, member, in_row, &mut found);
        Some(found)
    }

    /// What the node's own condition forbids.
    fn of_node(&self, member: &Member, found: &mut Vec<Obstacle>) {
        if member.closing {
            found.push(Obstacle::Closing);
        }
        if member.state != NodeState::Active {
            found.push(Obstacle::State(member.state));
        }
        if member.session.is_none() {
            let stopped = member.stopped_cleanly;
            found.push(Obstacle::NoSession { stopped });
        }
    }

    /// What plans and their limits have to say.
    fn of_plan(
        &self,
        partition: PartitionId,
        member: &Member,
        in_row: bool,
        found: &mut Vec<Obstacle>,
    ) {
        let Some(table) = self.table() else {
            return;
        };
        let plan = self.rebalance();
        let reached = plan.is_none() || self.plan_reached(partition);
        let wanted = self.plan_row(partition).contains(&member.number);
        if wanted && !reached {
            let paused = plan.is_some_and(|plan| plan.paused);
            found.push(Obstacle::Planned { paused });
            let max = self.config().max_transfers_per_node;
            if !in_row && self.copying(member.number).0 >= u32::from(max) {
                found.push(Obstacle::Limit { max });
            }
        }
        if let Some(brake) = self.brake() {
            found.push(Obstacle::Braked { lost: brake.lost });
        }
        if in_row || wanted {
            return;
        }
        if let Some((domain, with)) = self.shared_domain(partition, member) {
            found.push(Obstacle::SharesDomain { domain, with });
        }
        let (topology, spec) = (self.topology(), self.spec());
        let target = plan.map_or(&**table, |plan| &plan.target);
        let explainer = Explainer::new(&topology, &spec, Some(table), target);
        let said = explainer.why_not(partition, &member.node);
        // Its state was told already.
        let told = |why: &WhyNot| matches!(why, WhyNot::State(_) | WhyNot::Unknown);
        found.extend(said.filter(|why| !told(why)).map(Obstacle::Planner));
    }

    /// The domain that a copy on this node would share with another, where copies are spread.
    fn shared_domain(&self, partition: PartitionId, member: &Member) -> Option<(String, NodeId)> {
        let domain = member
            .domain
            .as_ref()
            .filter(|_| self.config().spread > 1)?;
        let row = self.row_members(partition);
        let others = row.iter().filter_map(|number| self.member(*number));
        let same = |other: &&Member| {
            let theirs = other.domain.as_ref();
            theirs.is_some_and(|theirs| theirs.widest() == domain.widest())
        };
        let other = others.into_iter().find(same)?;
        Some((domain.widest().to_string(), other.node.clone()))
    }
}
