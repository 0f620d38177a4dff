//! Carrying out the plan under way, as a leader and both sides of every move would.

use ck_control::{
    Command, Holder, MemberNumber, Move, MoveRejection, Party, RebalanceCommand, Rejection,
    Release, Stage, State, SwitchId, Transfer, TransferCommand, TransferId,
};
use ck_core::PartitionId;

use super::Fake;

/// What comes next in a partition whose row is not the planned one.
enum Next {
    Move(Move),
    Trim(MemberNumber),
}

impl Fake {
    /// Carries out the plan under way, move after move, each from its opening to its end, and ends
    /// the plan. Without one nothing happens.
    ///
    /// # Errors
    /// [`Rejection`] of the first step that is refused: a node of the plan has stopped, or a
    /// partition has no primary.
    pub fn carry_plan_out(&self) -> Result<(), Rejection> {
        let Some(plan) = self.state.load().rebalance().cloned() else {
            return Ok(());
        };
        let partitions = self.state.load().partitions().len();
        for number in 0..u32::try_from(partitions).unwrap_or(u32::MAX) {
            let partition = PartitionId(number);
            loop {
                let state = self.state.load_full();
                if state.plan_reached(partition) {
                    break;
                }
                match next(&state, partition)? {
                    Next::Move(begun) => self.move_through(begun)?,
                    Next::Trim(member) => {
                        self.step(TransferCommand::Trim { partition, member })?;
                    }
                }
            }
        }
        let step = RebalanceCommand::Finish { since: plan.since };
        self.apply(Command::Rebalance { step }).map(|_| ())
    }

    fn step(&self, step: TransferCommand) -> Result<(), Rejection> {
        let office = self.state.load().office().map(|office| office.id);
        self.apply(Command::Transfer { office, step }).map(|_| ())
    }

    fn move_through(&self, begun: Move) -> Result<(), Rejection> {
        self.step(TransferCommand::Open(begun))?;
        let transfer = TransferId(self.state.load().applied().0);
        loop {
            let state = self.state.load_full();
            let Some(moved) = state.transfer(transfer) else {
                return Ok(());
            };
            self.step(following(&state, moved)?)?;
        }
    }
}

/// The step with which a move goes on from where it stands.
fn following(state: &State, moved: &Transfer) -> Result<TransferCommand, Rejection> {
    let (transfer, partition) = (moved.id, moved.partition);
    let unavailable = || MoveRejection::PartitionUnavailable { partition };
    let control = state.partition(partition).ok_or_else(unavailable)?;
    Ok(match moved.stage {
        Stage::Prepare => TransferCommand::Prepared { transfer },
        Stage::CatchUp if control.is_in_sync(moved.target.member) => {
            TransferCommand::OpenSwitch { transfer }
        }
        Stage::CatchUp => TransferCommand::CaughtUp {
            transfer,
            session: holder(state, partition)?.session,
            epoch: control.epoch,
        },
        Stage::Release => TransferCommand::Commit {
            transfer,
            release: Release {
                session: moved.source.session,
                partition,
                epoch: control.epoch,
                switch: moved.switch.unwrap_or(SwitchId(0)),
            },
        },
        Stage::Commit | Stage::Activate => TransferCommand::Activated { transfer },
        Stage::CleanUp => TransferCommand::Finish { transfer },
    })
}

fn holder(state: &State, partition: PartitionId) -> Result<Holder, Rejection> {
    let control = state.partition(partition);
    let holder = control.and_then(|control| control.holder);
    holder.ok_or_else(|| MoveRejection::PartitionUnavailable { partition }.into())
}

/// A copy on a planned node for one on another, the primary's last; then the role; then copies too
/// many go.
fn next(state: &State, partition: PartitionId) -> Result<Next, Rejection> {
    let (row, wanted) = (state.row_members(partition), state.plan_row(partition));
    let holder = holder(state, partition)?;
    let begin = |member, handoff, leaving| {
        let known = state.member(member);
        let session = known.and_then(|known| known.session.or(known.last_session));
        Next::Move(Move {
            partition,
            source: Party {
                member: holder.member,
                session: holder.session,
            },
            target: Party {
                member,
                session: session.unwrap_or_default(),
            },
            handoff,
            leaving,
            reason: state
                .rebalance()
                .map_or(ck_control::Trigger::Manual, |plan| plan.trigger),
            force: false,
        })
    };
    let surplus = |one: &&MemberNumber| **one != holder.member && !wanted.contains(one);
    let leaving = row.iter().find(surplus).copied();
    if let Some(added) = wanted.iter().copied().find(|one| !row.contains(one)) {
        let copy = leaving.is_some() || row.len() < wanted.len();
        return Ok(if copy {
            begin(added, false, leaving)
        } else {
            begin(added, true, Some(holder.member))
        });
    }
    match (wanted.first(), leaving) {
        (Some(first), _) if *first != holder.member => Ok(begin(*first, true, None)),
        (_, Some(member)) => Ok(Next::Trim(member)),
        _ => Err(MoveRejection::TransferShape { partition }.into()),
    }
}
