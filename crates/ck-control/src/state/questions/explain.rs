//! Why a partition is where it is and as it is, and what it waits for.

use alloc::string::String;
use alloc::vec::Vec;

use ck_core::{Epoch, NodeId, NodeState, PartitionId};

use crate::state::{Brake, PartitionControl, PartitionState, Stage, State, Transfer, Trigger};
use crate::{MemberNumber, Position};

/// All that the state says of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// The partition.
    pub partition: PartitionId,
    /// How it is doing.
    pub state: PartitionState,
    /// Grants of its primary role so far.
    pub epoch: Epoch,
    /// Where in the log the newest grant is.
    pub granted_at: Position,
    /// The node that may act, while its session is open.
    pub primary: Option<NodeId>,
    /// Its copies in the order of the row, then members of the in-sync set outside the row.
    pub copies: Vec<CopyView>,
    /// Whether the in-sync set is only the last known one.
    pub last_known: bool,
    /// The move under way.
    pub transfer: Option<MoveView>,
    /// What the plan under way wants of it.
    pub plan: Option<PlanView>,
    /// The brake, while it is pulled.
    pub brake: Option<Brake>,
    /// Why it is as it is and what holds it back, the most pressing first.
    pub findings: Vec<Finding>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyView {
    /// Who has it.
    pub node: NodeId,
    /// Whether it stands first in the row.
    pub primary: bool,
    /// Whether it stands in the row at all.
    pub in_row: bool,
    /// Whether it is in the in-sync set.
    pub in_sync: bool,
    /// Whether it came back without proof of having everything.
    pub unproven: bool,
    /// Whether its node's session is open.
    pub live: bool,
    /// What a placement may put on its node.
    pub state: NodeState,
    /// Whether its node's removal has begun.
    pub closing: bool,
}

/// A move, and whom it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoveView {
    /// The move.
    pub transfer: Transfer,
    /// Who the copy is made from, or who gives the role up.
    pub source: Option<NodeId>,
    /// Who gets it.
    pub target: Option<NodeId>,
    /// Whose copy goes at the end.
    pub leaving: Option<NodeId>,
    /// Who is waited for.
    pub waits_for: WaitsFor,
}

/// Whom a move waits for at its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// An operator, who holds it back.
    Operator,
    /// The target, to copy what there is.
    Copy,
    /// The target, to get in sync.
    CatchUp,
    /// The brake, which is pulled.
    Brake,
    /// The source, to acknowledge that it has stopped.
    Release,
    /// The source's lease, to run out: the role was taken from it.
    Lease,
    /// The target, to serve.
    Activation,
    /// The grace period after which the leaving copy goes.
    Grace,
}

/// What a plan under way wants of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanView {
    /// Where it began.
    pub since: Position,
    /// Why it was made.
    pub trigger: Trigger,
    /// Who asked.
    pub actor: String,
    /// The copies it wants, primary first.
    pub nodes: Vec<NodeId>,
    /// Whether the partition has them.
    pub reached: bool,
    /// Whether an operator holds it back.
    pub paused: bool,
}

/// One reason for the state of a partition, or for its not changing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// No copy that is up has every write: these have, and are waited for.
    LastKnown {
        /// The members of the last known set.
        nodes: Vec<NodeId>,
    },
    /// These came back without proof of having every write.
    Unproven {
        /// They.
        nodes: Vec<NodeId>,
    },
    /// Nobody holds the role, or its holder's session has ended.
    NoPrimary,
    /// A node with a copy is down.
    Down {
        /// The node.
        node: NodeId,
        /// Whether it ended its session itself.
        stopped: bool,
    },
    /// A copy does not have every write yet.
    Stale {
        /// Whose.
        node: NodeId,
    },
    /// The row is shorter than the replication factor.
    FewCopies {
        /// Copies there are.
        have: u32,
        /// Copies wanted.
        want: u32,
    },
    /// A move is under way.
    Moving {
        /// Its stage.
        stage: Stage,
        /// Whom it waits for.
        waits_for: WaitsFor,
        /// Who gets the copy or the role.
        target: Option<NodeId>,
        /// Who gives it.
        source: Option<NodeId>,
    },
    /// The plan under way has not come to it, and is held back.
    PlanPaused,
    /// The plan under way has not come to it: a node takes part in as many moves as it may.
    Limit {
        /// The node.
        node: NodeId,
        /// The limit, each way.
        max: u8,
    },
    /// The plan under way wants a copy on a node that is not up.
    TargetAway {
        /// The node.
        node: NodeId,
    },
    /// The plan under way has not come to it.
    Planned {
        /// Why it was made.
        trigger: Trigger,
    },
    /// Too much was lost at once: nothing is moved.
    Braked {
        /// Nodes lost.
        lost: u32,
    },
}

impl State {
    /// Why a partition is where it is and as it is; `None` when there is no such partition.
    #[must_use]
    pub fn explain(&self, partition: PartitionId) -> Option<Explained> {
        let control = self.partition(partition)?;
        let row = self.row_members(partition);
        let holder = control.holder;
        let holder = holder.filter(|holder| self.session(holder.session).is_some());
        let transfer = control.transfer.and_then(|id| self.transfer(id));
        let mut explained = Explained {
            partition,
            state: self.partition_state(partition),
            epoch: control.epoch,
            granted_at: control.granted_at,
            primary: holder.and_then(|holder| self.name_of(holder.member)),
            copies: self.copies(control, &row),
            last_known: control.last_known,
            transfer: transfer.map(|transfer| self.move_view(control, transfer)),
            plan: self.plan_view(partition),
            brake: self.brake().copied(),
            findings: Vec::new(),
        };
        explained.findings = self.findings(&explained, &row);
        Some(explained)
    }

