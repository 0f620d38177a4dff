//! What the applied table asks of this node, partition by partition.

use ck_core::{Epoch, PartitionId};

use crate::agent::part::Part;
use crate::agent::{Agent, Call};
use crate::bugs::Bug;
use crate::{
    FencingToken, Holder, MemberNumber, PartitionControl, Release, Report, SessionId, Stage,
    SwitchId, Transfer, TransferId,
};

/// Where a partition is to be brought at this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// No copy here.
    Gone,
    /// A copy behind a primary elsewhere, or one that waits.
    Replica,
    /// A copy that is being made.
    Prepare {
        transfer: TransferId,
        source: MemberNumber,
    },
    /// A copy that is being brought up to date, under one grant of the primary role.
    CatchUp {
        transfer: TransferId,
        source: MemberNumber,
        epoch: Epoch,
    },
    /// A copy that is in sync and waits for its row or its role.
    Ready,
    /// The primary role.
    Serve { token: FencingToken },
    /// The primary role, to be given up.
    Release {
        token: FencingToken,
        switch: SwitchId,
        attempt: u32,
    },
    /// The primary role, taken away.
    Revoked { token: FencingToken },
}

impl Goal {
    /// The call that leads there; `None` when nothing has to be called.
    pub(super) const fn call(self) -> Option<Call> {
        match self {
            Self::Gone => Some(Call::CleanUp),
            Self::Replica => Some(Call::BecomeReplica),
            Self::Prepare { transfer, source } => Some(Call::Prepare { transfer, source }),
            Self::CatchUp {
                transfer, source, ..
            } => Some(Call::CatchUp { transfer, source }),
            Self::Ready => None,
            Self::Serve { token } => Some(Call::BecomePrimary { token }),
            Self::Release { token, .. } => Some(Call::Release { token }),
            Self::Revoked { .. } => None,
        }
    }

    /// The token whose gate may be open meanwhile.
    pub(super) const fn serves(self) -> Option<FencingToken> {
        match self {
            Self::Serve { token } => Some(token),
            _ => None,
        }
    }
}

impl Agent {
    /// Compares the applied table with what was last acted on.
    pub(super) fn set_goals(&mut self) {
        let me = self.member().map(|member| member.number);
        let node = self.member().map(|member| member.node.clone());
        let state = self.state.clone();
        self.moving.clear();
        for (partition, control) in state.partitions() {
            let row = state.table().and_then(|table| table.row(partition));
            let in_row = node
                .as_ref()
                .is_some_and(|node| row.is_some_and(|row| row.contains(node.as_str())));
            let goal = match me {
                Some(me) => self.goal(partition, control, me, in_row),
                None => Goal::Gone,
            };
            // Without a session what is applied here may be old: nothing is dropped for it.
            let waits = goal == Goal::Gone && self.session().is_none();
            let changed = match self.parts.get_mut(&partition) {
                Some(part) if waits => part.aim(Goal::Ready),
                Some(part) => part.aim(goal),
                None if goal == Goal::Gone => continue,
                None => {
                    self.parts.insert(partition, Part::new(goal, self.bugs));
                    true
                }
            };
            if changed {
                self.due.insert(partition);
            }
            if control.transfer.is_some() {
                self.moving.insert(partition);
            }
        }
    }

    fn goal(
        &self,
        partition: PartitionId,
        control: &PartitionControl,
        me: MemberNumber,
        in_row: bool,
    ) -> Goal {
        let transfer = control.transfer.and_then(|id| self.state.transfer(id));
        let token = FencingToken {
            incarnation: self.state.incarnation(),
            partition,
            epoch: control.epoch,
        };
        if self.holds(control.holder, me) {
            return primary_goal(transfer, token);
        }
        let targeted = transfer.filter(|one| one.target.member == me);
        match targeted {
            Some(transfer) if Some(transfer.target.session) == self.session() => {
                self.target_goal(transfer, control, token, in_row)
            }
            _ if in_row => Goal::Replica,
            // Made under a session that is over. What is applied here may be old: the copy may
            // be in sync by now, and counted on. It goes once the end of its move is applied.
            Some(_) => Goal::Ready,
            None if control.is_in_sync(me) => Goal::Ready,
            None => Goal::Gone,
        }
    }

    /// Whether a grant is to this very session.
    fn holds(&self, holder: Option<Holder>, me: MemberNumber) -> bool {
        holder.is_some_and(|holder| {
            let same = Some(holder.session) == self.session() || self.bugs.has(Bug::GrantToNode);
            holder.member == me && same
        })
    }

    fn target_goal(
        &self,
        transfer: &Transfer,
        control: &PartitionControl,
        token: FencingToken,
        in_row: bool,
    ) -> Goal {
        let (id, source) = (transfer.id, transfer.source.member);
        let epoch = token.epoch.next();
        match transfer.stage {
            Stage::Release if self.bugs.has(Bug::TargetServesEarly) => Goal::Serve {
                token: FencingToken { epoch, ..token },
            },
            _ if control.is_in_sync(transfer.target.member) => {
                if in_row {
                    Goal::Replica
                } else {
                    Goal::Ready
                }
            }
            Stage::Prepare => Goal::Prepare {
                transfer: id,
                source,
            },
            _ => Goal::CatchUp {
                transfer: id,
                source,
                epoch: control.epoch,
            },
        }
    }

    /// What this node has done in a move and the table does not show yet.
    pub(super) fn report(
        &self,
        partition: PartitionId,
        part: &Part,
        session: SessionId,
    ) -> Option<Report> {
        let transfer = self
            .state
            .transfer(self.state.partition(partition)?.transfer?)?;
        if let Goal::Release {
            token,
            switch,
            attempt,
        } = part.goal()
        {
            let release = Release {
                session,
                partition,
                epoch: token.epoch,
                switch,
            };
            return if part.has_failed() {
                let transfer = transfer.id;
                Some(Report::Failed { transfer, attempt })
            } else {
                part.is_reached().then_some(Report::Released(release))
            };
        }
        match part.goal() {
            Goal::Prepare { .. } | Goal::CatchUp { .. } if !part.is_reached() => {
                let (done, total) = part.progress()?;
                let news = (done, total) != (transfer.done, transfer.total);
                let transfer = transfer.id;
                news.then_some(Report::Progress {
                    transfer,
                    done,
                    total,
                })
            }
            _ if !part.is_reached() => None,
            Goal::Prepare { transfer, .. } => Some(Report::Prepared { transfer }),
            Goal::CatchUp {
                transfer, epoch, ..
            } => Some(Report::CaughtUp { transfer, epoch }),
            Goal::Serve { .. } if transfer.stage == Stage::Activate => Some(Report::Activated {
                transfer: transfer.id,
            }),
            _ => None,
        }
    }
}

fn primary_goal(transfer: Option<&Transfer>, token: FencingToken) -> Goal {
    let Some(transfer) = transfer.filter(|one| one.stage == Stage::Release) else {
        return Goal::Serve { token };
    };
    match transfer.switch {
        _ if transfer.revoked.is_some() => Goal::Revoked { token },
        Some(switch) => Goal::Release {
            token,
            switch,
            attempt: transfer.attempt,
        },
        None => Goal::Serve { token },
    }
}
