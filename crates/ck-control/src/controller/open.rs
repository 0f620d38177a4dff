//! Which move begins next: copies brought up to date, then copies too many, then the plan, greedy
//! within the limits. Under the brake only the first: it changes no placement, and what was lost at
//! once needs its copies in sync again more than anything.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ck_core::PartitionId;

use crate::controller::Leader;
use crate::controller::intent::Intent;
use crate::state::{Move, TransferCommand};
use crate::{Command, MemberNumber, PartitionControl, Party, State, Time, Trigger};

/// Copies on their way to and from each node.
#[derive(Debug, Default)]
struct Busy {
    to: BTreeMap<MemberNumber, u32>,
    from: BTreeMap<MemberNumber, u32>,
}

impl Busy {
    fn of(state: &State) -> Self {
        let mut busy = Self::default();
        for transfer in state.transfers().filter(|one| one.is_copying()) {
            busy.count(transfer.source.member, transfer.target.member);
        }
        busy
    }

    fn count(&mut self, source: MemberNumber, target: MemberNumber) {
        *self.to.entry(target).or_default() += 1;
        *self.from.entry(source).or_default() += 1;
    }

    fn admits(&self, source: MemberNumber, target: MemberNumber, max: u32) -> bool {
        let of = |map: &BTreeMap<_, u32>, member| map.get(&member).copied().unwrap_or(0);
        of(&self.to, target) < max && of(&self.from, source) < max
    }
}

/// What should begin in one partition.
enum Next {
    Move(Move),
    Trim(MemberNumber),
}

impl Leader {
    /// Begins what can begin now.
    pub(super) fn open_moves(&mut self, now: Time) {
        let state = self.state.clone();
        let mut busy = Busy::of(&state);
        let max = u32::from(state.config().max_transfers_per_node);
        let braked = state.brake().is_some();
        let plan = state.rebalance().filter(|plan| !plan.paused && !braked);
        let mut left = false;
        for (partition, control) in state.partitions() {
            let wanted = plan.is_some() && !state.plan_reached(partition);
            // What nobody may act on waits for a return or an order, not for the plan.
            let live = |holder: crate::Holder| state.session(holder.session).is_some();
            left |= wanted && control.holder.is_some_and(live);
            if control.transfer.is_some() {
                left |= plan.is_some();
                continue;
            }
            let Some(next) = self.next_of(&state, partition, control, wanted, now) else {
                continue;
            };
            let office = self.office();
            match next {
                Next::Move(begun) => {
                    let (source, target) = (begun.source.member, begun.target.member);
                    let copies = !control.is_in_sync(target);
                    if copies && !busy.admits(source, target, max) {
                        continue;
                    }
                    if copies {
                        busy.count(source, target);
                    }
                    let step = TransferCommand::Open(begun);
                    self.propose(
                        Intent::Open(partition),
                        Command::Transfer { office, step },
                        now,
                    );
                }
                Next::Trim(member) => {
                    let step = TransferCommand::Trim { partition, member };
                    self.propose(
                        Intent::Trim(partition),
                        Command::Transfer { office, step },
                        now,
                    );
                }
            }
        }
        if let Some(plan) = plan.filter(|_| !left) {
            let since = plan.since;
            let step = crate::state::RebalanceCommand::Finish { since };
            self.propose(Intent::Rebalance(since), Command::Rebalance { step }, now);
        }
    }

    fn next_of(
        &self,
        state: &State,
        partition: PartitionId,
        control: &PartitionControl,
        wanted: bool,
        now: Time,
    ) -> Option<Next> {
        let office = self.tenure.as_ref()?.office.as_ref()?;
        if control.last_known || office.timers.backs_off(partition, now) {
            return None;
        }
        let holder = control.holder?;
        state.session(holder.session)?;
        let source = Party {
            member: holder.member,
            session: holder.session,
        };
        let stays = |member: MemberNumber| {
            let session = state.session(state.member(member)?.session?)?;
            let stays = !session.closing && !office.desk.is_leaving(session.id);
            stays.then_some(Party {
                member,
                session: session.id,
            })
        };
        // Nothing new for a node that comes and goes.
        let usable = |member: MemberNumber| {
            stays(member).filter(|_| !office.timers.flaps(member, now, &self.pace))
        };
        let begin = |target, handoff, leaving, reason| {
            Next::Move(Move {
                partition,
                source,
                target,
                handoff,
                leaving,
                reason,
                force: false,
            })
        };
        let row = state.row_members(partition);
        let stale = row.iter().copied().filter(|one| !control.is_in_sync(*one));
        if let Some(target) = stale.clone().find_map(stays) {
            return Some(begin(target, false, None, Trigger::Rejoin));
        }
        if state.brake().is_some() {
            return None;
        }
        let factor = usize::from(state.config().replication_factor);
        let target_row: Vec<MemberNumber> = if wanted {
            state.plan_row(partition)
        } else {
            Vec::new()
        };
        let surplus =
            |member: &MemberNumber| *member != holder.member && !target_row.contains(member);
        if row.len() > factor || (wanted && row.len() > target_row.len()) {
            let live = |member: &MemberNumber| usable(*member).is_some();
            let last = row.iter().rev().copied();
            let idle = last.clone().find(|one| surplus(one) && !live(one));
            if let Some(member) = idle.or_else(|| last.clone().find(surplus)) {
                return Some(Next::Trim(member));
            }
        }
        if !wanted {
            return None;
        }
        planned(&row, &target_row, control, holder.member).and_then(|(target, handoff, leaving)| {
            let reason = state
                .rebalance()
                .map_or(Trigger::Manual, |plan| plan.trigger);
            Some(begin(usable(target)?, handoff, leaving, reason))
        })
    }
}

/// The next change from a row to the planned one: who gets a copy or the role, whether the role
/// moves, and whose copy goes.
fn planned(
    row: &[MemberNumber],
    wanted: &[MemberNumber],
    control: &PartitionControl,
    holder: MemberNumber,
) -> Option<(MemberNumber, bool, Option<MemberNumber>)> {
    let added = wanted.iter().copied().find(|one| !row.contains(one));
    let first = *wanted.first()?;
    let Some(added) = added else {
        // Only the role is left to move, to a copy that has everything.
        let moves = first != holder && control.is_in_sync(first);
        return moves.then_some((first, true, None));
    };
    let gone = |one: &&MemberNumber| !wanted.contains(one);
    // A copy out of sync goes first, the primary's last: it has to hand over.
    let leaving = row
        .iter()
        .filter(gone)
        .filter(|one| **one != holder)
        .max_by_key(|one| !control.is_in_sync(**one))
        .copied();
    if added == first && !wanted.contains(&holder) {
        return Some((added, true, Some(holder)));
    }
    if leaving.is_some() || wanted.len() > row.len() {
        return Some((added, false, leaving));
    }
    if wanted.contains(&holder) {
        return None;
    }
    Some((added, true, Some(holder)))
}