    fn copies(&self, control: &PartitionControl, row: &[MemberNumber]) -> Vec<CopyView> {
        let outside = control.in_sync.iter().filter(|one| !row.contains(one));
        let view = |(at, number): (usize, &MemberNumber)| {
            let member = self.member(*number)?;
            Some(CopyView {
                node: member.node.clone(),
                primary: at == 0 && !row.is_empty(),
                in_row: at < row.len(),
                in_sync: control.is_in_sync(*number),
                unproven: control.unproven.contains(number),
                live: member.session.is_some(),
                state: member.state,
                closing: member.closing,
            })
        };
        let all = row.iter().chain(outside);
        all.enumerate().filter_map(view).collect()
    }

    /// A move with the names of its sides, and whom it waits for.
    #[must_use]
    pub fn move_view(&self, control: &PartitionControl, transfer: &Transfer) -> MoveView {
        let in_sync = control.is_in_sync(transfer.target.member);
        let waits_for = match transfer.stage {
            Stage::Prepare | Stage::CatchUp if transfer.paused => WaitsFor::Operator,
            Stage::Prepare => WaitsFor::Copy,
            Stage::CatchUp if in_sync && self.brake().is_some() => WaitsFor::Brake,
            Stage::CatchUp => WaitsFor::CatchUp,
            Stage::Release if transfer.revoked.is_some() => WaitsFor::Lease,
            Stage::Release => WaitsFor::Release,
            Stage::Commit | Stage::Activate => WaitsFor::Activation,
            Stage::CleanUp => WaitsFor::Grace,
        };
        MoveView {
            source: self.name_of(transfer.source.member),
            target: self.name_of(transfer.target.member),
            leaving: transfer.leaving.and_then(|one| self.name_of(one)),
            waits_for,
            transfer: transfer.clone(),
        }
    }

    fn plan_view(&self, partition: PartitionId) -> Option<PlanView> {
        let plan = self.rebalance()?;
        let row = plan.target.row(partition);
        Some(PlanView {
            since: plan.since,
            trigger: plan.trigger,
            actor: plan.actor.clone(),
            nodes: row
                .into_iter()
                .flat_map(|row| row.nodes())
                .cloned()
                .collect(),
            reached: self.plan_reached(partition),
            paused: plan.paused,
        })
    }

    fn findings(&self, explained: &Explained, row: &[MemberNumber]) -> Vec<Finding> {
        let mut found = Vec::new();
        let copies = &explained.copies;
        let names = |keep: &dyn Fn(&CopyView) -> bool| -> Vec<NodeId> {
            let kept = copies.iter().filter(|copy| keep(copy));
            kept.map(|copy| copy.node.clone()).collect()
        };
        if explained.last_known {
            let nodes = names(&|copy| copy.in_sync);
            found.push(Finding::LastKnown { nodes });
        }
        let unproven = names(&|copy| copy.unproven);
        if !unproven.is_empty() {
            found.push(Finding::Unproven { nodes: unproven });
        }
        if explained.primary.is_none() {
            found.push(Finding::NoPrimary);
        }
        if let Some(moved) = &explained.transfer {
            found.push(Finding::Moving {
                stage: moved.transfer.stage,
                waits_for: moved.waits_for,
                target: moved.target.clone(),
                source: moved.source.clone(),
            });
        }
        for copy in copies.iter().filter(|copy| copy.in_row) {
            let node = || copy.node.clone();
            if !copy.live {
                let member = self.member_by_node(copy.node.as_str());
                let stopped = member.is_some_and(|member| member.stopped_cleanly);
                let node = node();
                found.push(Finding::Down { node, stopped });
            } else if !copy.in_sync {
                found.push(Finding::Stale { node: node() });
            }
        }
        let want = u32::from(self.config().replication_factor);
        let have = u32::try_from(row.len()).unwrap_or(u32::MAX);
        if have < want {
            found.push(Finding::FewCopies { have, want });
        }
        if let Some(brake) = self.brake() {
            found.push(Finding::Braked { lost: brake.lost });
        }
        self.held_back(explained, row, &mut found);
        found
    }

    /// Why the plan under way has not come to a partition yet.
    fn held_back(&self, explained: &Explained, row: &[MemberNumber], found: &mut Vec<Finding>) {
        let Some(plan) = explained.plan.as_ref().filter(|plan| !plan.reached) else {
            return;
        };
        if explained.transfer.is_some() {
            return;
        }
        if plan.paused {
            found.push(Finding::PlanPaused);
            return;
        }
        let before = found.len();
        let max = self.config().max_transfers_per_node;
        let full = |count: u32| count >= u32::from(max);
        let wanted = plan.nodes.iter();
        for member in wanted.filter_map(|node| self.member_by_node(node.as_str())) {
            let node = || member.node.clone();
            let added = !row.contains(&member.number);
            if !self.is_usable(member) {
                found.push(Finding::TargetAway { node: node() });
            } else if added && full(self.copying(member.number).0) {
                found.push(Finding::Limit { node: node(), max });
            }
        }
        let source = explained.primary.as_ref();
        let source = source.and_then(|node| self.member_by_node(node.as_str()));
        let copies = plan.nodes.iter().any(|node| {
            let number = self.members.number_of(node.as_str());
            number.is_some_and(|number| !row.contains(&number))
        });
        if let Some(source) = source.filter(|one| copies && full(self.copying(one.number).1)) {
            let node = source.node.clone();
            found.push(Finding::Limit { node, max });
        }
        if found.len() == before {
            let trigger = plan.trigger;
            found.push(Finding::Planned { trigger });
        }
    }
}
