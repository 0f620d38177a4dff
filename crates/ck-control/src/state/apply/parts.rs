//! What the steps of moves share: the control of a partition, its row, and who may be named.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::PartitionId;

use crate::MemberNumber;
use crate::state::apply::Step;
use crate::state::apply::rows::{Edits, edited};
use crate::state::{
    EventKind, Holder, Move, MoveRejection, PartitionControl, Party, Rejection, State, Transfer,
};

impl State {
    pub(super) fn control_mut(&mut self, partition: PartitionId) -> &mut PartitionControl {
        &mut Arc::make_mut(&mut self.partitions)[partition.index()]
    }

    /// The partition, if its primary's session is open.
    pub(super) fn available(
        &self,
        partition: PartitionId,
    ) -> Result<(&PartitionControl, Holder), Rejection> {
        let control = self
            .partition(partition)
            .ok_or(MoveRejection::PartitionUnknown { partition })?;
        let holder = control
            .holder
            .filter(|holder| self.session(holder.session).is_some());
        match holder {
            Some(holder) => Ok((control, holder)),
            None => Err(MoveRejection::PartitionUnavailable { partition }.into()),
        }
    }

    /// Whether a move makes sense for a row: it adds a copy, replaces one, brings one up to date,
    /// or moves the role to a copy that is in sync.
    pub(super) fn fits(&self, control: &PartitionControl, holder: Holder, begun: &Move) -> bool {
        let (source, target) = (begun.source, begun.target.member);
        let row = self.row_members(begun.partition);
        let (in_row, in_sync) = (row.contains(&target), control.is_in_sync(target));
        let of_holder = source.member == holder.member && source.session == holder.session;
        let sound = source.member != target
            && target != holder.member
            && control.is_in_sync(source.member)
            && begun.leaving.is_none_or(|one| row.contains(&one));
        let factor = usize::from(self.config.replication_factor);
        let shaped = match (begun.handoff, in_row, begun.leaving) {
            (true, true, None) => of_holder && in_sync,
            (true, false, Some(_)) => of_holder,
            (false, true, None) => !in_sync && !begun.force,
            (false, false, Some(leaving)) => leaving != holder.member && !begun.force,
            (false, false, None) => row.len() < factor && !begun.force,
            (true, false, None) | (_, true, Some(_)) => false,
        };
        sound && shaped
    }

    /// Whether a move brings a copy up to date where it is, which changes no placement.
    pub(super) fn mends(&self, begun: &Move) -> bool {
        let row = self.row_members(begun.partition);
        !begun.handoff && begun.leaving.is_none() && row.contains(&begun.target.member)
    }

    /// The session of a party is open, and with `chosen` not closing either.
    pub(super) fn check_party(&self, party: Party, chosen: bool) -> Result<(), Rejection> {
        let fits = self
            .session(party.session)
            .is_some_and(|session| session.member == party.member && !(chosen && session.closing));
        if fits {
            Ok(())
        } else {
            let session = party.session;
            Err(MoveRejection::PartySession {
                member: party.member,
                session,
            }
            .into())
        }
    }

    /// Puts a row in the place of a partition's.
    pub(super) fn set_row(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        row: Vec<MemberNumber>,
    ) {
        let Some(table) = &self.table else {
            return;
        };
        let edits = Edits::from([(partition, row)]);
        self.table = Some(Arc::new(edited(table, &self.members, &edits)));
        step.replan();
    }

    pub(super) fn tell_moved(
        &self,
        step: &mut Step<'_>,
        moved: &Transfer,
        old_primary: Option<MemberNumber>,
        copied_from: Option<Party>,
    ) {
        let node = |number: MemberNumber| self.member(number).map(|one| one.node.clone());
        let control = self.partition(moved.partition).cloned().unwrap_or_default();
        let copied = copied_from.is_some();
        step.tell(EventKind::PartitionChanged {
            partition: moved.partition,
            copy_from: copied_from
                .into_iter()
                .filter_map(|one| node(one.member))
                .collect(),
            copy_to: node(moved.target.member)
                .into_iter()
                .filter(|_| copied)
                .collect(),
            reason: moved.reason.into(),
            old_primary: old_primary.and_then(node),
            new_primary: control.holder.and_then(|holder| node(holder.member)),
            epoch: control.epoch,
        });
    }

    /// Position of the newest grant fits the caller's: nothing was granted since.
    pub(super) fn check_grant(
        &self,
        partition: PartitionId,
        session: crate::SessionId,
        epoch: ck_core::Epoch,
    ) -> Result<(), Rejection> {
        let (control, holder) = self.available(partition)?;
        if holder.session == session && control.epoch == epoch {
            return Ok(());
        }
        Err(MoveRejection::GrantPast {
            partition,
            session,
            epoch,
            current: control.epoch,
        }
        .into())
    }
}
